"""Events from probabilities, against a plain reading of the definition, frame by frame."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.settings_for_tests import LABELS, SETTINGS, rule_named, same_for_all
from utils.dataset.tables import Event
from utils.events.post_processing import (
    ClassPostProcessing,
    DoubleThreshold,
    MedianFilter,
    PostProcessing,
    class_post_processing,
    double_threshold,
    drop_short_runs,
    join_close_runs,
)
from utils.events.probabilities import Probabilities

Run = tuple[int, int]
CLASSES = len(LABELS)
DOUBLE_THRESHOLD = rule_named("double_threshold")


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


def detect(probabilities: Probabilities, of_class: ClassPostProcessing) -> tuple[Event, ...]:
    return same_for_all(of_class).events(probabilities)


def in_clip(framewise: np.ndarray, clipwise: np.ndarray, stride_frames: int = 8) -> Probabilities:
    return Probabilities(framewise, clipwise, stride_frames, frames=len(framewise) * stride_frames)


def detect_runs(probability: np.ndarray) -> np.ndarray:
    """Detect with an output for each frame."""
    edges = np.arange(len(probability) + 1)
    return DOUBLE_THRESHOLD.find_runs(probability, 1.0, edges=edges, frames_per_second=64.0)


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


@settings(max_examples=500, deadline=None)
@given(st.lists(values, min_size=1, max_size=30), st.integers(1, 40), st.integers(0, 39))
def test_outputs_give_the_events_of_the_frames_they_stand_for(outputs, stride, cut_off):
    """Also where the last output stands for more or fewer frames than the others."""
    frames = max(len(outputs) * stride + cut_off - 20, (len(outputs) - 1) * stride + 1)
    probabilities = Probabilities(np.array(outputs)[:, None], np.ones(1), stride, frames)
    expected = as_runs(detect_runs(probabilities.stretched()[:, 0]))
    events = same_for_all(DOUBLE_THRESHOLD, ["Dog"]).events(probabilities)
    assert [(event.onset * 64, event.offset * 64) for event in events] == expected


def test_times_are_frames_by_64_with_exclusive_end():
    framewise = np.zeros((80, CLASSES))
    framewise[8:16, 2] = 0.95
    (event,) = detect(in_clip(framewise, framewise.max(axis=0)), DOUBLE_THRESHOLD)
    assert (event.onset, event.offset, event.label) == (1.0, 2.0, "Cat")


def test_no_events_of_a_class_whose_clip_probability_is_at_the_threshold():
    framewise = np.full((80, CLASSES), 0.95)
    clipwise = np.full(CLASSES, SETTINGS.events.clip_threshold)
    assert detect(in_clip(framewise, clipwise), DOUBLE_THRESHOLD) == ()
    clipwise[3] += 1e-6
    events = detect(in_clip(framewise, clipwise), DOUBLE_THRESHOLD)
    assert [event.label for event in events] == ["Alarm_bell_ringing"]


def test_in_a_long_recording_events_start_only_where_the_clip_probability_is_above_the_threshold():
    framewise = np.zeros((80, CLASSES))
    framewise[8:16, 2] = framewise[24:32, 2] = 0.95
    clipwise = np.zeros((80, CLASSES))
    clipwise[30:, 2] = 0.6
    (event,) = detect(in_clip(framewise, clipwise), DOUBLE_THRESHOLD)
    assert (event.onset, event.offset, event.label) == (3.0, 4.0, "Cat")


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
    """Of a model whose pooling cuts off the last frames, up to which the last output then reaches."""
    frames = len(outputs) * stride + min(cut_off, stride - 1)
    framewise = np.zeros((len(outputs), CLASSES))
    framewise[:, 4] = outputs
    probabilities = Probabilities(framewise, np.zeros(CLASSES), stride, frames)
    events = detect(probabilities, rule_named("median_filter"))
    runs = plain_runs(plain_median_filter([value > 0.5 for value in outputs], 5))
    edges = [*range(0, len(outputs) * stride, stride), frames]
    expected = [(edges[first] / 64, edges[after] / 64) for first, after in runs]
    assert [(event.onset, event.offset) for event in events] == expected
    assert {event.label for event in events} <= {LABELS[4]}


def test_each_class_has_its_own_parameters():
    framewise = np.full((80, CLASSES), 0.4)
    framewise[8:16] = 0.6
    low = replace(DOUBLE_THRESHOLD, high_threshold=0.5, low_threshold=0.5)
    of_classes = (
        low,
        replace(low, low_threshold=0.4),
        replace(low, drop_length=1.0),
        replace(low, clip_threshold=0.6),
        MedianFilter(frame_threshold=0.5, median_filter_outputs=1),
        MedianFilter(frame_threshold=0.5, median_filter_outputs=17),
        *[DOUBLE_THRESHOLD] * 4,
    )
    post_processing = PostProcessing(LABELS, of_classes, frames_per_second=64.0)
    events = post_processing.events(in_clip(framewise, framewise.max(axis=0)))
    found = [(event.onset, event.offset, LABELS.index(event.label)) for event in events]
    assert found == [(1.0, 2.0, 0), (0.0, 10.0, 1), (1.0, 2.0, 4)]


def test_values_are_those_of_the_settings():
    assert class_post_processing("double_threshold", SETTINGS.events) == DoubleThreshold(
        clip_threshold=0.5, high_threshold=0.9, low_threshold=0.5, join_gap=0.25, drop_length=0.25
    )
    assert class_post_processing("median_filter", SETTINGS.events) == MedianFilter(0.5, 5)
