"""Recordings as MP3, for the pages that play them."""

import io

import numpy as np
import soundfile
import soxr

from utils.settings.groups import MP3_RATES

PLAYER_SAMPLE_RATE = 32000  # Hz, for recordings of a rate that MP3 does not know
MP3_COMPRESSION = 0.7  # of libsndfile, 0 to 1; at 16 kHz about 24 kbit/s. More is audible and saves little


def mp3(samples: np.ndarray, sample_rate: int) -> bytes:
    """Compress samples of shape (samples,), at a variable bit rate."""
    if sample_rate not in MP3_RATES:
        samples, sample_rate = soxr.resample(samples, sample_rate, PLAYER_SAMPLE_RATE), PLAYER_SAMPLE_RATE
    file = io.BytesIO()
    soundfile.write(
        file,
        samples.clip(-1, 1),
        sample_rate,
        format="MP3",
        compression_level=MP3_COMPRESSION,
        bitrate_mode="VARIABLE",
    )
    return file.getvalue()
