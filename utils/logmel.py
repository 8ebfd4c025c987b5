"""The log-mel features: from the samples of a clip to a picture that the models look at."""

from functools import cache

import librosa
import numpy as np
import scipy.fft

from utils import config


@cache
def symmetric_hann_window() -> np.ndarray:
    """Return the window, shape (window_size,); symmetric, as np.hanning computes it."""
    return np.hanning(config.window_size)


@cache
def mel_filters() -> np.ndarray:
    """Return the mel filter bank, shape (window_size // 2 + 1, mel_bins); Slaney's scale and norm."""
    return librosa.filters.mel(
        sr=config.sample_rate,
        n_fft=config.window_size,
        n_mels=config.mel_bins,
        fmin=config.mel_min_frequency,
        fmax=config.mel_max_frequency,
        dtype=np.float64,
    ).T.copy()


def power_spectrogram(samples: np.ndarray) -> np.ndarray:
    """Compute the power spectra of a clip's frames.

    Parameters
    ----------
    samples : np.ndarray, shape (config.clip_samples,)

    Returns
    -------
    np.ndarray, shape (config.clip_frames, window_size // 2 + 1)
        Frame t is centred on sample t · hop_size; the signal is mirrored at both ends.
    """
    padded = np.pad(samples, config.window_size // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, config.window_size)[:: config.hop_size]
    spectra = scipy.fft.rfft(frames[: config.clip_frames] * symmetric_hann_window(), axis=1)
    return spectra.real**2 + spectra.imag**2


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
    mel_power = power_spectrogram(samples) @ mel_filters()
    return (10 * np.log10(np.maximum(mel_power, config.log_floor))).astype(np.float32)
