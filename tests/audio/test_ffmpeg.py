"""Recordings that soundfile does not read, and standard input."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.commands import PROJECT
from tests.settings_for_tests import SETTINGS
from utils.audio import ffmpeg, reading, recordings
from utils.audio.reading import SampleStream
from utils.audio.recordings import STANDARD_INPUT, find_recordings, header_seconds

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
RATE, SECONDS = 22050, 23.5


@pytest.fixture(scope="module")
def wave(tmp_path_factory) -> Path:
    """Stereo noise that swells and fades, so that a shift would show."""
    path = tmp_path_factory.mktemp("sound") / "sound.wav"
    time = np.arange(int(SECONDS * RATE)) / RATE
    noise = np.random.default_rng(0).standard_normal((len(time), 2)) * [0.1, 0.05]
    soundfile.write(path, noise * np.sin(time)[:, None] ** 2, RATE, subtype="PCM_16")
    return path


def converted(wave: Path, name: str, *options: str) -> Path:
    path = wave.with_name(name)
    if not path.exists():
        command = ["ffmpeg", "-v", "error", "-i", wave, *options, path]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


def samples_of(path: Path) -> tuple[np.ndarray, SampleStream]:
    stream = SampleStream(path, SETTINGS.features)
    return np.concatenate([np.empty(0), *stream.blocks()]), stream


@needs_ffmpeg
def test_a_lossless_format_of_ffmpeg_gives_the_samples_of_the_wave_file(wave):
    expected, _ = samples_of(wave)
    samples, stream = samples_of(converted(wave, "sound.wv"))
    np.testing.assert_array_equal(samples, expected)
    assert stream.error is None
    assert stream.seconds == pytest.approx(SECONDS)


@needs_ffmpeg
@pytest.mark.parametrize("name", ["sound.m4a", "film.mp4"])
def test_sound_of_lossy_formats_and_films_is_read(wave, name):
    picture = ["-f", "lavfi", "-i", "color=s=16x16:d=1", "-map", "0:a", "-map", "1:v"]
    path = converted(wave, name, *(picture if name == "film.mp4" else []), "-c:a", "aac")
    expected, _ = samples_of(wave)
    samples, stream = samples_of(path)
    length = min(len(expected), len(samples))
    assert stream.seconds == pytest.approx(SECONDS, abs=0.1)
    assert header_seconds(path) == pytest.approx(SECONDS, abs=0.1)
    assert np.corrcoef(expected[:length], samples[:length])[0, 1] > 0.9
    found, _ = find_recordings([path.parent])
    assert name in {one.name for one in found}


@needs_ffmpeg
def test_what_nothing_can_read_is_an_error_of_one_line_with_the_cause(tmp_path):
    (tmp_path / "text.m4a").write_text("not a recording\n" * 50)
    silent = tmp_path / "silent.mp4"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=s=16x16:d=1", silent]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    for path in (tmp_path / "text.m4a", silent):
        samples, stream = samples_of(path)
        assert len(samples) == 0
        assert f"{path}: cannot be read as audio: ffmpeg: " in str(stream.error)


def test_without_ffmpeg_the_error_says_what_to_install(tmp_path, monkeypatch):
    for module in (ffmpeg, reading):
        monkeypatch.setattr(module, "has_ffmpeg", lambda: False)
    (tmp_path / "sound.m4a").write_bytes(b"\0\0\0\x18ftypM4A ")
    (tmp_path / "sound.wav").write_bytes(b"RIFF")
    _, m4a = samples_of(tmp_path / "sound.m4a")
    assert "install ffmpeg, which reads more formats, or convert it to WAV" in str(m4a.error)
    _, wav = samples_of(tmp_path / "sound.wav")
    assert "install ffmpeg" not in str(wav.error)
    assert recordings.header_seconds(tmp_path / "sound.m4a") == 0


@pytest.mark.parametrize("with_ffmpeg", [pytest.param(True, marks=needs_ffmpeg), False])
def test_standard_input_is_read_as_the_file_is(wave, tmp_path, with_ffmpeg):
    """In a process of its own, from a pipe, which nothing can seek in."""
    (found,), _ = find_recordings([STANDARD_INPUT])
    assert found.name == "stdin"
    program = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from utils.audio import reading\n"
        "from utils.config import SETTINGS\n"
        f"if not {with_ffmpeg}: reading.has_ffmpeg = lambda: False\n"
        "stream = reading.SampleStream(Path('-'), SETTINGS.features)\n"
        "samples = np.concatenate(list(stream.blocks()))\n"
        "assert stream.error is None, stream.error\n"
        f"np.save({str(tmp_path / 'samples.npy')!r}, samples)\n"
    )
    command = [sys.executable, "-c", program]
    subprocess.run(command, cwd=PROJECT, input=wave.read_bytes(), check=True)
    expected, _ = samples_of(wave)
    np.testing.assert_array_equal(np.load(tmp_path / "samples.npy"), expected)
