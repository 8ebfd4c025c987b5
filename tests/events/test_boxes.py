"""Sound event bounding boxes: change points, merging, confidence."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.settings_for_tests import rule_named
from utils.events.boxes import change_points, sound_event_boxes

PROBABILITIES = hnp.arrays(np.float64, st.integers(1, 40), elements=st.floats(0, 1, width=16))


def boxes_of(probability, step_outputs=2, merge_difference=0.0, merge_ratio=3.0):
    boxes, means = sound_event_boxes(
        np.array(probability, float),
        step_outputs=step_outputs,
        merge_difference=merge_difference,
        merge_ratio=merge_ratio,
    )
    return boxes.tolist(), means.tolist()


def test_a_rectangle_is_one_box_at_its_edges():
    boxes, means = boxes_of([0] * 5 + [0.8] * 6 + [0] * 5)
    assert boxes == [[5, 11]]
    assert means == pytest.approx([0.8])


def test_an_event_from_the_start_or_to_the_end_reaches_there():
    assert boxes_of([0.9] * 6 + [0] * 6)[0] == [[0, 6]]
    assert boxes_of([0] * 6 + [0.9] * 6)[0] == [[6, 12]]


def test_silence_has_no_boxes():
    assert boxes_of([0.0] * 20) == ([], [])
    assert boxes_of([0.001] * 20) == ([], [])


def test_faint_event_is_a_box_so_that_a_low_threshold_of_psds_finds_it():
    assert boxes_of([0.0] * 5 + [0.01] * 6 + [0.0] * 5)[0] == [[5, 11]]


def test_deep_gap_separates_and_shallow_gap_joins():
    deep = [0] * 3 + [0.9] * 6 + [0.05] * 6 + [0.9] * 6 + [0] * 3
    assert boxes_of(deep)[0] == [[3, 9], [15, 21]]
    shallow = [0] * 3 + [0.9] * 6 + [0.5] * 6 + [0.9] * 6 + [0] * 3
    assert boxes_of(shallow)[0] == [[3, 21]]
    assert boxes_of(shallow, merge_ratio=1.5)[0] == [[3, 9], [15, 21]]
    assert boxes_of(shallow, merge_ratio=1.5, merge_difference=0.45)[0] == [[3, 21]]


def slow_change_points(probability: np.ndarray, step: int) -> list[list[int]]:
    """The definition, place by place."""
    padded = np.concatenate([np.zeros(step), probability, np.zeros(step)])
    changes = []
    for place in range(len(probability) + 1):
        change = padded[place + step : place + 2 * step].sum() - padded[place : place + step].sum()
        changes.append(0.0 if abs(change) < 1e-6 else change)
    extrema: list[tuple[int, float]] = []
    for place, change in enumerate(changes):
        if change == 0:
            continue
        if extrema and np.sign(extrema[-1][1]) == np.sign(change):
            if abs(change) > abs(extrema[-1][1]) + 1e-9:
                extrema[-1] = (place, change)
        else:
            extrema.append((place, change))
    if extrema and extrema[0][1] < 0:
        extrema = extrema[1:]
    places = [place for place, _ in extrema]
    return [list(pair) for pair in zip(places[::2], places[1::2], strict=False)]


@given(PROBABILITIES.map(lambda values: np.round(values * 8) / 8), st.integers(1, 6))
def test_change_points_equal_the_definition(probability, step):
    assert change_points(probability, step).tolist() == slow_change_points(probability, step)


@given(PROBABILITIES, st.integers(1, 6), st.floats(0, 1), st.floats(1, 8))
def test_boxes_ascend_without_overlap_and_have_the_mean_inside(probability, step, difference, ratio):
    boxes, means = boxes_of(probability, step, difference, ratio)
    ends = [end for box in boxes for end in box]
    assert ends == sorted(ends)
    assert all(0 <= first < after <= len(probability) for first, after in boxes)
    for (first, after), mean in zip(boxes, means, strict=True):
        assert mean == pytest.approx(probability[first:after].mean(), abs=1e-6)


@given(PROBABILITIES, st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_thresholds_choose_among_the_same_boxes(probability, clipwise, low, high):
    low, high = sorted((low, high))
    edges, rate = 4 * np.arange(len(probability) + 1), 64.0
    found = [
        rule_named("event_boxes", box_threshold=threshold)
        .find_runs(probability, clipwise, edges=edges, frames_per_second=rate)
        .tolist()
        for threshold in (low, high)
    ]
    assert all(run in found[0] for run in found[1])


def test_confidence_is_the_geometric_mean_of_box_and_clip_and_what_psds_sees():
    of_class = rule_named("event_boxes")
    framewise = np.array([[0] * 40 + [0.81] * 40 + [0] * 40], float)
    scores = of_class.frame_scores(framewise, np.array([0.49]), outputs_per_second=16.0)
    np.testing.assert_allclose(scores[0], [0] * 40 + [0.63] * 40 + [0] * 40)


def test_clip_probability_of_a_long_recording_counts_where_the_box_is():
    of_class = rule_named("event_boxes", box_threshold=0.5)
    framewise = np.array(([0] * 40 + [0.9] * 40 + [0] * 40) * 2, float)
    clipwise = np.array([1.0] * 120 + [0.1] * 120)
    edges = 4 * np.arange(241)
    runs = of_class.find_runs(framewise, clipwise, edges=edges, frames_per_second=64.0)
    assert runs.tolist() == [[160, 320]]
