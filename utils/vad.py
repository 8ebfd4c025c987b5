"""From frame probabilities to events, by one of the ways in `POST_PROCESSINGS`."""

from collections.abc import Callable

import numpy as np
from scipy.ndimage import median_filter

from utils import config
from utils.errors import SedError
from utils.metadata import Event


def runs_of_true(mask: np.ndarray) -> np.ndarray:
    """Return the runs of True in a mask of shape (frames,) as rows (first frame, frame after the last)."""
    edges = np.diff(np.concatenate(([False], mask, [False])).astype(np.int8))
    return np.stack([np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)], axis=1)


def double_threshold(
    probability: np.ndarray, *, high: float, low: float, may_start: np.ndarray | bool = True
) -> np.ndarray:
    """Find the runs of frames above `high`, each widened both ways while the frames stay at or above `low`.

    Parameters
    ----------
    probability : np.ndarray, shape (frames,)
        Of one class, 0 to 1.
    high, low : float
        The two thresholds. The first is exclusive, the second inclusive.
    may_start : np.ndarray, shape (frames,), bool
        Where a run needs its frame above `high`; everywhere if left out.

    Returns
    -------
    np.ndarray, shape (runs, 2), int
        First frame and frame after the last, ascending; runs that touch or overlap are one.
    """
    above_high = (probability > high) & may_start
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


def detect_runs(probability: np.ndarray, may_start: np.ndarray | bool = True) -> np.ndarray:
    """Find the events of one class by the double threshold, joining and dropping of `config`.

    Parameters
    ----------
    probability : np.ndarray, shape (frames,)
    may_start : np.ndarray, shape (frames,), bool
        See `double_threshold`.

    Returns
    -------
    np.ndarray, shape (events, 2), int
        First frame and frame after the last.
    """
    runs = double_threshold(
        probability, high=config.high_threshold, low=config.low_threshold, may_start=may_start
    )
    runs = join_close_runs(runs, gap_frames=config.join_gap_frames)
    return drop_short_runs(runs, length_frames=config.drop_length_frames)


def double_threshold_runs(
    framewise: np.ndarray, clipwise: np.ndarray, stride_frames: int
) -> list[np.ndarray]:
    """Find the events of each class that the clip has: double threshold, joining, dropping.

    Parameters and return value are those of every function in `POST_PROCESSINGS`. Of a recording longer than
    a clip, only frames where the class is looked at can start an event; from there it reaches as far as in a
    clip, also to frames where the class is not looked at.

    Parameters
    ----------
    framewise : np.ndarray, shape (frames, classes)
        Probability of each class in each frame.
    clipwise : np.ndarray, shape (classes,) or (frames, classes)
        Probability of each class in the clip; or in each frame the mean of the windows that hold it. Classes
        are looked at where this is above `config.clip_threshold`.
    stride_frames : int
        Frames that the model gives out one probability for, which so are equal in `framewise`.

    Returns
    -------
    list of np.ndarray, shape (events, 2), int
        For each class, first frame and frame after the last of each event.
    """
    is_looked_at = np.broadcast_to(clipwise, framewise.shape) > config.clip_threshold
    return [
        detect_runs(probability, may_start)
        for probability, may_start in zip(framewise.T, is_looked_at.T, strict=True)
    ]


def median_filter_runs(framewise: np.ndarray, clipwise: np.ndarray, stride_frames: int) -> list[np.ndarray]:
    """Find the events of each class: one threshold, median filter, as in the challenge's official baseline.

    The filter's length counts the frames that the model gives out. The clip probabilities are not looked at.
    """
    is_active = framewise[::stride_frames] > config.frame_threshold
    is_active = median_filter(is_active, size=(config.median_filter_outputs, 1), mode="reflect")
    return [np.minimum(runs_of_true(mask) * stride_frames, len(framewise)) for mask in is_active.T]


POST_PROCESSINGS: dict[str, Callable[[np.ndarray, np.ndarray, int], list[np.ndarray]]] = {
    "double_threshold": double_threshold_runs,
    "median_filter": median_filter_runs,
}


def detect_events(
    framewise: np.ndarray, clipwise: np.ndarray, *, post_processing: str, stride_frames: int
) -> tuple[Event, ...]:
    """Find the events of a clip, or of a longer recording.

    Parameters
    ----------
    framewise : np.ndarray, shape (frames, classes)
        Probability of each class in each frame.
    clipwise : np.ndarray, shape (classes,) or (frames, classes)
        Probability of each class in the clip; or in each frame the mean of the windows that hold it.
    post_processing : str
        A name in `POST_PROCESSINGS`.
    stride_frames : int
        Frames that the model gives out one probability for.

    Returns
    -------
    tuple of Event
        By label, then by time.

    Raises
    ------
    SedError
        If there is no post-processing of that name.
    """
    if post_processing not in POST_PROCESSINGS:
        known = ", ".join(POST_PROCESSINGS)
        raise SedError(f"config: there is no post-processing '{post_processing}'; the known ones are {known}")
    runs_of_classes = POST_PROCESSINGS[post_processing](framewise, clipwise, stride_frames)
    return tuple(
        Event(float(first / config.frames_per_second), float(after / config.frames_per_second), label)
        for label, runs in zip(config.labels, runs_of_classes, strict=True)
        for first, after in runs
    )
