"""From a recording to the samples that the features are computed from."""

import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
import soxr

from utils.audio.ffmpeg import FfmpegAudio, has_ffmpeg
from utils.audio.recordings import AUDIO_SUFFIXES, STANDARD_INPUT
from utils.settings.group import limits_of
from utils.settings.groups import FeatureSettings
from utils.system.errors import SedError
from utils.system.files import require_regular

INT16_FULL_SCALE = np.float32(2**15)  # what libsndfile divides 16-bit samples by
LARGEST_SAMPLE = 1e15  # full scale is 1; the power of much larger samples overflows in single precision
RESAMPLING_QUALITY = "HQ"  # soxr's name
SAMPLE_RATE_LIMITS = limits_of(FeatureSettings, "sample_rate")  # Hz


@contextmanager
def open_recording(path: Path) -> Iterator[soundfile.SoundFile]:
    """Open any file that soundfile reads; what goes wrong while it is open is a SedError with its path.

    A sample rate that no recording has comes from a damaged header.
    """
    try:
        require_regular(path)
        with soundfile.SoundFile(os.fsencode(path)) as file:
            require_sample_rate(path, file)
            yield file
    except (soundfile.SoundFileError, OSError) as error:
        raise SedError(
            f"{path}: cannot be read as audio: {problem_of(error)}; replace or remove the file"
        ) from error


def problem_of(error: OSError | soundfile.SoundFileError) -> str:
    """Return what an error says, without the path that soundfile puts before it."""
    return getattr(error, "error_string", str(error)).rstrip(".")


def require_sample_rate(path: Path, file: soundfile.SoundFile | FfmpegAudio) -> None:
    """Raise SedError if no recording has such a sample rate."""
    if not SAMPLE_RATE_LIMITS.allow(file.samplerate):
        raise SedError(
            f"{path}: has a sample rate of {file.samplerate} Hz, which must be {SAMPLE_RATE_LIMITS}; replace "
            "or remove the file"
        )


@contextmanager
def open_any_recording(path: Path) -> Iterator[soundfile.SoundFile | FfmpegAudio]:
    """Open what soundfile reads, else what ffmpeg reads where it is installed; `-` is standard input.

    What goes wrong while it is open is a SedError with its path, as with `open_recording`. Without ffmpeg,
    all of standard input is read into memory first.
    """
    if path == STANDARD_INPUT and not has_ffmpeg():
        source: bytes | io.BytesIO = io.BytesIO(sys.stdin.buffer.read())
    else:
        source = os.fsencode(path)  # a str would have to be valid UTF-8
    try:
        if path != STANDARD_INPUT:
            require_regular(path)
        with FfmpegAudio(path) if needs_ffmpeg(path) else soundfile.SoundFile(source) as file:
            require_sample_rate(path, file)
            yield file
    except (soundfile.SoundFileError, OSError) as error:
        hint = "replace or remove the file"
        if not has_ffmpeg() and path.suffix.lower() not in AUDIO_SUFFIXES:
            hint = "install ffmpeg, which reads more formats, or convert it to WAV"
        raise SedError(f"{path}: cannot be read as audio: {problem_of(error)}; {hint}") from error


def needs_ffmpeg(path: Path) -> bool:
    """Tell whether ffmpeg must read a recording, as soundfile does not, and is there to do it."""
    if not has_ffmpeg():
        return False
    if path == STANDARD_INPUT:
        return True
    try:
        soundfile.info(os.fsencode(path))
    except (soundfile.SoundFileError, OSError):
        return True
    return False


def clip_duration(path: Path, clip_seconds: float) -> float:
    """Return the duration of a recording in s by its header, at most that of a clip.

    Raises
    ------
    SedError
        If there is no such file, or it cannot be read.
    """
    with open_recording(path) as file:
        return min(file.frames / file.samplerate, clip_seconds)


def read_block(path: Path, file: soundfile.SoundFile | FfmpegAudio, length: int) -> np.ndarray:
    """Read the next samples of an open recording.

    Parameters
    ----------
    path : Path
        Of the recording, for error messages.
    file : soundfile.SoundFile or FfmpegAudio
    length : int
        Samples to read at most.

    Returns
    -------
    np.ndarray, shape (samples, channels), float32, full scale = 1
        No samples at the end of the recording.

    Raises
    ------
    SedError
        If samples are NaN, infinite or far too large, or the recording has none at all.
    """
    at_start = file.tell() == 0
    # libsndfile converts one sample after the other, numpy many at once.
    is_int16 = file.subtype == "PCM_16"
    audio = file.read(length, dtype="int16" if is_int16 else "float32", always_2d=True)
    if at_start and audio.shape[0] == 0:
        raise SedError(f"{path}: holds no samples; replace or remove the file")
    if not is_int16 and not (np.abs(audio) <= LARGEST_SAMPLE).all():  # false for NaN too
        raise SedError(
            f"{path}: holds samples that are NaN or infinite, or above {LARGEST_SAMPLE:g}; replace or remove "
            "the file"
        )
    return audio / INT16_FULL_SCALE if is_int16 else audio


def read_audio(path: Path, seconds: float) -> tuple[np.ndarray, int]:
    """Read the first seconds of a recording.

    Returns
    -------
    audio : np.ndarray, shape (samples, channels), float32, full scale = 1
        Fewer samples where the recording is shorter.
    sample_rate : int
        In Hz.

    Raises
    ------
    SedError
        If the file cannot be read, holds no samples, or samples that are NaN, infinite or far too large.
    """
    with open_recording(path) as file:
        return read_block(path, file, int(seconds * file.samplerate)), file.samplerate


def mean_of_channels(audio: np.ndarray) -> np.ndarray:
    """Return the mean of audio (samples, channels) over its channels, shape (samples,)."""
    first, *others = audio.T
    # Several times as fast as the mean over the short axis, and no copy of a single channel.
    return sum(others, start=first) / audio.shape[1] if others else first


def fit_length(samples: np.ndarray, length: int) -> np.ndarray:
    """Cut the samples, or pad them with zeros at the end, to `length` samples."""
    if len(samples) < length:
        return np.pad(samples, (0, length - len(samples)))
    return samples[:length]


def fit_clip(audio: np.ndarray, sample_rate: int, features: FeatureSettings) -> np.ndarray:
    """Convert audio to a clip: one channel, with the sample rate and length that features are computed from.

    Parameters
    ----------
    audio : np.ndarray, shape (samples, channels)
    sample_rate : int
        Of the audio, in Hz.
    features : FeatureSettings

    Returns
    -------
    np.ndarray, shape (clip_samples,), float32
        The mean of the channels, resampled with soxr, librosa's default.
    """
    mono = mean_of_channels(audio)
    if sample_rate != features.sample_rate:
        mono = soxr.resample(mono, sample_rate, features.sample_rate, quality=RESAMPLING_QUALITY)
    return fit_length(mono, features.clip_samples)


def read_clip(path: Path, features: FeatureSettings) -> np.ndarray:
    """Read the start of a recording as a clip, shape (clip_samples,); raises SedError as `read_audio` does.

    Some context past the clip is read too, which avoids resampler edge effects.
    """
    audio, sample_rate = read_audio(path, features.clip_seconds + features.resampling_margin)
    return fit_clip(audio, sample_rate, features)


def resampled(
    blocks: Iterable[np.ndarray], sample_rate: int, features: FeatureSettings
) -> Iterator[np.ndarray]:
    """Resample a stream of samples of one channel; the last block is what the resampler has left at the end.

    Parameters
    ----------
    blocks : iterable of np.ndarray, shape (samples,)
    sample_rate : int
        Of the blocks, in Hz.
    features : FeatureSettings
    """
    if sample_rate == features.sample_rate:
        yield from blocks
        return
    resampler = soxr.ResampleStream(
        sample_rate, features.sample_rate, 1, dtype="float32", quality=RESAMPLING_QUALITY
    )
    for block in blocks:
        yield resampler.resample_chunk(block)
    yield resampler.resample_chunk(np.empty(0, np.float32), last=True)


class SampleStream:
    """A recording of any length as a stream of samples: one channel, resampled.

    The samples equal those of `read_clip` bit for bit, and go on to the end of the recording.

    Parameters
    ----------
    path : Path
        Any file that soundfile or, where it is installed, ffmpeg reads; `-` is standard input.
    features : FeatureSettings
    on_block : callable or None
        Called with each block of samples as it is read.

    Attributes
    ----------
    seconds : float
        Of the recording that were read so far; at the end of the stream, its duration.
    error : SedError or None
        Why the stream ended before the recording did.
    """

    def __init__(
        self,
        path: Path,
        features: FeatureSettings,
        on_block: Callable[[np.ndarray], None] | None = None,
    ) -> None:
        self.path = path
        self.features = features
        self.on_block = on_block
        self.seconds = 0.0
        self.error: SedError | None = None

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the samples, shape (samples,), in blocks of about a clip's length.

        Where the recording cannot be read, or only in part, the stream ends and has an `error`.
        """
        try:
            with open_any_recording(self.path) as file:
                for block in resampled(self._read(file), file.samplerate, self.features):
                    if self.on_block is not None:
                        self.on_block(block)
                    yield block
        except SedError as error:
            self.error = error
        finally:
            self.on_block = None  # it may hold what it gathered, which is of no use here any more

    def _read(self, file: soundfile.SoundFile | FfmpegAudio) -> Iterator[np.ndarray]:
        length = max(1, int(self.features.clip_seconds * file.samplerate))
        samples_read = 0
        while len(audio := read_block(self.path, file, length)):
            samples_read += len(audio)
            self.seconds = samples_read / file.samplerate
            yield mean_of_channels(audio)
