"""What the page of a recording holds: events, sound and spectrogram, of bounded size."""

import base64
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from tests.settings_for_tests import SETTINGS, rule_named, same_for_all
from utils.audio.recordings import AudioFile
from utils.events.event_files import DetectedEvents
from utils.events.probabilities import Probabilities
from utils.events.scored_events import ScoredEvent
from utils.results.recording_media import Columns, RecordingMedia
from utils.results.recording_page import write_recording_page

FEATURES = replace(
    SETTINGS.features,
    labels=("Dog", "Cat", "Bell"),
    sample_rate=8000,
    clip_seconds=2.0,
    window_size=256,
    hop_size=250,
    mel_bins=16,
    mel_max_frequency=4000,
)
PAGE = replace(SETTINGS.page, recording_page_chunk_seconds=3.0, recording_page_columns=4096)
SECONDS, STRIDE = 10.0, 8
EVENTS = (
    ScoredEvent(1.0, 2.0, "Dog", 0.9),
    ScoredEvent(2.5, 3.5, "Cat", 0.6),
    ScoredEvent(8.0, 9.0, "Dog", 0.8),
)
ONSET_SECONDS = 0.05  # to which a tone's onset is found in the MP3


def sound(seconds: float) -> np.ndarray:
    """A tone in each event, silence else."""
    time = np.arange(round(seconds * FEATURES.sample_rate)) / FEATURES.sample_rate
    is_event = sum((time >= event.onset) & (time < event.offset) for event in EVENTS)
    return 0.5 * is_event * np.sin(2 * np.pi * 1000 * time)


def gathered(samples: np.ndarray, page=PAGE) -> RecordingMedia:
    media = RecordingMedia(FEATURES, page)
    for block in np.split(samples, range(12345, len(samples), 12345)):
        media.add(block.astype(np.float32))
    return media


def write(
    path: Path,
    media: RecordingMedia,
    name: str = "day.wav",
    seconds: float = SECONDS,
    post_processing: str = "double_threshold",
) -> None:
    outputs = int(seconds * FEATURES.frames_per_second / STRIDE)
    framewise = np.zeros((outputs, 3), np.float32)
    framewise[4:8, 0] = 0.9
    write_recording_page(
        path,
        DetectedEvents(AudioFile(Path(name), name), seconds, EVENTS),
        Probabilities(framewise, framewise, STRIDE, outputs * STRIDE),
        media,
        same_for_all(rule_named(post_processing), FEATURES.labels),
        FEATURES,
        detected_by="a model",
    )


def page_data(path: Path) -> dict:
    text = path.read_text()
    return json.loads(re.search(r'id="report-data">(.*?)</script>', text, re.DOTALL)[1])


@pytest.fixture(scope="module")
def page_path(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "day.html"
    write(path, gathered(sound(SECONDS)))
    return path


def decoded(sounds: list[str]) -> np.ndarray:
    return np.concatenate([soundfile.read(io.BytesIO(base64.b64decode(one)))[0] for one in sounds])


def test_sound_and_spectrogram_have_their_events_where_the_recording_has_them(page_path):
    data = page_data(page_path)
    assert (data["name"], data["seconds"], len(data["sounds"])) == ("day.wav", SECONDS, 4)
    heard = np.abs(decoded(data["sounds"]))
    assert len(heard) / PAGE.recording_page_sound_rate == pytest.approx(SECONDS, abs=0.2)
    pieces = [decoded([one]) for one in data["sounds"][:3]]
    assert [len(one) / PAGE.recording_page_sound_rate for one in pieces] == pytest.approx([3.0] * 3, abs=0.01)
    (tile,) = data["tiles"]
    image = Image.open(io.BytesIO(base64.b64decode(tile.partition(",")[2]))).convert("RGB")
    brightness = np.asarray(image).astype(int).sum(axis=(0, 2))
    assert image.size == (320, FEATURES.mel_bins)
    assert data["seconds_per_column"] == 1 / 32
    for event in EVENTS:
        for level, rate in ((heard, PAGE.recording_page_sound_rate), (brightness, 32)):
            around = level[int((event.onset - 0.4) * rate) : int((event.onset + 0.4) * rate)]
            onset = np.flatnonzero(around > 0.5 * level.max())[0] / rate - 0.4
            assert abs(onset) < ONSET_SECONDS
    assert data["events"][1] == [2.5, 3.5, 1, 0.6]


def test_columns_halve_their_resolution_and_keep_the_maxima():
    frames = np.random.default_rng(0).random((1000, 2))
    for parts in ([1000], [1, 7, 300, 302, 999], range(0, 1000, 13)):
        columns = Columns(64)
        for part in np.split(frames, parts):
            columns.add(part)
        assert columns.frames_per_column == 16
        expected = [frames[start : start + 16].max(axis=0) for start in range(0, 1000, 16)]
        np.testing.assert_array_equal(columns.values(), expected)


@pytest.mark.parametrize("samples", [0, 1, FEATURES.hop_size])
def test_spectrogram_of_the_shortest_recordings_has_a_column(samples):
    media = gathered(np.zeros(samples))
    media.finish()
    assert media.spectrogram().shape == (1, FEATURES.mel_bins)


def test_page_of_a_longer_recording_is_not_larger_than_the_limits(tmp_path):
    """Three and six minutes under narrow limits; what has no sound is left mute."""
    limits = replace(PAGE, recording_page_columns=1000, recording_page_sound_megabytes=0.2)
    generator = np.random.default_rng(0)
    sizes = {}
    for minutes in (3, 6):
        noise = 0.1 * generator.standard_normal(minutes * 60 * FEATURES.sample_rate)
        media = gathered(noise, limits)
        write(tmp_path / "page.html", media, seconds=minutes * 60)
        sizes[minutes] = (tmp_path / "page.html").stat().st_size
        data = page_data(tmp_path / "page.html")
        assert sum(map(len, data["sounds"])) <= 0.2e6
        assert 40 < len(data["sounds"]) * 3.0 < minutes * 60
        assert 500 <= minutes * 60 / data["seconds_per_column"] <= 1000
        assert len(base64.b64decode(data["probabilities"][0])) <= 1000
    assert sizes[6] == pytest.approx(sizes[3], rel=0.1)
