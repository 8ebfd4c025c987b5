"""Chooses post-processing for each class: that with the best event F1 on some annotated clips."""

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from utils import config
from utils.dataset.tables import Clip
from utils.events.post_processing import (
    ClassPostProcessing,
    DoubleThreshold,
    MedianFilter,
    PostProcessing,
    double_threshold,
    drop_short_runs,
    frames_of,
    join_close_runs,
    runs_of_true,
)
from utils.system.errors import SedError
from utils.system.files import written_whole

NO_PROBABILITY = -1.0  # between clips: below every threshold
RANGES = {  # of what a file of tuned post-processing may hold
    "clip_threshold": (0, 1),
    "high_threshold": (0, 1),
    "low_threshold": (0, 1),
    "join_gap": (0, math.inf),
    "drop_length": (0, math.inf),
    "frame_threshold": (0, 1),
    "median_filter_outputs": (1, math.inf),
}


@dataclass(frozen=True)
class EventTimes:
    """The events of one class in several clips.

    Attributes
    ----------
    clips : np.ndarray, shape (events,), int
        Which clip each is in.
    onsets, offsets : np.ndarray, shape (events,)
        In s from the start of its clip.
    """

    clips: np.ndarray
    onsets: np.ndarray
    offsets: np.ndarray


@dataclass(frozen=True)
class TunedClass:
    """What was chosen for a class, and its event F1 on the clips it was chosen on.

    Attributes
    ----------
    label : str
    events : int
        In the reference.
    post_processing : ClassPostProcessing
        The choice.
    f1_before, f1 : float
        With the values of the config, and with the choice; NaN without reference events.
    """

    label: str
    events: int
    post_processing: ClassPostProcessing
    f1_before: float
    f1: float


def event_times(reference: Sequence[Clip], label: str) -> EventTimes:
    """Return the events of a class in the reference, by clip."""
    rows = [
        (index, event.onset, event.offset)
        for index, clip in enumerate(reference)
        for event in clip.events or ()
        if event.label == label
    ]
    clips, onsets, offsets = np.array(rows, dtype=float).reshape(-1, 3).T
    return EventTimes(clips.astype(int), onsets, offsets)


def count_hits(
    reference: EventTimes,
    predicted: EventTimes,
    *,
    onset_collar: float = config.onset_collar,
    offset_collar_fraction: float = config.offset_collar_fraction,
) -> int:
    """Count the largest number of predicted events that can each be paired with a reference event they fit.

    The same as the true positives of sed_eval's event-based metric, for all clips at once.

    Parameters
    ----------
    reference, predicted : EventTimes
        By clip.
    onset_collar : float
        Tolerance of onsets in s, and the least tolerance of offsets.
    offset_collar_fraction : float
        Tolerance of offsets, as a fraction of the reference event's length.
    """
    firsts = np.searchsorted(predicted.clips, reference.clips, side="left")
    counts = np.searchsorted(predicted.clips, reference.clips, side="right") - firsts
    rows = np.repeat(np.arange(len(counts)), counts)  # each reference event with each prediction in its clip
    columns = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(firsts, counts)
    lengths = reference.offsets - reference.onsets
    offset_collars = np.maximum(onset_collar, offset_collar_fraction * lengths)
    fits = np.abs(reference.onsets[rows] - predicted.onsets[columns]) <= onset_collar
    fits &= np.abs(reference.offsets[rows] - predicted.offsets[columns]) <= offset_collars[rows]
    shape = (len(reference.clips), len(predicted.clips))
    if 0 in shape:
        return 0
    pairs = csr_array((np.ones(fits.sum(), dtype=bool), (rows[fits], columns[fits])), shape=shape)
    return int((maximum_bipartite_matching(pairs) >= 0).sum())


def event_f1(reference: EventTimes, predicted: EventTimes) -> float:
    """Return the event-based F1 of a class that has reference events."""
    return 2 * count_hits(reference, predicted) / (len(reference.clips) + len(predicted.clips))


@dataclass(frozen=True)
class ClassOutputs:
    """What a model says of one class in several clips.

    Attributes
    ----------
    outputs : np.ndarray, shape (clips, outputs)
        Frame probabilities, each once, as the model gives them out.
    clipwise : np.ndarray, shape (clips,)
    stride_frames : int
        Frames of an output.
    """

    outputs: np.ndarray
    clipwise: np.ndarray
    stride_frames: int

    def framewise(self) -> np.ndarray:
        """Return the frame probabilities, shape (clips, frames)."""
        return self.outputs.repeat(self.stride_frames, axis=1)[:, : config.clip_frames]

    def predicted(self, post_processing: ClassPostProcessing) -> EventTimes:
        """Return the events that the post-processing finds."""
        runs = [
            post_processing.find_runs(probability, clip_probability, self.stride_frames)
            for probability, clip_probability in zip(self.framewise(), self.clipwise, strict=True)
        ]
        clips = np.repeat(np.arange(len(runs)), [len(of_clip) for of_clip in runs])
        return EventTimes(clips, *(np.concatenate(runs).T / config.frames_per_second))


@dataclass(frozen=True)
class Timeline:
    """Several clips laid out one after the other, with pauses, so that all are searched at once."""

    period_frames: int

    def laid_out(self, rows: np.ndarray, pause: float | bool) -> np.ndarray:
        """Return rows of shape (clips, frames) as one, with pauses of that value between."""
        frames = rows.shape[1]
        return np.pad(rows, ((0, 0), (0, self.period_frames - frames)), constant_values=pause).ravel()

    def clips_of(self, runs: np.ndarray) -> np.ndarray:
        """Return which clips the runs of shape (runs, 2) are in."""
        return runs[:, 0] // self.period_frames

    def times(self, runs: np.ndarray) -> EventTimes:
        """Return the runs as events in their clips."""
        clips = self.clips_of(runs)
        seconds = (runs - (clips * self.period_frames)[:, None]) / config.frames_per_second
        return EventTimes(clips, *seconds.T)


def double_threshold_trials(of_class: ClassOutputs) -> Iterator[tuple[ClassPostProcessing, EventTimes]]:
    """Yield every combination of the config's values for `DoubleThreshold`, and the events that it finds."""
    pause_frames = 1 + max(frames_of(seconds) for seconds in config.tuned_join_gaps)
    timeline = Timeline(config.clip_frames + pause_frames)
    probability = timeline.laid_out(of_class.framewise(), NO_PROBABILITY)
    for high, low in itertools.product(config.tuned_high_thresholds, config.tuned_low_thresholds):
        if low > high:
            continue
        runs = double_threshold(probability, high=high, low=low)
        for gap, length in itertools.product(config.tuned_join_gaps, config.tuned_drop_lengths):
            joined = join_close_runs(runs, gap_frames=frames_of(gap))
            kept = drop_short_runs(joined, length_frames=frames_of(length))
            clip_probability = of_class.clipwise[timeline.clips_of(kept)]
            for clip_threshold in config.tuned_clip_thresholds:
                events = timeline.times(kept[clip_probability > clip_threshold])
                yield DoubleThreshold(clip_threshold, high, low, gap, length), events


def median_filter_trials(of_class: ClassOutputs) -> Iterator[tuple[ClassPostProcessing, EventTimes]]:
    """Yield every combination of the config's values for `MedianFilter`, and the events that it finds."""
    timeline = Timeline(config.clip_frames + 1)
    for length in config.tuned_median_filter_outputs:
        smoothed = MedianFilter(median_filter_outputs=length).smoothed(of_class.outputs)
        framewise = smoothed.repeat(of_class.stride_frames, axis=1)[:, : config.clip_frames]
        for threshold in config.tuned_frame_thresholds:
            runs = runs_of_true(timeline.laid_out(framewise > threshold, False))
            yield MedianFilter(threshold, length), timeline.times(runs)


TRIALS = {DoubleThreshold.name: double_threshold_trials, MedianFilter.name: median_filter_trials}


def tune_class(
    label: str, reference: EventTimes, of_class: ClassOutputs, before: ClassPostProcessing
) -> TunedClass:
    """Choose the post-processing of a class with the best event F1.

    Where several are equally good, the config's stays, or else the first one is taken.

    Parameters
    ----------
    label : str
        The class.
    reference : EventTimes
        Its events in the clips to tune on.
    of_class : ClassOutputs
        What the model says of it there.
    before : ClassPostProcessing
        That of the config, which is kept for a class without events.
    """
    events = len(reference.clips)
    if events == 0:
        return TunedClass(label, 0, before, math.nan, math.nan)
    f1_before = best_f1 = event_f1(reference, of_class.predicted(before))
    best = before
    for candidate, predicted in TRIALS[before.name](of_class):
        if len(predicted.clips) == 0:
            continue
        f1 = event_f1(reference, predicted)
        if f1 > best_f1:
            best, best_f1 = candidate, f1
    return TunedClass(label, events, best, f1_before, best_f1)


def tune(
    reference: Sequence[Clip],
    outputs: np.ndarray,
    clipwise: np.ndarray,
    *,
    stride_frames: int,
    before: PostProcessing,
) -> list[TunedClass]:
    """Choose the post-processing of every class.

    Parameters
    ----------
    reference : sequence of Clip
        The annotation of the clips to tune on, which must not be those that scores are reported of.
    outputs : np.ndarray, shape (clips, outputs, classes)
        Frame probabilities, each once, as the model gives them out.
    clipwise : np.ndarray, shape (clips, classes)
    stride_frames : int
        Frames of an output.
    before : PostProcessing
        That of the config.
    """
    return [
        tune_class(
            label,
            event_times(reference, label),
            ClassOutputs(outputs[:, :, index], clipwise[:, index], stride_frames),
            of_config,
        )
        for index, (label, of_config) in enumerate(zip(config.labels, before, strict=True))
    ]


def write_tuned(path: Path, tuned: list[TunedClass], data_type: str) -> None:
    """Write the choices as JSON, with the subset that they were made on."""
    content = {
        "tuned_on": data_type,
        "post_processing": tuned[0].post_processing.name,
        "classes": {of_class.label: asdict(of_class.post_processing) for of_class in tuned},
    }
    with written_whole(path) as unfinished:
        unfinished.write_text(json.dumps(content, indent=1), encoding="utf-8")


def read_tuned(path: Path, before: PostProcessing, remedy: str) -> PostProcessing:
    """Read what `write_tuned` wrote.

    Parameters
    ----------
    path : Path
        The JSON file.
    before : PostProcessing
        That of the config, which must be of the same kind.
    remedy : str
        What makes the file, for the error message.

    Raises
    ------
    SedError
        If there is no such file, it is of another kind of post-processing or of other labels, or a value in
        it cannot be.
    """
    if not path.is_file():
        raise SedError(f"{path}: the post-processing was not tuned yet; {remedy}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        kind, classes = content["post_processing"], content["classes"]
        labels = list(classes)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SedError(f"{path}: holds no tuned post-processing; {remedy}") from error
    if labels != config.labels or kind != before[0].name:
        raise SedError(
            f"{path}: is of {kind} and the labels {', '.join(labels)}, not of {before[0].name} and the "
            f"config's; {remedy}"
        )
    for label, values in classes.items():
        check_values(f"{path}: {label}", values, before[0], remedy)
    return tuple(type(before[0])(**classes[label]) for label in config.labels)


def check_values(where: str, values: Any, example: ClassPostProcessing, remedy: str) -> None:
    """Raise SedError unless the values are those of such a post-processing, each in its range."""
    expected = asdict(example)
    if not isinstance(values, dict) or values.keys() != expected.keys():
        raise SedError(f"{where} must have {', '.join(expected)}; {remedy}")
    for name, value in values.items():
        kinds = (int,) if isinstance(expected[name], int) else (int, float)
        smallest, largest = RANGES[name]
        is_number = isinstance(value, kinds) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or not smallest <= value <= largest:
            raise SedError(f"{where}: {name} cannot be {value!r}; {remedy}")
