"""From frame probabilities to events, by one of the ways in `POST_PROCESSINGS`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from scipy.ndimage import median_filter

from utils import config
from utils.dataset.tables import Event
from utils.system.errors import SedError


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


def frames_of(seconds: float) -> int:
    """Return a length of time in whole frames."""
    return round(seconds * config.frames_per_second)


@dataclass(frozen=True)
class DoubleThreshold:
    """How the events of a class are found: double threshold, joining, dropping.

    Attributes
    ----------
    clip_threshold : float
        The class is looked at in clips whose clip probability is above this.
    high_threshold, low_threshold : float
        An event has a frame above the first, and reaches as far as the frames stay at or above the second.
    join_gap : float
        Events with a gap of at most this many seconds between them are one.
    drop_length : float
        Events of at most this many seconds are dropped.
    """

    name: ClassVar[str] = "double_threshold"
    clip_threshold: float = field(default_factory=lambda: config.clip_threshold)
    high_threshold: float = field(default_factory=lambda: config.high_threshold)
    low_threshold: float = field(default_factory=lambda: config.low_threshold)
    join_gap: float = field(default_factory=lambda: config.join_gap)
    drop_length: float = field(default_factory=lambda: config.drop_length)

    def find_runs(
        self, probability: np.ndarray, clip_probability: float | np.ndarray, stride_frames: int
    ) -> np.ndarray:
        """Find the events of the class in a clip.

        Parameters and return value are those of every class in `POST_PROCESSINGS`. Of a recording longer than
        a clip, only frames where the class is looked at can start an event; from there it reaches as far as
        in a clip, also to frames where the class is not looked at.

        Parameters
        ----------
        probability : np.ndarray, shape (frames,)
            Of the class in each frame.
        clip_probability : float, or np.ndarray of shape (frames,)
            Of the class in the clip; or in each frame the mean of the windows that hold it.
        stride_frames : int
            Frames that the model gives out one probability for, which so are equal in `probability`.

        Returns
        -------
        np.ndarray, shape (events, 2), int
            First frame and frame after the last of each event.
        """
        is_looked_at = clip_probability > self.clip_threshold
        if not np.any(is_looked_at):
            return np.empty((0, 2), dtype=int)
        runs = double_threshold(
            probability, high=self.high_threshold, low=self.low_threshold, may_start=is_looked_at
        )
        runs = join_close_runs(runs, gap_frames=frames_of(self.join_gap))
        return drop_short_runs(runs, length_frames=frames_of(self.drop_length))

    def smoothed(self, outputs: np.ndarray) -> np.ndarray:
        """Return the outputs as the thresholds see them: as they are."""
        return outputs


@dataclass(frozen=True)
class MedianFilter:
    """How the events of a class are found in the challenge's official baseline: one threshold, median filter.

    Attributes
    ----------
    frame_threshold : float
        The class is active in frames whose probability is above this.
    median_filter_outputs : int
        Length of the filter over active frames, which counts the frames that the model gives out.
    """

    name: ClassVar[str] = "median_filter"
    frame_threshold: float = field(default_factory=lambda: config.frame_threshold)
    median_filter_outputs: int = field(default_factory=lambda: config.median_filter_outputs)

    def find_runs(
        self, probability: np.ndarray, clip_probability: float | np.ndarray, stride_frames: int
    ) -> np.ndarray:
        """Find the events of the class in a clip; the clip probability is not looked at."""
        is_active = self.smoothed(probability[::stride_frames] > self.frame_threshold)
        return np.minimum(runs_of_true(is_active) * stride_frames, len(probability))

    def smoothed(self, outputs: np.ndarray) -> np.ndarray:
        """Return the median around each of the outputs, shape (..., outputs)."""
        sizes = (1,) * (outputs.ndim - 1) + (self.median_filter_outputs,)
        return median_filter(outputs, size=sizes, mode="reflect")


ClassPostProcessing = DoubleThreshold | MedianFilter
PostProcessing = tuple[ClassPostProcessing, ...]  # of each class, in the order of config.labels
POST_PROCESSINGS: dict[str, type[ClassPostProcessing]] = {
    kind.name: kind for kind in (DoubleThreshold, MedianFilter)
}


def post_processing_named(name: str) -> PostProcessing:
    """Return the post-processing of that name, with the values of the config for every class.

    Raises
    ------
    SedError
        If there is none of that name.
    """
    if name not in POST_PROCESSINGS:
        known = ", ".join(POST_PROCESSINGS)
        raise SedError(f"config: there is no post-processing '{name}'; the known ones are {known}")
    return (POST_PROCESSINGS[name](),) * config.classes_num


def detect_events(
    framewise: np.ndarray,
    clipwise: np.ndarray,
    *,
    post_processing: Sequence[ClassPostProcessing],
    stride_frames: int,
) -> tuple[Event, ...]:
    """Find the events of a clip, or of a longer recording.

    Parameters
    ----------
    framewise : np.ndarray, shape (frames, classes)
        Probability of each class in each frame.
    clipwise : np.ndarray, shape (classes,) or (frames, classes)
        Probability of each class in the clip; or in each frame the mean of the windows that hold it.
    post_processing : sequence of ClassPostProcessing
        How the events of each class are found.
    stride_frames : int
        Frames that the model gives out one probability for.

    Returns
    -------
    tuple of Event
        By label, then by time.
    """
    return tuple(
        Event(float(first / config.frames_per_second), float(after / config.frames_per_second), label)
        for label, of_class, probability, clip_probability in zip(
            config.labels, post_processing, framewise.T, clipwise.T, strict=True
        )
        for first, after in of_class.find_runs(probability, clip_probability, stride_frames)
    )
