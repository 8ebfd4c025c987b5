"""From frame probabilities to events: double threshold, joining, dropping."""

import numpy as np

from utils import config
from utils.metadata import Event


def runs_of_true(mask: np.ndarray) -> np.ndarray:
    """Return the runs of True in a mask of shape (frames,) as rows (first frame, frame after the last)."""
    edges = np.diff(np.concatenate(([False], mask, [False])).astype(np.int8))
    return np.stack([np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)], axis=1)


def double_threshold(probability: np.ndarray, *, high: float, low: float) -> np.ndarray:
    """Find the runs of frames above `high`, each widened both ways while the frames stay at or above `low`.

    Parameters
    ----------
    probability : np.ndarray, shape (frames,)
        Of one class, 0 to 1.
    high, low : float
        The two thresholds. The first is exclusive, the second inclusive.

    Returns
    -------
    np.ndarray, shape (runs, 2), int
        First frame and frame after the last, ascending; runs that touch or overlap are one.
    """
    above_high = probability > high
    runs = runs_of_true(above_high | (probability >= low))
    highs_before = np.concatenate(([0], np.cumsum(above_high)))
    return runs[highs_before[runs[:, 1]] > highs_before[runs[:, 0]]]


def join_close_runs(runs: np.ndarray, *, gap_frames: int) -> np.ndarray:
    """Join the ascending `runs` of shape (runs, 2) that have at most `gap_frames` frames between them."""
    if len(runs) == 0:
        return runs
    is_apart = runs[1:, 0] - runs[:-1, 1] > gap_frames
    return np.stack(
        [runs[np.concatenate(([True], is_apart)), 0], runs[np.concatenate((is_apart, [True])), 1]], axis=1
    )


def drop_short_runs(runs: np.ndarray, *, length_frames: int) -> np.ndarray:
    """Leave out the `runs` of shape (runs, 2) that have at most `length_frames` frames."""
    return runs[runs[:, 1] - runs[:, 0] > length_frames]


def detect_runs(probability: np.ndarray) -> np.ndarray:
    """Find the events of one class in a clip, by the parameters of `config`.

    Parameters
    ----------
    probability : np.ndarray, shape (frames,)

    Returns
    -------
    np.ndarray, shape (events, 2), int
        First frame and frame after the last.
    """
    runs = double_threshold(probability, high=config.high_threshold, low=config.low_threshold)
    runs = join_close_runs(runs, gap_frames=config.join_gap_frames)
    return drop_short_runs(runs, length_frames=config.drop_length_frames)


def detect_events(framewise: np.ndarray, clipwise: np.ndarray) -> tuple[Event, ...]:
    """Find the events of a clip.

    Parameters
    ----------
    framewise : np.ndarray, shape (frames, classes)
        Probability of each class in each frame.
    clipwise : np.ndarray, shape (classes,)
        Probability of each class in the clip. Only classes above `config.clip_threshold` are looked at.

    Returns
    -------
    tuple of Event
        By label, then by time.
    """
    return tuple(
        Event(float(first / config.frames_per_second), float(after / config.frames_per_second), label)
        for index, label in enumerate(config.labels)
        if clipwise[index] > config.clip_threshold
        for first, after in detect_runs(framewise[:, index])
    )
