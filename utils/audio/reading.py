"""From a recording to the samples that the features are computed from."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
import soxr

from utils import config
from utils.system.errors import SedError

INT16_FULL_SCALE = 2.0**15  # what libsndfile divides 16-bit samples by
RESAMPLING_QUALITY = "HQ"  # soxr's name


@contextmanager
def open_recording(path: Path) -> Iterator[soundfile.SoundFile]:
    """Open any file that soundfile reads; what goes wrong while it is open is a SedError with its path."""
    try:
        with soundfile.SoundFile(path) as file:
            yield file
    except (soundfile.SoundFileError, OSError) as error:
        raise SedError(f"{path}: cannot be read as audio: {error}; replace or remove the file") from error


def read_block(path: Path, file: soundfile.SoundFile, length: int) -> np.ndarray:
    """Read the next samples of an open recording.

    Parameters
    ----------
    path : Path
        Of the recording, for error messages.
    file : soundfile.SoundFile
    length : int
        Samples to read at most.

    Returns
    -------
    np.ndarray, shape (samples, channels), float64, full scale = 1
        No samples at the end of the recording.

    Raises
    ------
    SedError
        If samples are not finite, or a recording holds none at all.
    """
    at_start = file.tell() == 0
    # libsndfile converts one sample after the other, numpy many at once.
    is_int16 = file.subtype == "PCM_16"
    audio = file.read(length, dtype="int16" if is_int16 else "float64", always_2d=True)
    if at_start and audio.shape[0] == 0:
        raise SedError(f"{path}: holds no samples; replace or remove the file")
    if not is_int16 and not np.isfinite(audio).all():
        raise SedError(f"{path}: holds samples that are NaN or infinite; replace or remove the file")
    return audio / INT16_FULL_SCALE if is_int16 else audio


def read_audio(path: Path) -> tuple[np.ndarray, int]:
    """Read the start of a recording.

    Parameters
    ----------
    path : Path
        Any file that soundfile reads.

    Returns
    -------
    audio : np.ndarray, shape (samples, channels), float64, full scale = 1
    sample_rate : int, in Hz

    Raises
    ------
    SedError
        If the file cannot be read, holds no samples, or holds numbers that are not finite.
    """
    with open_recording(path) as file:
        length = int((config.clip_seconds + config.resampling_margin) * file.samplerate)
        return read_block(path, file, length), file.samplerate


def mean_of_channels(audio: np.ndarray) -> np.ndarray:
    """Return the mean of audio (samples, channels) over its channels, shape (samples,)."""
    return sum(audio.T) / audio.shape[1]  # several times as fast as the mean over the short axis


def clip_duration(path: Path) -> float:
    """Return how much of a clip is recording: its length in s by the file's header, cut as the clip is.

    Raises
    ------
    SedError
        If there is no such file, or it cannot be read.
    """
    try:
        info = soundfile.info(path)
    except (soundfile.SoundFileError, OSError) as error:
        raise SedError(f"{path}: cannot be read as audio: {error}; replace or remove the file") from error
    return min(info.frames / info.samplerate, config.clip_seconds)


def fit_length(samples: np.ndarray, length: int) -> np.ndarray:
    """Cut the samples, or pad them with zeros at the end, to `length` samples."""
    cut = samples[:length]
    return np.pad(cut, (0, length - len(cut)))


def clip_samples(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Make of a recording the samples of a clip: one channel, the config's rate and length.

    Parameters
    ----------
    audio : np.ndarray, shape (samples, channels)
    sample_rate : int
        In Hz.

    Returns
    -------
    np.ndarray, shape (config.clip_samples,)
        The mean of the channels, resampled (soxr, as librosa's default), in double
        precision: above a low-rate recording's band there is little but rounding.
    """
    mono = mean_of_channels(audio)
    if sample_rate != config.sample_rate:
        mono = soxr.resample(mono, sample_rate, config.sample_rate, quality=RESAMPLING_QUALITY)
    return fit_length(mono, config.clip_samples)


def read_clip(path: Path) -> np.ndarray:
    """Read a recording as the samples of a clip, shape (config.clip_samples,)."""
    return clip_samples(*read_audio(path))


class SampleStream:
    """A recording of any length as a stream of samples: one channel, at the config's rate.

    The samples are those that `read_clip` gives, bit by bit, and go on to the end of the recording.

    Parameters
    ----------
    path : Path
        Any file that soundfile reads.

    Attributes
    ----------
    seconds : float
        Of the recording that were read so far; at the end of the stream, its duration.
    error : SedError or None
        Why the stream ended before the recording did.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seconds = 0.0
        self.error: SedError | None = None

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the samples, shape (samples,), about a clip's length at a time.

        Where the recording cannot be read, or only in part, the stream ends and has an `error`.
        """
        try:
            yield from self._read_blocks()
        except SedError as error:
            self.error = error

    def _read_blocks(self) -> Iterator[np.ndarray]:
        with open_recording(self.path) as file:
            resampler = None
            if file.samplerate != config.sample_rate:
                resampler = soxr.ResampleStream(
                    file.samplerate, config.sample_rate, 1, dtype="float64", quality=RESAMPLING_QUALITY
                )
            length = max(1, int(config.clip_seconds * file.samplerate))
            samples_read = 0
            while True:
                mono = mean_of_channels(read_block(self.path, file, length))
                samples_read += len(mono)
                self.seconds = samples_read / file.samplerate
                at_end = len(mono) == 0
                yield resampler.resample_chunk(mono, last=at_end) if resampler else mono
                if at_end:
                    return
