"""Matching of predicted with reference events under the collars of the event-based metric."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from utils.dataset.tables import Event


@dataclass(frozen=True)
class EventTimes:
    """The times of events, in groups within which they are compared.

    Attributes
    ----------
    group : np.ndarray, shape (events,), int
        A clip for events of one label, a label for events of one clip.
    onset, offset : np.ndarray, shape (events,)
        In s from the start of the clip.
    """

    group: np.ndarray
    onset: np.ndarray
    offset: np.ndarray

    def __len__(self) -> int:
        return len(self.group)

    @classmethod
    def of(cls, events: Iterable[tuple[int, Event]]) -> Self:
        """Return the times of pairs of a group and an event."""
        rows = [(group, event.onset, event.offset) for group, event in events]
        group, onset, offset = np.array(rows, dtype=float).reshape(-1, 3).T
        return cls(group.astype(int), onset, offset)


def match_events(
    reference: EventTimes, predicted: EventTimes, *, onset_collar: float, offset_collar_fraction: float
) -> np.ndarray:
    """Match as many reference events as possible with a predicted event of their group each.

    The matched events are the true positives of sed_eval's event-based metric.

    Parameters
    ----------
    reference, predicted : EventTimes
    onset_collar : float
        Tolerance of onsets in s, and the smallest tolerance of offsets.
    offset_collar_fraction : float
        Tolerance of offsets, as a fraction of the reference event's length.

    Returns
    -------
    np.ndarray, shape (reference events,), int
        Index of the predicted event, or -1.

    References
    ----------
    Mesaros, Heittola, Virtanen: Metrics for polyphonic sound event detection, Applied Sciences 6(6), 2016.
    """
    by_group = np.argsort(predicted.group, kind="stable")
    groups = predicted.group[by_group]
    first = np.searchsorted(groups, reference.group, side="left")
    count = np.searchsorted(groups, reference.group, side="right") - first
    # Each reference event with each predicted event of its group.
    row = np.repeat(np.arange(len(reference)), count)
    column = by_group[np.arange(len(row)) + np.repeat(first - (np.cumsum(count) - count), count)]
    offset_collar = np.maximum(onset_collar, offset_collar_fraction * (reference.offset - reference.onset))
    fits = np.abs(reference.onset[row] - predicted.onset[column]) <= onset_collar
    fits &= np.abs(reference.offset[row] - predicted.offset[column]) <= offset_collar[row]
    row, column = row[fits], column[fits]
    if len(row) == 0:
        return np.full(len(reference), -1)
    row_starts = np.searchsorted(row, np.arange(len(reference) + 1))
    shape = (len(reference), len(predicted))
    pairs = csr_array((np.ones(len(row), bool), column, row_starts), shape=shape)
    return maximum_bipartite_matching(pairs, perm_type="column")
