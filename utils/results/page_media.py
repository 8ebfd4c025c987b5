"""The binary parts of the results page but the sound: spectrograms and probabilities."""

import base64
import io

import matplotlib
import numpy as np
from PIL import Image

SPECTROGRAM_RANGE = 85.0  # dB between the darkest colour and a clip's loudest point
SPECTROGRAM_COLOURS = "magma"  # lightness grows with the level, so colour-blind people can read it
COLOURS = 256  # of a picture with a palette


def data_uri(media_type: str, content: bytes) -> str:
    """Return the content as a data URI."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def spectrogram_png(logmel: np.ndarray, *, top: float | None = None) -> bytes:
    """Draw a log-mel as PNG, a pixel for each frame and band, the lowest band at the bottom.

    Parameters
    ----------
    logmel : np.ndarray, shape (frames, mel_bins), dB
    top : float or None
        Level of the lightest colour, in dB; the maximum if left out.
    """
    level = (logmel - (logmel.max() if top is None else top)) / SPECTROGRAM_RANGE + 1
    image = Image.fromarray(np.round((COLOURS - 1) * level.clip(0, 1)).astype(np.uint8).T[::-1])
    colours = matplotlib.colormaps[SPECTROGRAM_COLOURS](np.arange(COLOURS), bytes=True)[:, :3]
    image.putpalette(colours.tobytes())
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def probability_text(framewise: np.ndarray) -> str:
    """Return the probabilities of a class, shape (outputs,), as base64 of a byte each, in which 255 is 1."""
    return base64.b64encode(np.round(255 * framewise).astype(np.uint8).tobytes()).decode()
