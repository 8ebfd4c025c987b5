"""Judges each event: correct, with a wrong boundary, missed, or false.

Correct are the true positives of the event-based metric.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from utils.dataset.tables import Clip, Event
from utils.events.matching import EventTimes, match_events

CORRECT = "correct"
WRONG_BOUNDARY = "wrong boundary"
MISSED = "missed"  # only of reference events
FALSE = "false"  # only of predicted events


@dataclass(frozen=True)
class JudgedEvent:
    """An event and its verdict: one of the four words above."""

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
        """The event-based F1 of this clip alone; 1 where there are neither reference nor predicted events."""
        events = len(self.reference) + len(self.predicted)
        correct = sum(judged.verdict == CORRECT for judged in self.predicted)
        return 2 * correct / events if events else 1.0


def overlaps(first: EventTimes, second: EventTimes) -> np.ndarray:
    """Tell which events share some time, whatever their labels: shape (first events, second events), bool."""
    return (first.onset[:, None] < second.offset) & (second.onset < first.offset[:, None])


def times_of_clip(events: Sequence[Event], labels: Sequence[str]) -> EventTimes:
    """Return the times of the events of a clip, grouped by label."""
    return EventTimes.of((labels.index(event.label), event) for event in events)


def judge_clip(
    name: str,
    reference: Sequence[Event],
    predicted: Sequence[Event],
    *,
    onset_collar: float,
    offset_collar_fraction: float,
) -> JudgedClip:
    """Judge each event of a clip.

    The events that `match_events` pairs are correct. Any other has a wrong boundary where it overlaps an
    event of its label on the other side; else a reference event is missed, and a predicted one is false.

    Parameters
    ----------
    name : str
        Of the clip.
    reference, predicted : sequence of Event
    onset_collar : float
        Tolerance of onsets in s, and the smallest tolerance of offsets.
    offset_collar_fraction : float
        Tolerance of offsets, as a fraction of the reference event's length.
    """
    labels = list({event.label: None for event in (*reference, *predicted)})
    true, detected = times_of_clip(reference, labels), times_of_clip(predicted, labels)
    partners = match_events(
        true, detected, onset_collar=onset_collar, offset_collar_fraction=offset_collar_fraction
    )
    near = (true.group[:, None] == detected.group) & overlaps(true, detected)
    return JudgedClip(
        name,
        judged_events(reference, partners >= 0, near.any(axis=1), MISSED),
        judged_events(predicted, np.isin(np.arange(len(predicted)), partners), near.any(axis=0), FALSE),
    )


def judged_events(
    events: Sequence[Event], is_correct: np.ndarray, is_near: np.ndarray, otherwise: str
) -> tuple[JudgedEvent, ...]:
    """Return the events with their verdicts; the arrays hold a bool for each event."""
    return tuple(
        JudgedEvent(event, CORRECT if correct else WRONG_BOUNDARY if near else otherwise)
        for event, correct, near in zip(events, is_correct, is_near, strict=True)
    )


def judge_clips(
    reference: Iterable[Clip],
    submission: Iterable[Clip],
    *,
    onset_collar: float,
    offset_collar_fraction: float,
) -> list[JudgedClip]:
    """Judge every clip of the reference, in its order, by `judge_clip`.

    A clip that the submission leaves out has no predicted events.
    """
    predicted = {clip.name: clip.events or () for clip in submission}
    return [
        judge_clip(
            clip.name,
            clip.events or (),
            predicted.get(clip.name, ()),
            onset_collar=onset_collar,
            offset_collar_fraction=offset_collar_fraction,
        )
        for clip in reference
    ]


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
        missed_times, false_times = times_of_clip(missed, labels), times_of_clip(false, labels)
        together = overlaps(missed_times, false_times)
        rows, columns = np.nonzero(together)
        np.add.at(counts, (missed_times.group[rows], false_times.group[columns]), 1)
        np.add.at(counts, (missed_times.group[~together.any(axis=1)], nothing), 1)
        np.add.at(counts, (nothing, false_times.group[~together.any(axis=0)]), 1)
    return counts
