"""Matching against a slow one, and against sed_eval's true positives."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.settings_for_tests import COLLARS, LABELS, SETTINGS
from utils.dataset.tables import Clip, Event
from utils.events.matching import EventTimes, match_events
from utils.scoring.sed_eval_scores import score_events

ONSET_COLLAR, OFFSET_COLLAR_FRACTION = COLLARS.values()
Grouped = list[tuple[int, Event]]

# Times on a coarse grid meet the collars exactly, and crowd so that one event fits several others.
times = st.integers(0, 60).map(lambda step: step / 20)
events = st.tuples(times, times).filter(lambda pair: pair[0] != pair[1])
events = events.map(lambda pair: Event(min(pair), max(pair), LABELS[0]))
grouped_events = st.lists(st.tuples(st.integers(0, 2), events), max_size=12)


def fit(reference: tuple[int, Event], predicted: tuple[int, Event]) -> bool:
    (group, true), (predicted_group, event) = reference, predicted
    collar = max(ONSET_COLLAR, OFFSET_COLLAR_FRACTION * (true.offset - true.onset))
    near_onset = abs(true.onset - event.onset) <= ONSET_COLLAR
    return group == predicted_group and near_onset and abs(true.offset - event.offset) <= collar


def slow_largest_matching(reference: Grouped, predicted: Grouped) -> int:
    """Let each reference event in turn take a free partner, or one whose owner finds another."""
    owner: dict[int, int] = {}

    def takes_partner(row: int, tried: set[int]) -> bool:
        for column, event in enumerate(predicted):
            if column not in tried and fit(reference[row], event):
                tried.add(column)
                if column not in owner or takes_partner(owner[column], tried):
                    owner[column] = row
                    return True
        return False

    return sum(takes_partner(row, set()) for row in range(len(reference)))


def match(reference: Grouped, predicted: Grouped) -> np.ndarray:
    return match_events(EventTimes.of(reference), EventTimes.of(predicted), **COLLARS)


@settings(max_examples=500, deadline=None)
@given(grouped_events, grouped_events)
def test_matching_is_one_of_the_largest(reference, predicted):
    partners = match(reference, predicted)
    matched = partners[partners >= 0].tolist()
    assert len(partners) == len(reference)
    assert len(set(matched)) == len(matched) == slow_largest_matching(reference, predicted)
    for row, column in enumerate(partners):
        assert column == -1 or fit(reference[row], predicted[column])


@settings(max_examples=150, deadline=None)
@given(grouped_events, grouped_events)
def test_matched_events_are_the_true_positives_of_sed_eval(reference, predicted):
    def as_clips(grouped: Grouped) -> list[Clip]:
        return [Clip(str(n), events=tuple(event for group, event in grouped if group == n)) for n in range(3)]

    scores = score_events(
        as_clips(reference),
        as_clips(predicted),
        labels=LABELS,
        scoring=SETTINGS.scoring,
        show_progress=False,
    )
    recall = scores.event.classwise[LABELS[0]].recall
    assert math.isnan(recall) == (len(reference) == 0)
    if reference:
        hits = int((match(reference, predicted) >= 0).sum())
        assert hits == pytest.approx(recall * len(reference), abs=1e-9)


def test_an_event_that_fits_two_is_given_to_the_one_that_needs_it():
    """The first prediction fits both references, the second one only the first reference."""
    reference = [(0, Event(1.0, 2.0, "Dog")), (0, Event(1.2, 2.2, "Dog"))]
    predicted = [(0, Event(1.1, 2.1, "Dog")), (0, Event(0.9, 1.9, "Dog"))]
    assert match(reference, predicted).tolist() == [1, 0]


def test_events_of_different_groups_are_not_matched():
    event = Event(1.0, 2.0, "Dog")
    assert match([(2, event), (0, event)], [(0, event), (1, event)]).tolist() == [-1, 0]
    assert match([(0, event)], []).tolist() == [-1]
    assert match([], [(0, event)]).tolist() == []
