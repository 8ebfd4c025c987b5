"""Chooses the post-processing of each class with the best event F1 on annotated clips."""

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from utils.dataset.tables import Clip
from utils.events.matching import EventTimes, match_events
from utils.events.post_processing import (
    POST_PROCESSINGS,
    ClassPostProcessing,
    DoubleThreshold,
    EventBoxes,
    MedianFilter,
    PostProcessing,
    class_post_processing,
    double_threshold,
    drop_short_runs,
    join_close_runs,
    runs_of_true,
)
from utils.events.probabilities import Probabilities
from utils.settings.group import names_of
from utils.settings.groups import EventSettings, ScoringSettings, TuningSettings
from utils.system.errors import MissingInputError, SedError
from utils.system.files import written_whole

PAUSE = -1.0  # probability between clips: below every threshold


@dataclass(frozen=True)
class TunedClass:
    """The choice for a class.

    Attributes
    ----------
    label : str
    events : int
        In the reference.
    post_processing : ClassPostProcessing
    f1_before, f1 : float
        Event F1 with the settings' values, and with the choice; NaN without reference events.
    """

    label: str
    events: int
    post_processing: ClassPostProcessing
    f1_before: float
    f1: float


def times_of_label(clips: Sequence[Clip], label: str) -> EventTimes:
    """Return the events of a label, grouped by clip."""
    return EventTimes.of(
        (index, event)
        for index, clip in enumerate(clips)
        for event in clip.events or ()
        if event.label == label
    )


def event_f1(reference: EventTimes, predicted: EventTimes, scoring: ScoringSettings) -> float:
    """Return the event-based F1, where there are reference events."""
    partners = match_events(
        reference,
        predicted,
        onset_collar=scoring.onset_collar,
        offset_collar_fraction=scoring.offset_collar_fraction,
    )
    return 2 * int((partners >= 0).sum()) / (len(reference) + len(predicted))


@dataclass(frozen=True)
class Timeline:
    """Clips laid out one after the other with pauses between them, so that all are searched at once.

    A pause is one output long; in frames, it is longer than any gap over which events are joined.

    Attributes
    ----------
    edges : np.ndarray, shape (clips, outputs + 1), int
        The frames of the timeline at which the outputs of each clip begin, and the end of its last one.
    frames_per_second : float
    """

    edges: np.ndarray
    frames_per_second: float

    @classmethod
    def of(cls, probabilities: Probabilities, *, frames_per_second: float, longest_gap: float) -> Self:
        """Return the timeline of the clips; `longest_gap` is in s."""
        pause_frames = 1 + round(longest_gap * frames_per_second)
        starts = np.arange(len(probabilities)) * (probabilities.frames + pause_frames)
        return cls(starts[:, None] + probabilities.edges, frames_per_second)

    def laid_out(self, framewise: np.ndarray) -> np.ndarray:
        """Return probabilities of shape (clips, outputs) as one row, with pauses."""
        return np.pad(framewise, ((0, 0), (0, 1)), constant_values=PAUSE).ravel()

    def in_frames(self, runs: np.ndarray) -> np.ndarray:
        """Return runs of shape (runs, 2), found in a row that is laid out, in frames of the timeline."""
        return self.edges.ravel()[runs]

    def clips_of(self, runs: np.ndarray) -> np.ndarray:
        """Return the indices of the clips with the runs, which are in frames."""
        return np.searchsorted(self.edges[:, 0], runs[:, 0], side="right") - 1

    def times(self, runs: np.ndarray, clips: np.ndarray) -> EventTimes:
        """Return runs in frames as events, grouped by clip."""
        return EventTimes(clips, *((runs - self.edges[clips, :1]) / self.frames_per_second).T)


Trials = Iterator[tuple[ClassPostProcessing, EventTimes]]


def double_threshold_trials(
    before: DoubleThreshold,
    framewise: np.ndarray,
    clipwise: np.ndarray,
    timeline: Timeline,
    tuning: TuningSettings,
) -> Trials:
    """Yield every combination of the values for `DoubleThreshold`, and the events that it detects.

    Parameters
    ----------
    before : DoubleThreshold
        Has the values that are not tuned.
    framewise : np.ndarray, shape (clips, outputs)
        Probability of the class in each output.
    clipwise : np.ndarray, shape (clips,)
    timeline : Timeline
        Of the clips.
    tuning : TuningSettings
    """
    probability = timeline.laid_out(framewise)
    gaps, lengths = (
        [(seconds, round(seconds * timeline.frames_per_second)) for seconds in values]
        for values in (tuning.tuned_join_gaps, tuning.tuned_drop_lengths)
    )
    for high, low in itertools.product(tuning.tuned_high_thresholds, tuning.tuned_low_thresholds):
        if low > high:
            continue
        runs = timeline.in_frames(double_threshold(probability, high=high, low=low))
        for (gap, gap_frames), (length, length_frames) in itertools.product(gaps, lengths):
            kept = drop_short_runs(join_close_runs(runs, gap_frames=gap_frames), length_frames=length_frames)
            clips = timeline.clips_of(kept)
            for clip_threshold in tuning.tuned_clip_thresholds:
                in_clips = clipwise[clips] > clip_threshold
                events = timeline.times(kept[in_clips], clips[in_clips])
                candidate = replace(
                    before,
                    clip_threshold=clip_threshold,
                    high_threshold=high,
                    low_threshold=low,
                    join_gap=gap,
                    drop_length=length,
                )
                yield candidate, events


def median_filter_trials(
    before: MedianFilter,
    framewise: np.ndarray,
    clipwise: np.ndarray,
    timeline: Timeline,
    tuning: TuningSettings,
) -> Trials:
    """Yield the same for `MedianFilter`."""
    for length in tuning.tuned_median_filter_outputs:
        candidates = [
            replace(before, frame_threshold=threshold, median_filter_outputs=length)
            for threshold in tuning.tuned_frame_thresholds
        ]
        probability = timeline.laid_out(candidates[0].smoothed(framewise))
        for candidate in candidates:
            runs = timeline.in_frames(runs_of_true(probability > candidate.frame_threshold))
            yield candidate, timeline.times(runs, timeline.clips_of(runs))


def event_box_trials(
    before: EventBoxes,
    framewise: np.ndarray,
    clipwise: np.ndarray,
    timeline: Timeline,
    tuning: TuningSettings,
) -> Trials:
    """Yield the same for `EventBoxes`."""
    stride_frames = timeline.edges[0, 1]
    for step, ratio in itertools.product(tuning.tuned_box_steps, tuning.tuned_box_merge_ratios):
        finder = replace(before, box_step=step, box_merge_ratio=ratio)
        found = [
            finder.boxes(*of_clip, outputs_per_second=timeline.frames_per_second / stride_frames)
            for of_clip in zip(framewise, clipwise, strict=True)
        ]
        clips = np.repeat(np.arange(len(found)), [len(boxes) for boxes, _ in found])
        boxes = np.concatenate([boxes for boxes, _ in found])
        confidence = np.concatenate([confidences for _, confidences in found])
        runs = timeline.edges[clips[:, None], boxes]
        for threshold in tuning.tuned_box_thresholds:
            is_above = confidence > threshold
            events = timeline.times(runs[is_above], clips[is_above])
            yield replace(finder, box_threshold=threshold), events


TRIALS = {
    DoubleThreshold.name: double_threshold_trials,
    MedianFilter.name: median_filter_trials,
    EventBoxes.name: event_box_trials,
}


def tune_class(
    label: str,
    reference: EventTimes,
    predicted_before: EventTimes,
    before: ClassPostProcessing,
    trials: Trials,
    scoring: ScoringSettings,
) -> TunedClass:
    """Choose the post-processing of a class.

    Parameters
    ----------
    label : str
    reference : EventTimes
        Events of the class, grouped by clip.
    predicted_before : EventTimes
        What `before` detects.
    before : ClassPostProcessing
        That of the settings. It stays for a class without events, and where no other is better.
    trials : iterator
        Of the candidates and what they detect. Among equally good ones, the first is taken.
    scoring : ScoringSettings
    """
    if len(reference) == 0:
        return TunedClass(label, 0, before, math.nan, math.nan)
    f1_before = best_f1 = event_f1(reference, predicted_before, scoring)
    best = before
    for candidate, predicted in trials:
        f1 = event_f1(reference, predicted, scoring)
        if f1 > best_f1:
            best, best_f1 = candidate, f1
    return TunedClass(label, len(reference), best, f1_before, best_f1)


def tune(
    reference: Sequence[Clip],
    probabilities: Probabilities,
    before: PostProcessing,
    *,
    tuning: TuningSettings,
    scoring: ScoringSettings,
) -> list[TunedClass]:
    """Choose the post-processing of every class.

    Parameters
    ----------
    reference : sequence of Clip
        The annotation of the clips to tune on, which must not be those that scores are reported of.
    probabilities : Probabilities
        Of the same clips.
    before : PostProcessing
        That of the settings.
    tuning : TuningSettings
        The values to try, in all combinations.
    scoring : ScoringSettings
        The collars of the event F1.
    """
    predicted = before.submission([clip.name for clip in reference], probabilities)
    timeline = Timeline.of(
        probabilities,
        frames_per_second=before.frames_per_second,
        longest_gap=max(tuning.tuned_join_gaps),
    )
    return [
        tune_class(
            label,
            times_of_label(reference, label),
            times_of_label(predicted, label),
            of_class,
            TRIALS[of_class.name](
                of_class,
                probabilities.framewise[..., index],
                probabilities.clipwise[:, index],
                timeline,
                tuning,
            ),
            scoring,
        )
        for index, (label, of_class) in enumerate(zip(before.labels, before.of_classes, strict=True))
    ]


def write_tuned(path: Path, tuned: Sequence[TunedClass], data_type: str, training_id: str) -> None:
    """Write the choices as JSON.

    Parameters
    ----------
    path : Path
    tuned : sequence of TunedClass
        Of every class.
    data_type : str
        The subset that they were tuned on.
    training_id : str
        Of the training whose checkpoint they were tuned for; no other training has the same.
    """
    content = {
        "tuned_on": data_type,
        "training_id": training_id,
        "post_processing": tuned[0].post_processing.name,
        "classes": {of_class.label: asdict(of_class.post_processing) for of_class in tuned},
    }
    with written_whole(path) as unfinished:
        unfinished.write_text(json.dumps(content, indent=1), encoding="utf-8")


def read_tuned(
    path: Path, untuned: PostProcessing, events: EventSettings, training_id: str
) -> PostProcessing:
    """Read what `write_tuned` wrote.

    Parameters
    ----------
    path : Path
    untuned : PostProcessing
        Of the model; one kind for all classes.
    events : EventSettings
        What the values take the place of.
    training_id : str
        Of the model's training.

    Raises
    ------
    MissingInputError
        If there is no such file, it is not valid, or was tuned for another kind of post-processing, other
        labels or another training.
    """
    if not path.is_file():
        raise MissingInputError(path, "the post-processing was not tuned yet")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        tuned_id, kind, classes = content["training_id"], content["post_processing"], content["classes"]
        labels_of_file = [*classes.keys()]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise MissingInputError(path, "not a valid file of tuned post-processing") from error
    name = untuned.of_classes[0].name
    if labels_of_file != [*untuned.labels] or kind != name:
        raise MissingInputError(
            path,
            f"is of {kind} and the labels {', '.join(labels_of_file)}, not of {name} and the model's labels",
        )
    if tuned_id != training_id:
        raise MissingInputError(path, "was tuned for an earlier training of this run")
    names = names_of(POST_PROCESSINGS[name])
    chosen = []
    for label, values in classes.items():
        if not isinstance(values, dict) or values.keys() != {*names}:
            raise MissingInputError(path, f"{label} must have {', '.join(names)}")
        try:
            chosen.append(class_post_processing(name, replace(events, **values)))
        except SedError as error:
            raise MissingInputError(path, f"{label}: {error}") from error
    return replace(untuned, of_classes=tuple(chosen))
