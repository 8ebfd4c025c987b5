"""What became of each event: found, found with a wrong boundary, missed, or claimed where there is none.

The tolerances are those of the event-based score, whose true positives are the events called correct here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from utils import config
from utils.dataset.tables import Clip, Event

CORRECT = "correct"
WRONG_BOUNDARY = "wrong boundary"
MISSED = "missed"  # only of reference events
FALSE = "false"  # only of predicted events


@dataclass(frozen=True)
class JudgedEvent:
    """An event and what became of it: one of the four words above."""

    event: Event
    verdict: str


@dataclass(frozen=True)
class JudgedClip:
    """The reference and the predicted events of a clip, each in its table's order, with their verdicts."""

    name: str
    reference: tuple[JudgedEvent, ...]
    predicted: tuple[JudgedEvent, ...]

    @property
    def f1(self) -> float:
        """Return the event-based F1 of this clip alone; 1 where there is nothing and nothing is claimed."""
        events = len(self.reference) + len(self.predicted)
        correct = sum(judged.verdict == CORRECT for judged in self.predicted)
        return 2 * correct / events if events else 1.0


def times(events: Sequence[Event]) -> tuple[np.ndarray, np.ndarray]:
    """Return onsets and offsets in s, each of shape (events,)."""
    return np.array([e.onset for e in events], float), np.array([e.offset for e in events], float)


def overlaps(first: Sequence[Event], second: Sequence[Event]) -> np.ndarray:
    """Tell which events of two lists share some time, whatever their labels: shape (first, second), bool."""
    first_onsets, first_offsets = times(first)
    second_onsets, second_offsets = times(second)
    return (first_onsets[:, None] < second_offsets) & (second_onsets < first_offsets[:, None])


def same_labels(first: Sequence[Event], second: Sequence[Event]) -> np.ndarray:
    """Tell which events of two lists have the same label: shape (first, second), bool."""
    return np.array([[a.label == b.label for b in second] for a in first], bool).reshape(
        len(first), len(second)
    )


def hits(
    reference: Sequence[Event],
    predicted: Sequence[Event],
    *,
    onset_collar: float,
    offset_collar_fraction: float,
) -> np.ndarray:
    """Tell which predicted event is within the tolerances of which reference event of its label.

    Parameters
    ----------
    reference, predicted : sequence of Event
        Of one clip.
    onset_collar : float
        Tolerance of onsets in s, and the least tolerance of offsets.
    offset_collar_fraction : float
        Tolerance of offsets, as a fraction of the reference event's length.

    Returns
    -------
    np.ndarray, shape (reference events, predicted events), bool

    References
    ----------
    Mesaros, Heittola, Virtanen: Metrics for polyphonic sound event detection, Applied Sciences 6(6), 2016.
    """
    onsets, offsets = times(reference)
    predicted_onsets, predicted_offsets = times(predicted)
    offset_tolerance = np.maximum(onset_collar, offset_collar_fraction * (offsets - onsets))
    return (
        same_labels(reference, predicted)
        & (np.abs(onsets[:, None] - predicted_onsets) <= onset_collar)
        & (np.abs(offsets[:, None] - predicted_offsets) <= offset_tolerance[:, None])
    )


def judge_clip(
    name: str,
    reference: Sequence[Event],
    predicted: Sequence[Event],
    *,
    onset_collar: float = config.onset_collar,
    offset_collar_fraction: float = config.offset_collar_fraction,
) -> JudgedClip:
    """Say of each event of a clip what became of it.

    As many reference events as possible are matched with a predicted event each, within the tolerances; these
    pairs are correct. Any other event has a wrong boundary where it overlaps an event of its label on the
    other side; else a reference event is missed, and a predicted one is false.

    Parameters
    ----------
    name : str
        Of the clip.
    reference, predicted : sequence of Event
    onset_collar, offset_collar_fraction : float
        The tolerances; see `hits`.
    """
    matrix = hits(
        reference, predicted, onset_collar=onset_collar, offset_collar_fraction=offset_collar_fraction
    )
    rows, columns = linear_sum_assignment(matrix, maximize=True)
    matched = matrix[rows, columns]
    near = same_labels(reference, predicted) & overlaps(reference, predicted)
    return JudgedClip(
        name,
        judged_events(reference, set(rows[matched]), near.any(axis=1), MISSED),
        judged_events(predicted, set(columns[matched]), near.any(axis=0), FALSE),
    )


def judged_events(
    events: Sequence[Event], correct: set[int], is_near: np.ndarray, otherwise: str
) -> tuple[JudgedEvent, ...]:
    """Return the events with their verdicts; `correct` holds indexes, `is_near` a bool for each event."""
    return tuple(
        JudgedEvent(event, CORRECT if index in correct else WRONG_BOUNDARY if near else otherwise)
        for index, (event, near) in enumerate(zip(events, is_near, strict=True))
    )


def judge_clips(reference: Iterable[Clip], submission: Iterable[Clip]) -> list[JudgedClip]:
    """Judge every clip of the reference, in its order. One that the submission leaves out has no events."""
    predicted = {clip.name: clip.events or () for clip in submission}
    return [judge_clip(clip.name, clip.events or (), predicted.get(clip.name, ())) for clip in reference]


def count_verdicts(events: Iterable[JudgedEvent], labels: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return how many events of each label have each verdict."""
    counts = {label: dict.fromkeys((CORRECT, WRONG_BOUNDARY, MISSED, FALSE), 0) for label in labels}
    for judged in events:
        counts[judged.event.label][judged.verdict] += 1
    return counts


def confusion(clips: Iterable[JudgedClip], labels: Sequence[str]) -> np.ndarray:
    """Count which false events there are at the time of which missed ones.

    Parameters
    ----------
    clips : iterable of JudgedClip
    labels : sequence of str

    Returns
    -------
    np.ndarray, shape (labels + 1, labels + 1), int
        Row: label of a missed event; column: label of a false event that overlaps it. A pair counts one, so
        an event that overlaps several counts several times. Last column: missed events without a false one;
        last row: false events without a missed one; both together: always 0.
    """
    nothing = len(labels)
    counts = np.zeros((nothing + 1, nothing + 1), int)
    for clip in clips:
        missed = [judged.event for judged in clip.reference if judged.verdict == MISSED]
        false = [judged.event for judged in clip.predicted if judged.verdict == FALSE]
        together = overlaps(missed, false)
        for row, column in np.argwhere(together):
            counts[labels.index(missed[row].label), labels.index(false[column].label)] += 1
        for row in np.flatnonzero(~together.any(axis=1)):
            counts[labels.index(missed[row].label), nothing] += 1
        for column in np.flatnonzero(~together.any(axis=0)):
            counts[nothing, labels.index(false[column].label)] += 1
    return counts
