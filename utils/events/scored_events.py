"""Detected events, and how sure the detector is of each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from utils.dataset.tables import Event
from utils.events.probabilities import Probabilities


@dataclass(frozen=True)
class ScoredEvent(Event):
    """A detected event.

    Attributes
    ----------
    score : float
        How sure the detector is of it, 0 to 1: the confidence that its post-processing gives, else the mean
        of the frame probabilities of its class from onset to offset.
    """

    score: float


def in_time_order(event: Event) -> tuple[float, float, str]:
    """Return what events are sorted by: onset, offset, label."""
    return event.onset, event.offset, event.label


def cut_events(events: Iterable[Event], seconds: float) -> tuple[Event, ...]:
    """Return the events in a recording of so many seconds: cut at its end, without those that begin later."""
    return tuple(
        replace(event, offset=min(event.offset, seconds)) for event in events if event.onset < seconds
    )


def mean_probability(outputs: np.ndarray, edges: np.ndarray, first: float, after: float) -> float:
    """Return the mean of a class's probability between two times.

    Parameters
    ----------
    outputs : np.ndarray, shape (outputs,)
        Probability of the class in each output.
    edges : np.ndarray, shape (outputs + 1,)
        At which the outputs begin, and the end of the last one, in any unit of time.
    first, after : float
        Begin and end of an event, in the same unit.
    """
    begin, end = np.searchsorted(edges, first, "right") - 1, np.searchsorted(edges, after)
    lengths = np.diff(edges[begin : end + 1].astype(float).clip(first, after))
    return float(lengths @ outputs[begin:end].astype(float) / lengths.sum())


def with_scores(
    events: Iterable[Event],
    probabilities: Probabilities,
    *,
    labels: Sequence[str],
    frames_per_second: float,
) -> tuple[ScoredEvent, ...]:
    """Give each event a score, unless its post-processing has given it one.

    Parameters
    ----------
    events : iterable of Event
        Of one recording.
    probabilities : Probabilities
        Of the recording.
    labels : sequence of str
    frames_per_second : float

    Returns
    -------
    tuple of ScoredEvent
        In time order.
    """
    edges = probabilities.edges / frames_per_second
    of_label = dict(zip(labels, probabilities.framewise.T, strict=True))
    scored = [
        event
        if isinstance(event, ScoredEvent)
        else ScoredEvent(
            event.onset,
            event.offset,
            event.label,
            mean_probability(of_label[event.label], edges, event.onset, event.offset),
        )
        for event in events
    ]
    return tuple(sorted(scored, key=in_time_order))
