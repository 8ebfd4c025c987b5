"""`predict --live`: the events of `predict`, each in time, from a stream that comes in real time."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from pytorch.live import Incoming, detect_live, final_outputs, latency_bound, microphone_blocks, pcm_blocks
from pytorch.long_audio import WindowProbabilities, average_windows, detect_in_streams
from tests.commands import PROJECT
from tests.settings_for_tests import SETTINGS, same_for_all
from tests.small_checkpoint import small_checkpoint, small_sounds
from utils.audio.reading import SampleStream
from utils.events.post_processing import class_post_processing
from utils.events.probabilities import Probabilities
from utils.events.scored_events import events_within, with_scores
from utils.system.errors import SedError

RATE = 8000  # Hz, of streams and features
FEATURES = replace(
    SETTINGS.features,
    sample_rate=RATE,
    clip_seconds=1.0,
    window_size=256,
    hop_size=250,
    mel_bins=16,
    mel_max_frequency=4000,
)
EVENTS = replace(SETTINGS.events, join_gap=0.125, drop_length=0.0, clip_threshold=0.1)
POST_PROCESSING = same_for_all(
    class_post_processing("double_threshold", EVENTS), FEATURES.labels, FEATURES.frames_per_second
)
SECONDS_TO_COMPUTE = 1.0  # that a slow and busy machine may take for a window of the test's model
BLOCK_SECONDS = 0.05  # of what a sender writes at once


class LoudnessDetector:
    """Detects the first class wherever it is loud, and looks a little at the whole window."""

    model = SimpleNamespace(stride_frames=4)
    features, events, labels, post_processing = FEATURES, EVENTS, FEATURES.labels, POST_PROCESSING
    batch_size = 8

    def probabilities(self, logmel: np.ndarray) -> Probabilities:
        is_loud = logmel.reshape(len(logmel), -1, 4, 16).max(axis=(2, 3)) > -20
        framewise = np.zeros((*is_loud.shape, FEATURES.classes_num), np.float32)
        framewise[..., 0] = 0.97 * is_loud + 0.02 * is_loud.mean(axis=1, keepdims=True)
        return Probabilities(framewise, framewise.max(axis=1), 4, FEATURES.clip_frames)


def tones(seconds: float, *times: tuple[float, float]) -> np.ndarray:
    """Tones from onset to offset in silence, as int16 has them."""
    time = np.arange(round(seconds * RATE)) / RATE
    is_tone = sum((time >= onset) & (time < offset) for onset, offset in times)
    return np.round(2**14 * np.sin(2 * np.pi * 1000 * time) * is_tone) / 2**15


def pcm(samples: np.ndarray) -> bytes:
    return (samples * 2**15).astype("<i2").tobytes()


@pytest.mark.parametrize("starts", [[0, 4, 8, 12], [0, 4, 8, 10], [0, 2], [0]])
def test_final_outputs_are_the_averages_of_the_whole_recording(starts):
    """But for those that are given before the last window comes, if it is nearer than the others."""
    generator = np.random.default_rng(0)
    windows = [
        Probabilities(generator.random((10, 3), np.float32), generator.random(3, np.float32), 2, 19)
        for _ in starts
    ]
    parts = list(final_outputs(zip(starts, windows, strict=True), 4))
    expected = average_windows(
        [WindowProbabilities(None, 2 * start, of) for start, of in zip(starts, windows, strict=True)]
    )
    given_before = slice(starts[-1], starts[-2] + 4) if len(starts) > 1 else slice(0, 0)
    for name in ("framewise", "clipwise"):
        found, whole = np.concatenate([getattr(part, name) for part in parts]), getattr(expected, name)
        assert found.shape == whole.shape
        found[given_before] = whole[given_before]
        np.testing.assert_allclose(found, whole, rtol=1e-6)
    assert [part.frames for part in parts[:-2]] == [2 * (start + 4) for start in starts[:-1]]
    assert parts[-1].frames == expected.frames


def events_of(samples: np.ndarray, tmp_path) -> tuple:
    """The events that `predict` detects in a file."""
    soundfile.write(tmp_path / "sound.wav", samples, RATE, subtype="PCM_16")
    detector = LoudnessDetector()
    streams = [SampleStream(tmp_path / "sound.wav", FEATURES)]
    ((stream, probabilities),) = filter(None, detect_in_streams(detector, streams))
    events = events_within(POST_PROCESSING.events(probabilities), stream.seconds)
    return with_scores(events, probabilities, POST_PROCESSING)


@pytest.mark.parametrize("seconds", [0.7, 1.0, 7.5, 8.3])
def test_events_of_a_stream_are_those_of_the_recording(tmp_path, seconds):
    samples = tones(seconds, (0.3, 0.6), (1.1, 3.9), (4.0, 4.2), (5.0, 5.2), (6.1, 7.0), (8.1, 8.3))
    blocks = np.split(samples.astype(np.float32), range(777, len(samples), 777))
    found = list(detect_live(LoudnessDetector(), blocks, RATE))
    expected = events_of(samples, tmp_path)
    assert len(expected) == {0.7: 1, 1.0: 1, 7.5: 4, 8.3: 5}[seconds]
    assert [(e.onset, e.offset, e.label) for e in found] == [(e.onset, e.offset, e.label) for e in expected]
    np.testing.assert_allclose([e.score for e in found], [e.score for e in expected], atol=0.01)


def test_events_need_no_more_of_the_stream_than_the_stated_latency():
    """Without a clock: how much of the stream was taken when an event came."""
    samples = tones(30.0, *((start, start + 0.1 + start / 20) for start in np.arange(0.3, 26, 1.37)))
    taken = 0

    def blocks():
        nonlocal taken
        for block in np.split(samples.astype(np.float32), 600):
            taken += len(block)
            yield block

    detector = LoudnessDetector()
    bound = latency_bound(detector)
    latencies = []
    for event in detect_live(detector, blocks(), RATE):
        latencies.append(taken / RATE - event.offset)
        assert latencies[-1] <= bound + BLOCK_SECONDS
    assert len(latencies) > 10
    assert max(latencies) > bound - 0.3, "the bound is not far from what happens"


def test_events_of_a_stream_in_real_time_come_within_the_stated_latency():
    """A thread is the sender: it writes 50 ms of sound each 50 ms."""
    samples = tones(6.0, (0.5, 0.8), (1.9, 2.5), (3.3, 3.4))
    reader, writer = os.pipe()
    began = time.monotonic()

    def send() -> None:
        with os.fdopen(writer, "wb", buffering=0) as file:
            for number, block in enumerate(np.split(samples, 120)):
                time.sleep(max(0, began + (number + 1) * BLOCK_SECONDS - time.monotonic()))
                file.write(pcm(block))

    threading.Thread(target=send).start()
    detector = LoudnessDetector()
    bound = latency_bound(detector)
    assert bound == pytest.approx(1.0 + 0.125 + 4 / 32)
    with os.fdopen(reader, "rb", buffering=0) as file:
        incoming = Incoming(pcm_blocks(file), RATE)
        found = []
        for event in detect_live(detector, incoming, RATE):
            found.append(event)
            latency = time.monotonic() - began - event.offset
            assert latency <= bound + SECONDS_TO_COMPUTE
            assert time.monotonic() - began < 5.9, "only after the stream has ended"
    assert [round(event.onset, 1) for event in found] == pytest.approx([0.5, 1.9, 3.3], abs=0.13)
    assert incoming.seconds == pytest.approx(6.0)


def test_samples_come_whole_however_the_pipe_cuts_them():
    samples = np.random.default_rng(0).integers(-(2**15), 2**15, 1000) / 2**15
    content = pcm(samples)

    class OddPipe(io.RawIOBase):
        def __init__(self) -> None:
            self.parts = [content[:1], content[1:4], content[4:999], content[999:], b""]

        def read(self, size: int = -1) -> bytes:
            return self.parts.pop(0)

    np.testing.assert_array_equal(np.concatenate(list(pcm_blocks(OddPipe()))), samples)


def test_what_goes_wrong_with_the_sound_is_reported_by_the_main_thread(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(SedError, match="--live microphone needs sounddevice"):
        list(Incoming(microphone_blocks(RATE), RATE))


def test_a_microphone_gives_what_it_records(monkeypatch):
    """With a stand-in for sounddevice, as a machine for tests has no microphone."""
    recorded = np.arange(12, dtype=np.float32)[:, None] / 16

    class InputStream:
        def __init__(self, samplerate, channels, callback) -> None:
            assert (samplerate, channels) == (RATE, 1)
            for block in np.split(recorded, 3):
                callback(block, len(block), None, None)

        def __enter__(self) -> "InputStream":
            return self

        def __exit__(self, *_: object) -> None:
            pass

    stand_in = SimpleNamespace(InputStream=InputStream, PortAudioError=OSError)
    monkeypatch.setitem(sys.modules, "sounddevice", stand_in)
    blocks = microphone_blocks(RATE)
    np.testing.assert_array_equal(np.concatenate([next(blocks) for _ in range(3)]), recorded[:, 0])


def test_command_prints_each_event_as_it_ends_and_ctrl_c_ends_the_stream(tmp_path):
    """The pipe stays open: what is printed before Ctrl-C was printed while the stream ran."""
    checkpoint = small_checkpoint(tmp_path / "model.pth")
    command = [sys.executable, PROJECT / "pytorch/inference.py", "predict", "--checkpoint_path", checkpoint]
    process = subprocess.Popen(
        [*map(str, command), "--live", "-", "--sample_rate", str(RATE)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    process.stdin.write(pcm(np.concatenate(small_sounds(4))))
    process.stdin.flush()
    header, first = process.stdout.readline(), process.stdout.readline()
    assert header.split() == b"filename onset offset event_label score".split()
    assert first.startswith(b"live\t")
    process.send_signal(signal.SIGINT)
    process.stdin.close()
    rest, messages = process.stdout.read(), process.stderr.read().decode()
    assert process.wait() == 0, messages
    assert "an event is printed at most" in messages
    assert f"all {1 + len(rest.splitlines())}".split() == messages.splitlines()[-1].split()[:2]
