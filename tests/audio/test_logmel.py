"""The features against a plain computation with librosa in double precision."""

from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile

from tests.settings_for_tests import SETTINGS
from utils.audio.extraction import logmel_of_file

LOUD_RANGE = 80.0  # dB below the clip's loudest band and frame
LOUD_TOLERANCE, QUIET_TOLERANCE = 0.01, 0.1  # dB, within that range and elsewhere


def reference_logmel(path: Path) -> np.ndarray:
    """The definition, step by step, over the whole recording."""
    audio, sample_rate = soundfile.read(path, dtype="float64", always_2d=True)
    mono = librosa.to_mono(audio.T)
    if sample_rate != 32000:
        mono = librosa.resample(mono, orig_sr=sample_rate, target_sr=32000)
    samples = librosa.util.fix_length(mono, size=320000)
    framing = {"n_fft": 1024, "hop_length": 500, "center": True, "pad_mode": "reflect"}
    spectra = librosa.stft(samples, window=np.hanning(1024), dtype=np.complex128, **framing)
    filters = librosa.filters.mel(sr=32000, n_fft=1024, n_mels=64, fmin=50, fmax=14000, dtype=np.float64)
    power = filters @ np.abs(spectra) ** 2
    return librosa.power_to_db(power, ref=1.0, amin=1e-10, top_db=None).T[:640]


def assert_equals_the_definition(path: Path) -> None:
    logmel, reference = logmel_of_file(path, SETTINGS.features), reference_logmel(path)
    assert logmel.shape == (640, 64)
    assert logmel.dtype == np.float32
    deviation = np.abs(logmel - reference)
    assert deviation[reference >= reference.max() - LOUD_RANGE].max() < LOUD_TOLERANCE
    assert deviation.max() < QUIET_TOLERANCE


def write_recording(
    path: Path, seconds: float, sample_rate: int, channels: int = 1, subtype: str = "PCM_16"
) -> Path:
    """A chirp, a tone and noise that comes and goes, so that bands differ by 100 dB."""
    generator = np.random.default_rng(0)
    time = np.arange(int(seconds * sample_rate)) / sample_rate
    chirp = 0.3 * np.sin(2 * np.pi * (200 * time + 150 * time**2))
    tone = 0.2 * np.sin(2 * np.pi * 1234.5 * time)
    noise = 0.1 * generator.standard_normal((channels, len(time))) * (np.sin(time) > 0.5)
    gains = np.linspace(1, 0.4, channels)[:, None]
    soundfile.write(path, (gains * (chirp + tone) + noise).T, sample_rate, subtype=subtype)
    return path


@pytest.mark.parametrize(
    ("seconds", "sample_rate", "channels"),
    [
        (10.0, 44100, 1),
        (10.0, 44100, 2),
        (10.0, 32000, 1),
        (3.7, 44100, 1),
        (0.02, 44100, 1),
        (10.31, 44100, 2),
        (13.0, 48000, 1),
        (61.0, 44100, 1),
        (10.0, 8000, 1),
        (10.0, 16000, 2),
        (10.0, 22050, 1),
        (10.0, 48000, 1),
        (10.0, 192000, 1),
    ],
)
def test_logmel_equals_the_definition(tmp_path, seconds, sample_rate, channels):
    assert_equals_the_definition(write_recording(tmp_path / "clip.wav", seconds, sample_rate, channels))


@pytest.mark.parametrize(("suffix", "subtype"), [("wav", "PCM_24"), ("wav", "FLOAT"), ("flac", "PCM_16")])
def test_logmel_of_other_encodings_equals_the_definition(tmp_path, suffix, subtype):
    assert_equals_the_definition(write_recording(tmp_path / f"clip.{suffix}", 5.0, 44100, subtype=subtype))


def impulse(time: np.ndarray) -> np.ndarray:
    return np.where(np.arange(len(time)) == len(time) // 3, 0.9, 0.0)


EXTREMES = {
    "constant": lambda time: np.full(len(time), 0.7),
    "noise on a constant": lambda time: 0.9 + 1e-4 * np.random.default_rng(0).standard_normal(len(time)),
    "full-scale tone": lambda time: 0.9999 * np.sin(2 * np.pi * 3900 * time),
    "tone below the lowest band": lambda time: 0.9999 * np.sin(2 * np.pi * 30 * time),
    "clipped tone": lambda time: np.clip(9 * np.sin(2 * np.pi * 441.3 * time), -1, 0.9999),
    "noise of one bit": lambda time: 2e-5 * np.random.default_rng(0).standard_normal(len(time)),
    "impulse": impulse,
}


@pytest.mark.parametrize("sample_rate", [8000, 32000, 44100])
@pytest.mark.parametrize("name", EXTREMES)
def test_logmel_of_extreme_recordings_equals_the_definition(tmp_path, name, sample_rate):
    samples = EXTREMES[name](np.arange(10 * sample_rate) / sample_rate)
    soundfile.write(tmp_path / "clip.wav", samples, sample_rate, subtype="PCM_16")
    assert_equals_the_definition(tmp_path / "clip.wav")


def test_stereo_clip_gives_mean_of_channels(tmp_path):
    left = np.sin(np.arange(320000) * 0.1) / 2
    soundfile.write(tmp_path / "stereo.wav", np.stack([left, -left / 2], axis=1), 32000, subtype="FLOAT")
    soundfile.write(tmp_path / "mono.wav", left / 4, 32000, subtype="FLOAT")
    stereo, mono = (
        logmel_of_file(tmp_path / f"{name}.wav", SETTINGS.features) for name in ("stereo", "mono")
    )
    np.testing.assert_allclose(stereo, mono, atol=1e-3)


def test_silence_gives_the_floor(tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(1000), 44100)
    assert (logmel_of_file(tmp_path / "silence.wav", SETTINGS.features) == -100).all()


def test_demonstration_clips_equal_the_definition(tiny_dataset):
    for path in sorted((tiny_dataset / "audio/validation").iterdir()):
        assert_equals_the_definition(path)
