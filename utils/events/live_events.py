"""Events from probabilities that come bit by bit: each as soon as nothing that may come can change it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from utils.events.post_processing import (
    ClassPostProcessing,
    DoubleThreshold,
    EventBoxes,
    MedianFilter,
    PostProcessing,
)
from utils.events.probabilities import Probabilities
from utils.events.scored_events import ScoredEvent, in_time_order, score_between

BOX_STEPS_AROUND = 4  # so far from a place, probabilities hardly move the onset or offset of a box there


def outputs_around(post_processing: ClassPostProcessing, outputs_per_second: float) -> int:
    """Return how many outputs past the present decide the last events; as many are kept before them."""
    if isinstance(post_processing, DoubleThreshold):  # enough of them to be no short event, which is dropped
        return int(post_processing.drop_length * outputs_per_second) + 2
    if isinstance(post_processing, MedianFilter):
        return post_processing.median_filter_outputs
    return int(BOX_STEPS_AROUND * post_processing.box_step * outputs_per_second) + 1


def settling_seconds(post_processing: PostProcessing, outputs_per_second: float) -> float:
    """Return the most seconds after an event's end whose probabilities must be known before it is certain.

    It takes longer where what follows is not quiet and may yet become a part of the event: probabilities
    between the two thresholds within `join_gap`, or a shallow gap between two boxes.
    """
    seconds = {
        DoubleThreshold: lambda one: one.join_gap,
        MedianFilter: lambda one: one.median_filter_outputs // 2 / outputs_per_second,
        EventBoxes: lambda one: 2 * one.box_step,
    }
    return max(seconds[type(one)](one) for one in post_processing.of_classes) + 1 / outputs_per_second


@dataclass
class ClassStream:
    """The events of one class in a stream.

    Parameters
    ----------
    post_processing : ClassPostProcessing
    stride_frames : int
        Frames of an output.
    frames_per_second : float
    """

    post_processing: ClassPostProcessing
    stride_frames: int
    frames_per_second: float

    def __post_init__(self) -> None:
        self._around = outputs_around(self.post_processing, self.frames_per_second / self.stride_frames)
        self._first = 0  # output that the arrays begin with
        # Of the last outputs, further ones may move the onset of a box, but of no other event.
        self._unsettled_outputs = self._around if isinstance(self.post_processing, EventBoxes) else 0
        self._framewise = self._clipwise = np.empty(0, np.float32)
        self._decided_frame = 0  # no event that is still to come begins earlier
        self._last_run = 0, 0  # of the last event that was found

    def _edges(self, outputs: int) -> np.ndarray:
        return (self._first + np.arange(outputs + 1)) * self.stride_frames

    def _score(self, first: float, after: float) -> float:
        edges = self._edges(len(self._framewise))
        return score_between(self.post_processing, self._framewise, self._clipwise, edges, first, after)

    def _runs(self, continuation: Sequence[float], edges: np.ndarray) -> np.ndarray:
        """Return the events that are still to come, if the stream went on with these probabilities."""
        further = np.array(continuation, np.float32)
        framewise, clipwise = np.append(self._framewise, further), np.append(self._clipwise, further)
        if not len(framewise):
            return np.empty((0, 2), int)
        start = edges[0]
        runs = start + self.post_processing.find_runs(
            framewise, clipwise, edges=edges - start, frames_per_second=self.frames_per_second
        )
        return runs[runs[:, 0] >= self._decided_frame]

    def push(self, framewise: np.ndarray, clipwise: np.ndarray) -> Iterator[tuple[int, int, float]]:
        """Take further outputs; yield the events that are certain now: first frame, frame after, score.

        What the stream goes on with lies between silence and certain presence. An event is certain if both
        give it alike, and it ends before them.
        """
        self._framewise = np.append(self._framewise, framewise)
        self._clipwise = np.append(self._clipwise, clipwise)
        horizon = (self._first + len(self._framewise)) * self.stride_frames
        edges = self._edges(len(self._framewise) + self._around)
        least, most = (self._runs([value] * self._around, edges) for value in (0, 1))
        certain = set(map(tuple, least[least[:, 1] < horizon])) & set(map(tuple, most))
        for first, after in sorted(certain):
            self._last_run, self._decided_frame = (first, after), after
            yield first, after, self._score(first, after)
        undecided = [first for run in (least, most) for first, after in run if (first, after) not in certain]
        unsettled = horizon - self._unsettled_outputs * self.stride_frames
        self._decided_frame = max(self._decided_frame, min([*undecided, unsettled]))
        around = self._around * self.stride_frames
        last_first, last_after = self._last_run
        is_near = last_after + around >= self._decided_frame
        kept = (last_first if is_near else self._decided_frame) - around
        surplus = max(0, kept // self.stride_frames - self._first)
        self._framewise, self._clipwise = self._framewise[surplus:], self._clipwise[surplus:]
        self._first += surplus

    def finish(self, last_frame: int, frames: float) -> Iterator[tuple[int, float, float]]:
        """Yield the events that are left at the end of the stream, cut there.

        Parameters
        ----------
        last_frame : int
            Where the last output ends.
        frames : float
            Where the stream ends, which may be earlier.
        """
        edges = self._edges(len(self._framewise))
        edges[-1] = last_frame
        for first, after in self._runs([], edges):
            if first < frames:
                after = min(after, frames)
                yield first, after, self._score(first, after)


class LiveEvents:
    """The events of all classes in a stream.

    Parameters
    ----------
    post_processing : PostProcessing
    stride_frames : int
        Frames of an output.
    """

    def __init__(self, post_processing: PostProcessing, stride_frames: int) -> None:
        self.labels, self.frames_per_second = post_processing.labels, post_processing.frames_per_second
        self._classes = [
            ClassStream(one, stride_frames, self.frames_per_second) for one in post_processing.of_classes
        ]

    def push(self, final: Probabilities) -> list[ScoredEvent]:
        """Take outputs that are final, and return the events that are certain now, in time order."""
        columns = zip(self._classes, final.framewise.T, final.clipwise.T, strict=True)
        return self._events([one.push(framewise, clipwise) for one, framewise, clipwise in columns])

    def finish(self, last_frame: int, seconds: float) -> list[ScoredEvent]:
        """Return the events that are left when the stream has ended after so many seconds, in time order."""
        frames = seconds * self.frames_per_second
        return self._events([one.finish(last_frame, frames) for one in self._classes])

    def _events(self, of_classes: Sequence[Iterator[tuple[int, float, float]]]) -> list[ScoredEvent]:
        rate = self.frames_per_second
        events = [
            ScoredEvent(float(first / rate), float(after / rate), label, score)
            for label, found in zip(self.labels, of_classes, strict=True)
            for first, after, score in found
        ]
        return sorted(events, key=in_time_order)
