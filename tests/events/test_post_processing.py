"""Events from probabilities, against a plain reading of the definition, frame by frame."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils import config
from utils.events.post_processing import (
    DoubleThreshold,
    MedianFilter,
    detect_events,
    double_threshold,
    drop_short_runs,
    join_close_runs,
    post_processing_named,
)
from utils.system.errors import SedError

Run = tuple[int, int]
DOUBLE_THRESHOLD = {"post_processing": post_processing_named("double_threshold"), "stride_frames": 8}


def plain_double_threshold(probability: list[float], high: float, low: float) -> list[Run]:
    """Widen each frame above `high` both ways while the frames stay at or above `low`; unite what touches."""
    active = [False] * len(probability)
    for start, value in enumerate(probability):
        if value > high:
            active[start] = True
            for step in (-1, 1):
                frame = start + step
                while 0 <= frame < len(probability) and probability[frame] >= low:
                    active[frame] = True
                    frame += step
    return plain_runs(active)


def plain_runs(active: list[bool]) -> list[Run]:
    runs, start = [], None
    for frame, is_active in enumerate([*active, False]):
        if is_active and start is None:
            start = frame
        if not is_active and start is not None:
            runs.append((start, frame))
            start = None
    return runs


def plain_join(runs: list[Run], gap: int) -> list[Run]:
    joined: list[Run] = []
    for first, after in runs:
        if joined and first - joined[-1][1] <= gap:
            joined[-1] = (joined[-1][0], after)
        else:
            joined.append((first, after))
    return joined


def plain_drop(runs: list[Run], length: int) -> list[Run]:
    return [(first, after) for first, after in runs if after - first > length]


def detect_runs(probability: np.ndarray) -> np.ndarray:
    return DoubleThreshold().find_runs(probability, 1.0, 8)


def as_runs(array: np.ndarray) -> list[Run]:
    return [(int(first), int(after)) for first, after in array]


# Few distinct values, the thresholds among them, make runs that touch, meet at a threshold, or fill the clip.
values = st.sampled_from([0.0, 0.3, 0.5, 0.500001, 0.7, 0.9, 0.900001, 1.0])
probabilities = st.lists(values, max_size=60)
# Stretches of equal frames reach the lengths at which joining and dropping decide.
stretches = st.lists(st.tuples(values, st.integers(1, 40)), min_size=1, max_size=20)


@settings(max_examples=2000, deadline=None)
@given(probabilities, st.sampled_from([0.3, 0.5, 0.9]), st.sampled_from([0.3, 0.5, 0.9]))
def test_double_threshold_equals_the_plain_reading(probability, high, low):
    found = double_threshold(np.array(probability), high=high, low=low)
    assert as_runs(found) == plain_double_threshold(probability, high, low)


@settings(max_examples=2000, deadline=None)
@given(st.lists(st.booleans(), max_size=60), st.integers(0, 8), st.integers(0, 8))
def test_joining_and_dropping_equal_the_plain_reading(active, gap, length):
    runs = plain_runs(active)
    joined = join_close_runs(np.array(runs, dtype=int).reshape(-1, 2), gap_frames=gap)
    assert as_runs(joined) == plain_join(runs, gap)
    kept = drop_short_runs(joined, length_frames=length)
    assert as_runs(kept) == plain_drop(plain_join(runs, gap), length)


@settings(max_examples=2000, deadline=None)
@given(stretches)
def test_detected_runs_equal_the_plain_reading(stretches):
    probability = [value for value, length in stretches for _ in range(length)]
    expected = plain_drop(plain_join(plain_double_threshold(probability, 0.9, 0.5), 16), 16)
    assert as_runs(detect_runs(np.array(probability))) == expected


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_detected_runs_of_rough_random_curves_equal_the_plain_reading(seed):
    steps = np.random.default_rng(seed).normal(0, 0.15, 640)
    probability = 1 / (1 + np.exp(-np.cumsum(steps) * 4))
    expected = plain_drop(plain_join(plain_double_threshold(probability.tolist(), 0.9, 0.5), 16), 16)
    assert as_runs(detect_runs(probability)) == expected


def test_times_are_frames_by_64_with_exclusive_end():
    framewise = np.zeros((640, 10))
    framewise[64:128, 2] = 0.95
    (event,) = detect_events(framewise, framewise.max(axis=0), **DOUBLE_THRESHOLD)
    assert (event.onset, event.offset, event.label) == (1.0, 2.0, "Cat")


def test_class_is_not_looked_at_where_its_clip_output_is_at_the_threshold():
    framewise = np.full((640, 10), 0.95)
    clipwise = np.full(10, config.clip_threshold)
    assert detect_events(framewise, clipwise, **DOUBLE_THRESHOLD) == ()
    clipwise[3] += 1e-6
    events = detect_events(framewise, clipwise, **DOUBLE_THRESHOLD)
    assert [event.label for event in events] == ["Alarm_bell_ringing"]


def test_gap_of_16_frames_is_joined_and_of_17_is_not():
    for gap, expected in ((16, 1), (17, 2)):
        probability = np.ones(200)
        probability[50 : 50 + gap] = 0
        assert len(detect_runs(probability)) == expected


def test_run_of_16_frames_is_dropped_and_of_17_is_kept():
    for length, expected in ((16, 0), (17, 1)):
        probability = np.zeros(200)
        probability[50 : 50 + length] = 1
        assert len(detect_runs(probability)) == expected


def plain_median_filter(active: list[bool], length: int) -> list[bool]:
    """Replace each value by the median of those around it, mirrored at the ends."""
    half = length // 2
    mirrored = active[:half][::-1] + active + active[::-1][:half]
    return [sorted(mirrored[start : start + length])[half] for start in range(len(active))]


@settings(max_examples=300, deadline=None)
@given(st.lists(values, min_size=8, max_size=40), st.integers(1, 8), st.integers(0, 3))
def test_median_filter_equals_the_plain_reading(outputs, stride, cut_off):
    """Of a model whose pooling cuts off the last frames, which then repeat the last output."""
    framewise = np.zeros((len(outputs) * stride + min(cut_off, stride - 1), config.classes_num))
    framewise[:, 4] = [*np.repeat(outputs, stride), *[outputs[-1]] * min(cut_off, stride - 1)]
    median_filter = post_processing_named("median_filter")
    events = detect_events(
        framewise, np.zeros(config.classes_num), post_processing=median_filter, stride_frames=stride
    )
    visible = framewise[::stride, 4].tolist()
    runs = plain_runs(plain_median_filter([value > 0.5 for value in visible], 5))
    expected = [(first * stride / 64, min(after * stride, len(framewise)) / 64) for first, after in runs]
    assert [(event.onset, event.offset) for event in events] == expected
    assert {event.label for event in events} <= {config.labels[4]}


def test_unknown_post_processing_lists_the_known_ones():
    with pytest.raises(SedError, match="no post-processing 'none'; the known ones are double_threshold, med"):
        post_processing_named("none")


def test_each_class_has_its_own_parameters():
    framewise = np.full((640, config.classes_num), 0.4)
    framewise[64:128] = 0.6
    post_processing = (
        DoubleThreshold(high_threshold=0.5, low_threshold=0.5),
        DoubleThreshold(high_threshold=0.5, low_threshold=0.4),
        DoubleThreshold(high_threshold=0.5, low_threshold=0.5, drop_length=1.0),
        DoubleThreshold(clip_threshold=0.6, high_threshold=0.5, low_threshold=0.5),
        MedianFilter(frame_threshold=0.5, median_filter_outputs=1),
        MedianFilter(frame_threshold=0.5, median_filter_outputs=17),
        *[DoubleThreshold()] * 4,
    )
    events = detect_events(framewise, framewise.max(axis=0), post_processing=post_processing, stride_frames=8)
    found = [(event.onset, event.offset, config.labels.index(event.label)) for event in events]
    assert found == [(1.0, 2.0, 0), (0.0, 10.0, 1), (1.0, 2.0, 4)]
