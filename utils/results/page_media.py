"""The parts of the results page that are not text: spectrograms, recordings and probabilities."""

import base64
import io

import librosa
import matplotlib
import numpy as np
import soundfile
import soxr
from PIL import Image

from utils import config

SPECTROGRAM_RANGE = 85.0  # dB below a clip's loudest point that still have a colour of their own
SPECTROGRAM_COLOURS = "magma"  # even for colour-blind eyes: it also grows lighter
COLOURS = 256  # of a picture with a palette
TICK_FREQUENCIES = (500, 1000, 2000, 4000, 8000)  # Hz
PLAYER_SAMPLE_RATE = 32000  # Hz; MP3 knows only some rates, so every recording is brought to this one
MP3_COMPRESSION = 0.7  # of libsndfile, 0 to 1: about 50 kbit/s; less saves little and is heard


def data_uri(media_type: str, content: bytes) -> str:
    """Return the content as an address that holds it."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def spectrogram_png(logmel: np.ndarray) -> bytes:
    """Draw a log-mel as PNG, a pixel for each frame and band, the lowest band at the bottom.

    Parameters
    ----------
    logmel : np.ndarray, shape (frames, mel_bins), dB
    """
    level = (logmel - logmel.max()) / SPECTROGRAM_RANGE + 1
    image = Image.fromarray(np.round((COLOURS - 1) * level.clip(0, 1)).astype(np.uint8).T[::-1])
    colours = matplotlib.colormaps[SPECTROGRAM_COLOURS](np.arange(COLOURS), bytes=True)[:, :3]
    image.putpalette(colours.tobytes())
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def frequency_ticks() -> list[tuple[int, float]]:
    """Return frequencies in Hz, and how high each stands in a spectrogram: 0 at the bottom, 1 at the top."""
    edges = librosa.mel_frequencies(
        config.mel_bins + 2, fmin=config.mel_min_frequency, fmax=config.mel_max_frequency
    )
    heights = (np.arange(config.mel_bins) + 0.5) / config.mel_bins
    inside = [f for f in TICK_FREQUENCIES if edges[1] < f < edges[-2]]
    return [(f, float(np.interp(f, edges[1:-1], heights))) for f in inside]


def mp3(samples: np.ndarray) -> bytes:
    """Compress a clip's samples of shape (samples,), at `config.sample_rate`."""
    if config.sample_rate != PLAYER_SAMPLE_RATE:
        samples = soxr.resample(samples, config.sample_rate, PLAYER_SAMPLE_RATE)
    file = io.BytesIO()
    soundfile.write(
        file, samples.clip(-1, 1), PLAYER_SAMPLE_RATE, format="MP3", compression_level=MP3_COMPRESSION
    )
    return file.getvalue()


def probability_text(framewise: np.ndarray) -> str:
    """Return the probabilities of a class, shape (frames,), as base64 of a byte each: 0 is 0 and 255 is 1."""
    return base64.b64encode(np.round(255 * framewise).astype(np.uint8).tobytes()).decode()
