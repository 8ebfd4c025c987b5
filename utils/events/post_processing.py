"""From frame probabilities to events, by one of the ways in `POST_PROCESSINGS`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.ndimage import median_filter

from utils.dataset.tables import Clip, Event
from utils.events.boxes import sound_event_boxes
from utils.events.probabilities import Probabilities
from utils.settings.group import names_of
from utils.settings.groups import EventSettings


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
        Where a run may have its frame above `high`; everywhere if left out.

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


@dataclass(frozen=True)
class DoubleThreshold:
    """How the events of a class are found: double threshold, joining, dropping.

    Attributes
    ----------
    clip_threshold : float
        The class has events only in clips whose clip probability is above this.
    high_threshold, low_threshold : float
        An event has a frame above the first, and reaches as far as the frames stay at or above the second.
    join_gap : float
        Events with a gap of at most this many seconds between them are one.
    drop_length : float
        Events of at most this many seconds are dropped.
    """

    name: ClassVar[str] = "double_threshold"
    clip_threshold: float
    high_threshold: float
    low_threshold: float
    join_gap: float
    drop_length: float

    def find_runs(
        self,
        framewise: np.ndarray,
        clipwise: float | np.ndarray,
        *,
        edges: np.ndarray,
        frames_per_second: float,
    ) -> np.ndarray:
        """Find the events of the class in a clip.

        Parameters and return value are those of every class in `POST_PROCESSINGS`. In a recording longer than
        a clip, an event starts only where the clip probability is above its threshold; from there it
        reaches as far as in a clip, also to outputs where the clip probability is lower.

        Parameters
        ----------
        framewise : np.ndarray, shape (outputs,)
            Probability of the class in each output.
        clipwise : float, or np.ndarray of shape (outputs,)
            Probability of the class in the clip; or in each output the mean of the windows that hold it.
        edges : np.ndarray, shape (outputs + 1,), int
            The frames at which outputs begin, and the end of the last one.
        frames_per_second : float

        Returns
        -------
        np.ndarray, shape (events, 2), int
            First frame and frame after the last of each event.
        """
        may_start = clipwise > self.clip_threshold
        if not np.any(may_start):
            return np.empty((0, 2), dtype=int)
        runs = edges[
            double_threshold(framewise, high=self.high_threshold, low=self.low_threshold, may_start=may_start)
        ]
        runs = join_close_runs(runs, gap_frames=round(self.join_gap * frames_per_second))
        return drop_short_runs(runs, length_frames=round(self.drop_length * frames_per_second))

    def frame_scores(
        self, framewise: np.ndarray, clipwise: np.ndarray, *, outputs_per_second: float
    ) -> np.ndarray:
        """Return what PSDS puts its thresholds on, shape (clips, outputs).

        Two thresholds and the clip probability leave no single threshold to vary, so it is the probabilities.

        Parameters
        ----------
        framewise : np.ndarray, shape (clips, outputs)
        clipwise : np.ndarray, shape (clips,)
        outputs_per_second : float
        """
        return framewise


@dataclass(frozen=True)
class MedianFilter:
    """How the events of a class are found in the challenge's official baseline: one threshold, median filter.

    Attributes
    ----------
    frame_threshold : float
        The class is active in outputs whose probability is above this.
    median_filter_outputs : int
        Length of the filter over active outputs.
    """

    name: ClassVar[str] = "median_filter"
    frame_threshold: float
    median_filter_outputs: int

    def find_runs(
        self,
        framewise: np.ndarray,
        clipwise: float | np.ndarray,
        *,
        edges: np.ndarray,
        frames_per_second: float,
    ) -> np.ndarray:
        """Find the events of the class in a clip; the clip probability does not matter."""
        return edges[runs_of_true(self.smoothed(framewise > self.frame_threshold))]

    def frame_scores(
        self, framewise: np.ndarray, clipwise: np.ndarray, *, outputs_per_second: float
    ) -> np.ndarray:
        """Return the median-filtered probabilities, on which a threshold finds the filtered outputs."""
        return self.smoothed(framewise)

    def smoothed(self, outputs: np.ndarray) -> np.ndarray:
        """Return the median around each of the outputs, shape (..., outputs)."""
        sizes = (1,) * (outputs.ndim - 1) + (self.median_filter_outputs,)
        return median_filter(outputs, size=sizes, mode="reflect")


@dataclass(frozen=True)
class EventBoxes:
    """How the events of a class are found by the recipe: bounding boxes, see utils/events/boxes.py.

    A box's confidence is the geometric mean of its mean frame probability and the clip probability.

    Attributes
    ----------
    box_step : float
        Seconds before and after a place that are compared.
    box_merge_difference, box_merge_ratio : float
        Two neighbouring boxes are merged if the mean probability in the gap is less than the first below that
        of the higher box, or if the latter is less than the second times the gap's.
    box_threshold : float
        Events have a confidence above this.
    """

    name: ClassVar[str] = "event_boxes"
    box_step: float
    box_merge_difference: float
    box_merge_ratio: float
    box_threshold: float

    def boxes(
        self, framewise: np.ndarray, clipwise: float | np.ndarray, *, outputs_per_second: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return boxes in outputs, shape (boxes, 2), and their confidence, shape (boxes,)."""
        boxes, means = sound_event_boxes(
            framewise,
            step_outputs=max(round(self.box_step * outputs_per_second), 1),
            merge_difference=self.box_merge_difference,
            merge_ratio=self.box_merge_ratio,
        )
        of_clip = np.broadcast_to(clipwise, framewise.shape)
        clip_means = np.array([of_clip[first:after].mean() for first, after in boxes], float)
        return boxes, self.confidence(means, clip_means)

    @staticmethod
    def confidence(means: np.ndarray, clip_means: np.ndarray) -> np.ndarray:
        """Return the confidence of boxes of such mean probabilities in frames and in the clip."""
        return np.sqrt(means * clip_means)

    def find_runs(
        self,
        framewise: np.ndarray,
        clipwise: float | np.ndarray,
        *,
        edges: np.ndarray,
        frames_per_second: float,
    ) -> np.ndarray:
        """Find the events of the class in a clip."""
        boxes, confidence = self.boxes(framewise, clipwise, outputs_per_second=frames_per_second / edges[1])
        return edges[boxes[confidence > self.box_threshold]]

    def frame_scores(
        self, framewise: np.ndarray, clipwise: np.ndarray, *, outputs_per_second: float
    ) -> np.ndarray:
        """Return in each output the confidence of the box around it, on which a threshold leaves events."""
        scores = np.zeros_like(framewise)
        for of_clip, *probabilities in zip(scores, framewise, clipwise, strict=True):
            boxes, confidences = self.boxes(*probabilities, outputs_per_second=outputs_per_second)
            for (first, after), confidence in zip(boxes, confidences, strict=True):
                of_clip[first:after] = confidence
        return scores


ClassPostProcessing = DoubleThreshold | MedianFilter | EventBoxes
POST_PROCESSINGS: dict[str, type[ClassPostProcessing]] = {
    kind.name: kind for kind in (DoubleThreshold, MedianFilter, EventBoxes)
}


def class_post_processing(name: str, settings: EventSettings) -> ClassPostProcessing:
    """Return the post-processing of that name, one of `POST_PROCESSINGS`, with the values of the settings."""
    kind = POST_PROCESSINGS[name]
    return kind(**{value: getattr(settings, value) for value in names_of(kind)})


@dataclass(frozen=True)
class PostProcessing:
    """How the probabilities of a model become events.

    Attributes
    ----------
    labels : tuple of str
        Of the classes, in the order of the probabilities.
    of_classes : tuple of ClassPostProcessing
        How the events of each class are found.
    frames_per_second : float
    """

    labels: tuple[str, ...]
    of_classes: tuple[ClassPostProcessing, ...]
    frames_per_second: float

    def events(self, probabilities: Probabilities) -> tuple[Event, ...]:
        """Find the events of a clip, or of a longer recording: by label, then by time."""
        columns = zip(
            self.labels, self.of_classes, probabilities.framewise.T, probabilities.clipwise.T, strict=True
        )
        edges = probabilities.edges
        return tuple(
            Event(float(first / self.frames_per_second), float(after / self.frames_per_second), label)
            for label, of_class, framewise, clipwise in columns
            for first, after in of_class.find_runs(
                framewise, clipwise, edges=edges, frames_per_second=self.frames_per_second
            )
        )

    def submission(self, names: Sequence[str], probabilities: Probabilities) -> list[Clip]:
        """Return the clips of these names with the events of each."""
        pairs = zip(names, probabilities, strict=True)
        return [Clip(name, events=self.events(of_clip)) for name, of_clip in pairs]

    def frame_scores(self, probabilities: Probabilities) -> np.ndarray:
        """Return what PSDS puts its thresholds on, shape (clips, outputs, classes)."""
        outputs_per_second = self.frames_per_second / probabilities.stride_frames
        framewise, clipwise = np.moveaxis(probabilities.framewise, 2, 0), probabilities.clipwise.T
        scores = [
            of_class.frame_scores(*of_clips, outputs_per_second=outputs_per_second)
            for of_class, *of_clips in zip(self.of_classes, framewise, clipwise, strict=True)
        ]
        return np.stack(scores, axis=2)

    def to_json(self) -> dict[str, dict[str, Any]]:
        """Return name and values of each class's post-processing, by label."""
        pairs = zip(self.labels, self.of_classes, strict=True)
        return {label: {"name": of_class.name} | asdict(of_class) for label, of_class in pairs}
