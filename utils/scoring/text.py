"""Scores as text: lines for the log of a run, and tables for `score`."""

import math
from dataclasses import asdict

from utils.events.tuning import TunedClass
from utils.scoring.bootstrap import ResampledScores
from utils.scoring.sed_eval_scores import DetectionScores, MetricScores, Rates


def describe_rates(rates: Rates) -> str:
    """Return the rates as they stand in the log."""
    return (
        f"F score: {rates.f1:.3f}, ER: {rates.error_rate:.3f}, "
        f"Del: {rates.deletion_rate:.3f}, Ins: {rates.insertion_rate:.3f}"
    )


def log_lines(scores: DetectionScores) -> list[str]:
    """Return a line for each metric and average."""
    metrics = {"Event-based": scores.event}
    metrics |= {f"Segment based ({key})": metric for key, metric in scores.segment.items()}
    return [
        f"{name}, {average} {describe_rates(rates)}"
        for name, metric in metrics.items()
        for average, rates in (("classwise", metric.macro), ("overall", metric.micro))
    ]


def named_metrics(scores: DetectionScores, onset_collar: float) -> dict[str, MetricScores]:
    """Return the metrics by names that say their tolerances; the collar is in s."""
    collar = f"event-based, {1000 * onset_collar:.0f} ms"
    return {collar: scores.event} | {f"segment-based, {key}": m for key, m in scores.segment.items()}


def averages_table(scores: DetectionScores, onset_collar: float) -> list[str]:
    """Return a table of macro and micro averages; F1, precision and recall in percent."""
    lines = [f"{'':30}{'F1':>9}{'precision':>11}{'recall':>9}{'ER':>8}{'Del':>8}{'Ins':>8}"]
    for name, metric in named_metrics(scores, onset_collar).items():
        for average, r in (("macro", metric.macro), ("micro", metric.micro)):
            lines.append(
                f"{f'{name}, {average}':30}{100 * r.f1:7.2f} %"
                f"{100 * r.precision:9.2f} %{100 * r.recall:7.2f} %"
                f"{r.error_rate:8.2f}{r.deletion_rate:8.2f}{r.insertion_rate:8.2f}"
            )
    return lines


def classes_table(scores: DetectionScores, onset_collar: float) -> list[str]:
    """Return a table of each class's F1 in percent; a dash where the reference has no such event."""
    metrics = named_metrics(scores, onset_collar)
    lines = [f"{'F1 of each class':30}" + "".join(f"{name:>22}" for name in metrics)]
    for label in scores.event.classwise:
        values = [metric.classwise[label].f1 for metric in metrics.values()]
        cells = [f"{100 * value:.2f} %" if not math.isnan(value) else "-" for value in values]
        lines.append(f"{label:30}" + "".join(f"{cell:>22}" for cell in cells))
    return lines


def score_name(path: str) -> str:
    """Return the name of a score by its path in the statistics, such as "segment/1s/micro/f1"."""
    kind, *others = path.split("/")
    if kind == "psds":
        return others[0].upper()
    *length, average, _ = others
    return " ".join([kind, "F1", *length, *[average] * (average != "macro")])


def intervals_table(resampled: ResampledScores) -> list[str]:
    """Return a table of scores and their intervals in percent."""
    found = resampled.to_json()
    lines = [f"{'':30}{'score':>9}   {interval_name(found['confidence'])}"]
    for path, (low, high) in found["intervals"].items():
        cells = f"{100 * resampled.scores[path].score:7.2f} %   {100 * low:.2f} to {100 * high:.2f} %"
        lines.append(f"{score_name(path):30}{cells}")
    return lines


def interval_name(confidence: float) -> str:
    """Return such as `95 % interval`."""
    return f"{100 * confidence:g} % interval"


def tuned_table(tuned: list[TunedClass]) -> list[str]:
    """Return a table of each class's event F1 with the config's and the tuned values, and these values."""
    lines = [f"{'Event F1 on the clips tuned on':34}{'events':>8}{'config':>10}{'tuned':>10}"]
    for of_class in tuned:
        values = ", ".join(f"{name} {value:g}" for name, value in asdict(of_class.post_processing).items())
        cells = [f"{100 * f1:.2f} %" if of_class.events else "-" for f1 in (of_class.f1_before, of_class.f1)]
        lines.append(f"{of_class.label:34}{of_class.events:8}{cells[0]:>10}{cells[1]:>10}  {values}")
    return lines
