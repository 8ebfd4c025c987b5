"""The log-mel features: from the samples of a clip to a picture that the models look at."""

from functools import cache

import librosa
import numpy as np
import scipy.fft
import scipy.sparse

from utils import config

FRAMES_AT_ONCE = 64  # transformed together: so few that they stay in the processor's cache


@cache
def symmetric_hann_window(window_size: int) -> np.ndarray:
    """Return the window, shape (window_size,); symmetric, as np.hanning computes it."""
    return np.hanning(window_size)


@cache
def mel_filters(
    sample_rate: int, window_size: int, mel_bins: int, min_frequency: float, max_frequency: float
) -> scipy.sparse.csr_array:
    """Return the mel filter bank, shape (mel_bins, window_size // 2 + 1); Slaney's scale and norm.

    Each band looks at a few of the frequencies, so the matrix is sparse.
    """
    filters = librosa.filters.mel(
        sr=sample_rate,
        n_fft=window_size,
        n_mels=mel_bins,
        fmin=min_frequency,
        fmax=max_frequency,
        dtype=np.float64,
    )
    return scipy.sparse.csr_array(filters)


def frames_of_clip(samples: np.ndarray) -> np.ndarray:
    """Cut a clip into frames.

    Parameters
    ----------
    samples : np.ndarray, shape (config.clip_samples,)

    Returns
    -------
    np.ndarray, shape (config.clip_frames, window_size)
        Frame t is centred on sample t · hop_size; the signal is mirrored at both ends. A view of the samples.
    """
    padded = np.pad(samples, config.window_size // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, config.window_size)[:: config.hop_size]
    return frames[: config.clip_frames]


def mel_power(frames: np.ndarray) -> np.ndarray:
    """Compute the power of each mel band in each frame.

    Parameters
    ----------
    frames : np.ndarray, shape (frames, window_size)

    Returns
    -------
    np.ndarray, shape (frames, mel_bins)
    """
    filters = mel_filters(
        config.sample_rate,
        config.window_size,
        config.mel_bins,
        config.mel_min_frequency,
        config.mel_max_frequency,
    )
    spectra = scipy.fft.rfft(frames * symmetric_hann_window(config.window_size), axis=1)
    power = spectra.real**2 + spectra.imag**2
    return (filters @ power.T).T


def logmel_of_clip(samples: np.ndarray) -> np.ndarray:
    """Compute the log-mel features of a clip.

    Parameters
    ----------
    samples : np.ndarray, shape (config.clip_samples,), full scale = 1

    Returns
    -------
    np.ndarray, shape (config.clip_frames, config.mel_bins), float32
        10 · log10 of the mel power, in dB, not below 10 · log10(config.log_floor).
    """
    frames = frames_of_clip(samples)
    starts = range(0, len(frames), FRAMES_AT_ONCE)
    power = np.concatenate([mel_power(frames[start : start + FRAMES_AT_ONCE]) for start in starts])
    return decibels(power)


def decibels(power: np.ndarray) -> np.ndarray:
    """Return mel powers in dB as float32, those below the floor as the floor."""
    return (10 * np.log10(np.maximum(power, config.log_floor))).astype(np.float32)
