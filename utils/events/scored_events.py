"""Detected events, and how sure the detector is of each."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from utils.dataset.tables import Event
from utils.events.post_processing import ClassPostProcessing, EventBoxes, PostProcessing
from utils.events.probabilities import Probabilities


@dataclass(frozen=True)
class ScoredEvent(Event):
    """A detected event.

    Attributes
    ----------
    score : float
        How sure the detector is of it, 0 to 1: the confidence of its box, where events are boxes, else the
        mean of the frame probabilities of its class from onset to offset.
    """

    score: float


def in_time_order(event: Event) -> tuple[float, float, str]:
    """Return what events are sorted by: onset, offset, label."""
    return event.onset, event.offset, event.label


def events_within(events: Iterable[Event], seconds: float) -> tuple[Event, ...]:
    """Return the events in a recording of so many seconds: cut at its end, without those that begin later."""
    return tuple(
        replace(event, offset=min(event.offset, seconds)) for event in events if event.onset < seconds
    )


def mean_between(outputs: np.ndarray, edges: np.ndarray, first: float, after: float) -> float:
    """Return the mean of a class's probability between two times.

    Parameters
    ----------
    outputs : np.ndarray, shape (outputs,)
    edges : np.ndarray, shape (outputs + 1,)
        At which the outputs begin, and the end of the last one, in any unit of time.
    first, after : float
        Begin and end of an event, in the same unit.
    """
    begin, end = np.searchsorted(edges, first, "right") - 1, np.searchsorted(edges, after)
    lengths = np.diff(edges[begin : end + 1].astype(float).clip(first, after))
    return float(lengths @ outputs[begin:end].astype(float) / lengths.sum())


def score_between(
    post_processing: ClassPostProcessing,
    framewise: np.ndarray,
    clipwise: float | np.ndarray,
    edges: np.ndarray,
    first: float,
    after: float,
) -> float:
    """Return the score of an event from `first` to `after`; see `ScoredEvent`, and `mean_between`."""
    mean = mean_between(framewise, edges, first, after)
    if not isinstance(post_processing, EventBoxes):
        return mean
    of_clip = mean_between(np.broadcast_to(clipwise, framewise.shape), edges, first, after)
    return float(post_processing.confidence(mean, of_clip))


def with_scores(
    events: Iterable[Event], probabilities: Probabilities, post_processing: PostProcessing
) -> tuple[ScoredEvent, ...]:
    """Give each event its score.

    Parameters
    ----------
    events : iterable of Event
        Of one recording.
    probabilities : Probabilities
        Of the recording.
    post_processing : PostProcessing
        By which the events were found.

    Returns
    -------
    tuple of ScoredEvent
        In time order.
    """
    edges = probabilities.edges / post_processing.frames_per_second
    columns = zip(
        post_processing.of_classes, probabilities.framewise.T, probabilities.clipwise.T, strict=True
    )
    of_label = dict(zip(post_processing.labels, columns, strict=True))
    scored = [
        ScoredEvent(
            event.onset,
            event.offset,
            event.label,
            score_between(*of_label[event.label], edges, event.onset, event.offset),
        )
        for event in events
    ]
    return tuple(sorted(scored, key=in_time_order))
