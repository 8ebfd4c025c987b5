"""From a recording to the samples that the features are computed from."""

from pathlib import Path

import numpy as np
import soundfile
import soxr

from utils import config
from utils.errors import SedError

INT16_FULL_SCALE = 2.0**15  # what libsndfile divides 16-bit samples by


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
    try:
        with soundfile.SoundFile(path) as file:
            samples = int((config.clip_seconds + config.resampling_margin) * file.samplerate)
            # libsndfile converts one sample after the other, numpy many at once.
            is_int16 = file.subtype == "PCM_16"
            audio = file.read(samples, dtype="int16" if is_int16 else "float64", always_2d=True)
            sample_rate = file.samplerate
    except (soundfile.SoundFileError, OSError) as error:
        raise SedError(f"{path}: cannot be read as audio: {error}; replace or remove the file") from error
    if audio.shape[0] == 0:
        raise SedError(f"{path}: holds no samples; replace or remove the file")
    if not is_int16 and not np.isfinite(audio).all():
        raise SedError(f"{path}: holds samples that are NaN or infinite; replace or remove the file")
    return audio / INT16_FULL_SCALE if is_int16 else audio, sample_rate


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
        The mean of the channels, resampled (soxr, high quality, as librosa's default), in double
        precision: above a low-rate recording's band there is little but rounding.
    """
    mono = sum(audio.T) / audio.shape[1]  # several times as fast as the mean over the short axis
    if sample_rate != config.sample_rate:
        mono = soxr.resample(mono, sample_rate, config.sample_rate, quality="HQ")
    return fit_length(mono, config.clip_samples)


def read_clip(path: Path) -> np.ndarray:
    """Read a recording as the samples of a clip, shape (config.clip_samples,)."""
    return clip_samples(*read_audio(path))
