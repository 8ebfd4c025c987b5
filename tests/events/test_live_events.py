"""Events from probabilities that come bit by bit: those of the whole recording, and no later than said."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.settings_for_tests import rule_named, same_for_all
from utils.events.live_events import ClassStream, LiveEvents, settling_seconds
from utils.events.post_processing import DoubleThreshold, MedianFilter
from utils.events.probabilities import Probabilities
from utils.events.scored_events import ScoredEvent

STRIDE, RATE = 4, 32.0  # frames of an output, frames a second: 8 outputs a second
# Few levels, so that runs, gaps and thresholds meet often; a slow one beside them, for the clip probability.
LEVELS = st.lists(st.sampled_from([0.1, 0.4, 0.6, 0.95]), max_size=60)
PARTS = st.lists(st.integers(0, 9), max_size=12)
POST_PROCESSINGS = st.one_of(
    st.builds(
        DoubleThreshold,
        clip_threshold=st.sampled_from([0.0, 0.3]),
        high_threshold=st.just(0.9),
        low_threshold=st.sampled_from([0.3, 0.5]),
        join_gap=st.sampled_from([0.0, 0.125, 0.5, 1.0]),
        drop_length=st.sampled_from([0.0, 0.125, 0.5]),
    ),
    st.builds(
        MedianFilter, frame_threshold=st.just(0.5), median_filter_outputs=st.sampled_from([1, 2, 3, 7])
    ),
)


def whole(post_processing, framewise, clipwise, frames: int) -> list[tuple[int, int]]:
    """The events of all outputs at once."""
    edges = np.arange(len(framewise) + 1) * STRIDE
    edges[-1] = frames
    runs = post_processing.find_runs(framewise, clipwise, edges=edges, frames_per_second=RATE)
    return [tuple(run) for run in runs.tolist()]


@settings(max_examples=300, deadline=None)
@given(levels=LEVELS, parts=PARTS, post_processing=POST_PROCESSINGS, seed=st.integers(0, 99))
def test_events_are_those_of_the_whole_recording_however_it_comes(levels, parts, post_processing, seed):
    framewise = np.array(levels, np.float32)
    clipwise = np.random.default_rng(seed).choice(np.float32([0.1, 0.5]), len(levels))
    stream, found = ClassStream(post_processing, STRIDE, RATE), []
    for part, of_clip in zip(
        np.split(framewise, np.cumsum(parts)), np.split(clipwise, np.cumsum(parts)), strict=True
    ):
        found += stream.push(part, of_clip)
    found += stream.finish(len(levels) * STRIDE, np.inf)
    expected = whole(post_processing, framewise, clipwise, len(levels) * STRIDE) if levels else []
    assert [(first, after) for first, after, _ in found] == expected
    for first, after, score in found:
        assert score == pytest.approx(framewise[first // STRIDE : after // STRIDE].mean(), rel=1e-5)


@settings(max_examples=100, deadline=None)
@given(levels=st.lists(st.sampled_from([0.1, 0.95]), max_size=60), post_processing=POST_PROCESSINGS)
def test_no_event_is_found_later_than_the_settling_time_after_its_end(levels, post_processing):
    """Without levels between the thresholds: what begins so after an event may yet become a part of it."""
    stream = ClassStream(post_processing, STRIDE, RATE)
    settling = settling_seconds(same_for_all(post_processing, ["Dog"], RATE), RATE / STRIDE)
    for known, level in enumerate([*levels, *[0.0] * 30], start=1):
        for _, after, _ in stream.push(np.float32([level]), np.float32([1.0])):
            assert known * STRIDE / RATE - after / RATE <= settling


def test_memory_of_a_stream_does_not_grow_between_events():
    post_processing = DoubleThreshold(0.1, 0.9, 0.5, 0.25, 0.25)
    stream = ClassStream(post_processing, STRIDE, RATE)
    for number in range(200):
        level = 0.95 if number % 10 == 0 else 0.1
        list(stream.push(np.full(40, level, np.float32), np.ones(40, np.float32)))
        assert len(stream._framewise) <= 3 * 40


def test_events_of_all_classes_come_in_time_order_and_end_with_the_stream():
    of_class = DoubleThreshold(0.1, 0.9, 0.5, 0.0, 0.0)
    live = LiveEvents(same_for_all(of_class, ["Dog", "Cat"], RATE), STRIDE)
    framewise = np.zeros((20, 2), np.float32)
    framewise[4:6, 0] = framewise[2:3, 1] = framewise[16:, 1] = 0.95
    first = live.push(Probabilities(framewise, np.ones_like(framewise), STRIDE, 80))
    assert [(event.onset, event.offset, event.label) for event in first] == [
        (0.25, 0.375, "Cat"),
        (0.5, 0.75, "Dog"),
    ]
    (last,) = live.finish(80, 2.4)
    assert last == ScoredEvent(2.0, 2.4, "Cat", pytest.approx(0.95))


@pytest.mark.parametrize("outputs", [1, 17, 40])
def test_boxes_that_are_apart_are_those_of_the_whole_recording(outputs):
    """Where one event follows another closely, a box may yet be merged with what comes: not so here."""
    generator = np.random.default_rng(0)
    framewise = np.full(2000, 0.02, np.float32)
    for start in range(20, 1900, 60):
        length = int(generator.integers(3, 35))
        framewise[start : start + length] = generator.uniform(0.4, 1)
    framewise += generator.uniform(0, 0.02, len(framewise)).astype(np.float32)
    clipwise = np.full(len(framewise), 0.9, np.float32)
    post_processing = rule_named("event_boxes")
    stream, found = ClassStream(post_processing, STRIDE, RATE), []
    for start in range(0, len(framewise), outputs):
        part = slice(start, start + outputs)
        found += stream.push(framewise[part], clipwise[part])
        assert len(stream._framewise) < 200
    found += stream.finish(len(framewise) * STRIDE, np.inf)
    expected = whole(post_processing, framewise, clipwise, len(framewise) * STRIDE)
    assert len(expected) > 20
    assert [(first, after) for first, after, _ in found] == expected
