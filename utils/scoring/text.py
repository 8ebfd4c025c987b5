"""Scores as text, in percent: a line while a model trains, tables of what it has reached."""

import math
from dataclasses import asdict

import numpy as np

from utils.events.tuning import TunedClass
from utils.scoring.bootstrap import F1_AVERAGES, MEAN_AVERAGE_PRECISION, ResampledScores
from utils.scoring.sed_eval_scores import DetectionScores, Rates
from utils.scoring.validation import ValidationScores
from utils.settings.groups import ScoringSettings
from utils.system.terminal import aligned

RATES = {
    "precision": "precision",
    "recall": "recall",
    "ER": "error_rate",
    "deletions": "deletion_rate",
    "insertions": "insertion_rate",
}
PER_EVENT = ("ER", "deletions", "insertions")  # not in percent, as they can be above 1


def percent(value: float | None, decimals: int = 1) -> str:
    """Return a score or a rate in percent, or a dash where there is none."""
    return "-" if value is None or math.isnan(value) else f"{100 * value:.{decimals}f}"


def percent_in_full(value: float | None) -> str:
    """Return a score in percent, as exact as scores are published."""
    return percent(value, decimals=2)


def rate_text(column: str, rate: float) -> str:
    """Return a rate as it stands in one of the columns `RATES`."""
    if column not in PER_EVENT:
        return percent_in_full(rate)
    return "-" if math.isnan(rate) else f"{rate:.2f}"


def score_name(path: str) -> str:
    """Return the name of a score by its path in the statistics, such as "segment/1s/micro/f1"."""
    kind, *others = path.split("/")
    if kind == MEAN_AVERAGE_PRECISION:
        return "mAP"
    if kind == "psds":
        return others[0].upper()
    *length, average, _ = others
    return " ".join([kind, "F1", *length, *[average] * (average != "macro")])


def interval_name(confidence: float) -> str:
    """Return such as `95 % interval`."""
    return f"{100 * confidence:g} % interval"


def span(low: str, high: str, between: str = "–") -> str:
    """Return two ends as one text; of ends that read the same, one."""
    return low if low == high else f"{low}{between}{high}"


def score_line(scores: ValidationScores) -> str:
    """Return the mAP and the F1 averaged over the classes, as short as a line of the log has room for."""
    mean_ap, event = percent(scores.mean_average_precision), percent(scores.detection.event.macro.f1)
    segments = [f"{percent(metric.macro.f1)} ({key})" for key, metric in scores.detection.segment.items()]
    return f"mAP {mean_ap}, event F1 {event}, segment F1 {', '.join(segments)}"


def scores_table(resampled: ResampledScores, detection: DetectionScores | None = None) -> list[str]:
    """Return a table of scores with their intervals, and the rates of events and segments beside their F1."""
    found = resampled.to_json()
    rates: dict[str, Rates] = {}
    for name, metric in detection.metrics.items() if detection is not None else ():
        rates |= {f"{name}/{average}/f1": getattr(metric, average) for average in F1_AVERAGES}
    columns = RATES if rates else {}
    rows = [["in percent", "score", interval_name(found["confidence"]), *columns]]
    for path, ends in found["intervals"].items():
        score = percent_in_full(resampled.scores[path].score)
        of_path = [
            rate_text(column, getattr(rates[path], name)) if path in rates else ""
            for column, name in columns.items()
        ]
        rows.append([score_name(path), score, span(*map(percent_in_full, ends)), *of_path])
    return aligned(rows)


def classes_table(scores: DetectionScores) -> list[str]:
    """Return a table of each class's F1; a dash where the reference has no such event."""
    metrics = scores.metrics
    rows = [["F1 of each class", *(score_name(f"{name}/macro/f1") for name in metrics)]]
    for label in scores.event.classwise:
        rows.append([label, *(percent_in_full(metric.classwise[label].f1) for metric in metrics.values())])
    return aligned(rows)


def explain_scores(scoring: ScoringSettings) -> list[str]:
    """Return what the F1 in the tables means."""
    collar = f"{1000 * scoring.onset_collar:g} ms"
    return [
        f"Event F1: onsets may be off by {collar}, offsets by {collar} or "
        f"{100 * scoring.offset_collar_fraction:g} % of the event.",
        "F1 and the columns beside it are means over the classes; micro: all classes counted together.",
        "ER, deletions and insertions are per reference event or segment, not in percent. The ER of micro",
        "rows counts substitutions too: one class in place of another.",
    ]


def tuned_table(tuned: list[TunedClass]) -> list[str]:
    """Return a table of each class's event F1 with the untuned and the tuned values, and the latter."""
    rows, values = [["Event F1 on the clips tuned on", "events", "untuned", "tuned"]], [""]
    for of_class in tuned:
        cells = [f"{100 * f1:.2f} %" if of_class.events else "-" for f1 in (of_class.f1_before, of_class.f1)]
        rows.append([of_class.label, str(of_class.events), *cells])
        chosen = asdict(of_class.post_processing).items()
        values.append("  " + ", ".join(f"{name} {value:g}" for name, value in chosen))
    return [line + chosen for line, chosen in zip(aligned(rows), values, strict=True)]


def describe_absent(target: np.ndarray, labels: tuple[str, ...], clips: str) -> list[str]:
    """Return a line on the classes that the mAP leaves out, if any.

    Parameters
    ----------
    target : np.ndarray, shape (clips, classes), bool
    labels : tuple of str
    clips : str
        Words for the clips.
    """
    absent = [label for label, found in zip(labels, target.any(axis=0), strict=True) if not found]
    return [f"The mAP leaves out {', '.join(absent)}, which no {clips} has"] if absent else []
