"""The log-mel spectrogram of a clip."""

import math
from functools import cache

import librosa
import numpy as np
import scipy.fft
import scipy.sparse

from utils.settings.groups import FeatureSettings

FRAMES_AT_ONCE = 128  # transformed together: so few that they stay in the processor's cache
TICK_FREQUENCIES = (500, 1000, 2000, 4000, 8000, 16000, 32000, 64000)  # Hz
SINGLE_PRECISION_RANGE = 1e-11  # power; this far below a frame's loudest frequency, rounding makes 0.01 dB


@cache
def hann(size: int, dtype: np.dtype) -> np.ndarray:
    """Return the symmetric Hann window, shape (size,)."""
    return np.hanning(size).astype(dtype)


@cache
def mel_filters(features: FeatureSettings) -> scipy.sparse.csr_array:
    """Return the mel filter bank, shape (mel_bins, window_size // 2 + 1), float32, Slaney's scale and norm.

    The matrix is sparse, as each band covers only a few of the frequencies.
    """
    filters = librosa.filters.mel(
        sr=features.sample_rate,
        n_fft=features.window_size,
        n_mels=features.mel_bins,
        fmin=features.mel_min_frequency,
        fmax=features.mel_max_frequency,
    )
    return scipy.sparse.csr_array(filters)


def frame(samples: np.ndarray, *, window_size: int, hop_size: int) -> np.ndarray:
    """Cut samples into frames.

    Returns
    -------
    np.ndarray, shape (len(samples) // hop_size, window_size)
        Frame t is centred on sample t · hop_size; the signal is mirrored at both ends. A view of the samples.
    """
    padded = np.pad(samples, window_size // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, window_size)[::hop_size]
    return frames[: len(samples) // hop_size]


def mel_power(frames: np.ndarray, filters: scipy.sparse.csr_array) -> np.ndarray:
    """Compute the power in each mel band with a symmetric Hann window.

    It is computed in single precision, and again in double where a band is so far below the frame's loudest
    frequency that rounding would show, as in a pure tone.

    Parameters
    ----------
    frames : np.ndarray, shape (frames, window_size), float32
    filters : scipy.sparse.csr_array, shape (mel_bins, window_size // 2 + 1)

    Returns
    -------
    np.ndarray, shape (frames, mel_bins)
    """
    spectra = scipy.fft.rfft(frames * hann(frames.shape[1], frames.dtype), axis=1)
    power = spectra.real**2 + spectra.imag**2
    bands = (filters @ power.T).T
    if frames.dtype == np.float32:
        rounded = bands.min(axis=1) < SINGLE_PRECISION_RANGE * power.max(axis=1)
        if rounded.any():
            bands[rounded] = mel_power(frames[rounded].astype(np.float64), filters)
    return bands


def decibels(power: np.ndarray, log_floor: float) -> np.ndarray:
    """Return powers in dB, float32; a power below the floor counts as the floor."""
    level = 10 * np.log10(np.maximum(power, log_floor, dtype=np.float32))
    return np.maximum(level, 10 * math.log10(log_floor))  # so that silence is exactly that


def logmel_of_clip(samples: np.ndarray, features: FeatureSettings) -> np.ndarray:
    """Compute the log-mel spectrogram of a clip.

    Parameters
    ----------
    samples : np.ndarray, shape (clip_samples,), float32, full scale = 1
    features : FeatureSettings

    Returns
    -------
    np.ndarray, shape (clip_frames, mel_bins), float32, dB
        10 · log10 of the mel power, at least 10 · log10(log_floor).
    """
    filters = mel_filters(features)
    frames = frame(samples, window_size=features.window_size, hop_size=features.hop_size)
    starts = range(0, len(frames), FRAMES_AT_ONCE)
    power = np.concatenate([mel_power(frames[start : start + FRAMES_AT_ONCE], filters) for start in starts])
    return decibels(power, features.log_floor)


def frequency_ticks(features: FeatureSettings) -> list[tuple[int, float]]:
    """Return frequencies in Hz, and the height of each in a spectrogram: 0 at the bottom, 1 at the top."""
    bins = features.mel_bins
    edges = librosa.mel_frequencies(
        bins + 2, fmin=features.mel_min_frequency, fmax=features.mel_max_frequency
    )
    heights = (np.arange(bins) + 0.5) / bins
    inside = [f for f in TICK_FREQUENCIES if edges[1] < f < edges[-2]]
    return [(f, float(np.interp(f, edges[1:-1], heights))) for f in inside]
