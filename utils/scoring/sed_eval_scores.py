"""Scores: mean average precision of clip probabilities; event- and segment-based scores through sed_eval."""

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict, astuple, dataclass, field
from typing import Any

import numpy as np

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
    import dcase_util
    from sed_eval.sound_event import EventBasedMetrics, SegmentBasedMetrics, SoundEventMetrics

from utils.dataset.tables import Clip, Event
from utils.settings.groups import ScoringSettings
from utils.system.progress import progress

CHALLENGE_SEGMENT_SECONDS = 1.0


@dataclass(frozen=True)
class Rates:
    """F1, precision and recall (0 to 1) and error rates (0 and more); NaN where there is no reference."""

    f1: float
    precision: float
    recall: float
    error_rate: float
    deletion_rate: float
    insertion_rate: float


NO_RATES = Rates(*[math.nan] * 6)


@dataclass(frozen=True)
class MetricScores:
    """One metric: the mean over the classes, all classes counted together, and each class."""

    macro: Rates
    micro: Rates
    classwise: dict[str, Rates]


@dataclass(frozen=True)
class DetectionScores:
    """All scores of a submission; the segment-based ones by segment length ("0.2s", "1s").

    Attributes
    ----------
    clips : int
    event : MetricScores
    segment : dict of str to MetricScores
    counts : dict of str to np.ndarray, shape (clips, classes, 3)
        What the scores are made of: true positives, predicted and reference events or segments of each clip,
        for "event" and for each "segment/LENGTH".
    """

    clips: int
    event: MetricScores
    segment: dict[str, MetricScores]
    counts: dict[str, np.ndarray] = field(compare=False, repr=False)

    @property
    def metrics(self) -> dict[str, MetricScores]:
        """The metrics by their paths in the statistics: "event", and each "segment/LENGTH"."""
        return {"event": self.event} | {f"segment/{key}": metric for key, metric in self.segment.items()}

    def to_json(self) -> dict[str, Any]:
        """Return the scores as nested dictionaries, for a line of statistics."""
        segment = {key: asdict(metric) for key, metric in self.segment.items()}
        return {"clips": self.clips, "event": asdict(self.event), "segment": segment}


def segment_key(seconds: float) -> str:
    """Return the name that a segment length has in the statistics, such as "0.2s"."""
    return f"{seconds:g}s"


def shown_segment_key(segment_lengths: Sequence[float]) -> str:
    """Return the key of the length that table, curves and page show: the one nearest the challenge's."""
    return segment_key(min(segment_lengths, key=lambda length: abs(length - CHALLENGE_SEGMENT_SECONDS)))


def average_precisions(target: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Compute the average precision of each class.

    Parameters
    ----------
    target : np.ndarray, shape (clips, classes), bool
    probability : np.ndarray, shape (clips, classes)

    Returns
    -------
    np.ndarray, shape (classes,)
        NaN for a class that no clip has.
    """
    from sklearn.metrics import average_precision_score  # here, as it takes most of a second to import

    return np.array(
        [
            average_precision_score(of_class, scores) if of_class.any() else np.nan
            for of_class, scores in zip(target.T, probability.T, strict=True)
        ]
    )


def mean_average_precision(target: np.ndarray, probability: np.ndarray) -> float:
    """Compute the mean of `average_precisions` over the classes that some clip has; NaN if there are none."""
    by_class = average_precisions(target, probability)
    return math.nan if np.isnan(by_class).all() else float(np.nanmean(by_class))


def rates(results: dict[str, dict[str, float]], reference_count: float) -> Rates:
    """Take the rates out of sed_eval's results, whose error rates without a reference are around 1e15."""
    if reference_count == 0:
        return NO_RATES
    f_measure, error_rate = results["f_measure"], results["error_rate"]
    return Rates(
        float(f_measure["f_measure"]),
        float(f_measure["precision"]),
        float(f_measure["recall"]),
        float(error_rate["error_rate"]),
        float(error_rate["deletion_rate"]),
        float(error_rate["insertion_rate"]),
    )


def mean_rates(classwise: Iterable[Rates]) -> Rates:
    """Return the mean of each rate over the classes that have a reference."""
    with_reference = [astuple(of_class) for of_class in classwise if of_class is not NO_RATES]
    return Rates(*np.mean(with_reference, axis=0).tolist()) if with_reference else NO_RATES


def metric_scores(metric: SoundEventMetrics) -> MetricScores:
    """Take all scores out of a sed_eval metric."""
    classwise = {
        label: rates(results, results["count"]["Nref"])
        for label, results in metric.results_class_wise_metrics().items()
    }
    micro = rates(metric.results_overall_metrics(), metric.overall["Nref"])
    return MetricScores(mean_rates(classwise.values()), micro, classwise)


def sed_eval_list(events: Sequence[Event], clip_name: str) -> dcase_util.containers.MetaDataContainer:
    """Return the events of a clip as sed_eval takes them."""
    return dcase_util.containers.MetaDataContainer(
        [
            {"filename": clip_name, "event_onset": e.onset, "event_offset": e.offset, "event_label": e.label}
            for e in events
        ]
    )


def new_segment_metric(labels: Sequence[str], seconds: float) -> SegmentBasedMetrics:
    """Return sed_eval's segment-based metric, in which a class without predictions has F1 0, not NaN."""
    metric = SegmentBasedMetrics(list(labels), time_resolution=seconds)
    metric.empty_system_output_handling = "zero_score"  # this one's constructor does not take it
    return metric


def counts_so_far(metric: SoundEventMetrics) -> list[list[float]]:
    """Return the true positives, predicted and reference events or segments of each class."""
    return [[of_class[name] for name in ("Ntp", "Nsys", "Nref")] for of_class in metric.class_wise.values()]


def score_events(
    reference: Sequence[Clip],
    submission: Sequence[Clip],
    *,
    labels: Sequence[str],
    scoring: ScoringSettings,
    durations: dict[str, float] | None = None,
    show_progress: bool = True,
) -> DetectionScores:
    """Score predicted events against the reference.

    Every clip of the reference counts, also one without events or without predictions. Predictions for
    other clips are left out.

    Parameters
    ----------
    reference : sequence of Clip
        The annotation.
    submission : sequence of Clip
        The predictions; clips without any may be absent.
    labels : sequence of str
        The classes to score.
    scoring : ScoringSettings
        The collars, and the segment lengths, each of which gives its own scores.
    durations : dict of str to float, optional
        Duration of each clip in s: segments end there. Without them, they end with a clip's last event.
    show_progress : bool
        Whether to show how many clips are done.

    Returns
    -------
    DetectionScores
        A class without reference events is left out of the macro averages; one without predictions has F1 0.

    References
    ----------
    Mesaros, Heittola, Virtanen: Metrics for polyphonic sound event detection, Applied Sciences 6(6), 2016.
    """
    event_metric = EventBasedMetrics(
        list(labels),
        t_collar=scoring.onset_collar,
        percentage_of_length=scoring.offset_collar_fraction,
        empty_system_output_handling="zero_score",
    )
    segment_metrics = {segment_key(s): new_segment_metric(labels, s) for s in scoring.segment_lengths}
    metrics = {"event": event_metric} | {f"segment/{key}": m for key, m in segment_metrics.items()}
    counted: dict[str, list] = {key: [counts_so_far(metric)] for key, metric in metrics.items()}
    predicted = {clip.name: clip.events or () for clip in submission}
    for clip in progress(reference, "Scoring", len(reference)) if show_progress else reference:
        reference_list = sed_eval_list(clip.events or (), clip.name)
        predicted_list = sed_eval_list(predicted.get(clip.name, ()), clip.name)
        event_metric.evaluate(reference_list, predicted_list)
        for metric in segment_metrics.values():
            metric.evaluate(reference_list, predicted_list, durations[clip.name] if durations else None)
        for key, metric in metrics.items():
            counted[key].append(counts_so_far(metric))
    return DetectionScores(
        len(reference),
        metric_scores(event_metric),
        {key: metric_scores(metric) for key, metric in segment_metrics.items()},
        {key: np.diff(np.array(totals), axis=0) for key, totals in counted.items()},
    )
