"""The data of the results page: scores and curves of all runs, and the clips of `page_clips`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from utils.results.figures import curve_scores
from utils.results.page_clips import ClipReport
from utils.results.runs import RunResults
from utils.results.scored_models import EVENT_F1, ScoredModel, best_model, scored_models
from utils.results.statistics import value_at
from utils.results.table import ResultRow, described_numbers, results_table
from utils.scoring.sed_eval_scores import shown_segment_key
from utils.scoring.text import span
from utils.settings.groups import ScoringSettings
from utils.workspace.run import STUDENT, TEACHER, Variant


@dataclass(frozen=True)
class TableRow:
    """A row of the results table.

    Attributes
    ----------
    numbers : str
        Of its runs; empty for a published result.
    cells, details : list of str
        See `utils.results.table.ResultRow`.
    is_best : bool
        Whether the best model is in this row.
    runs : list of TableRow
        The single runs of a row of several that differ only in their seed.
    """

    numbers: str
    cells: list[str]
    details: list[str]
    is_best: bool
    runs: list["TableRow"]


@dataclass(frozen=True)
class Curve:
    """A line in a panel.

    Attributes
    ----------
    run : int
        Number of the run, from 1.
    kind : str
        "training", "validation" or "teacher".
    points : list of (iteration, value or NaN)
    """

    run: int
    kind: str
    points: list[tuple[int, float]]


@dataclass(frozen=True)
class Panel:
    """Curves with one axis; scores are drawn from 0 to 1, the loss logarithmically."""

    title: str
    is_score: bool
    curves: list[Curve]


@dataclass(frozen=True)
class ClassScores:
    """The F1 of each class of a model, in the order of `Report.class_labels`; NaN without a reference."""

    title: str
    event_f1: list[float]
    segment_f1: list[float]


@dataclass(frozen=True)
class Report:
    """All that the page shows; without a data set there are no clips.

    `date` is when the page was made. The verdict is on the model of `shown_title`; `event_f1` (macro average)
    and `settings` are its own.
    """

    workspace: str
    date: str
    shown_title: str
    event_f1: float
    settings: list[tuple[str, str]]
    columns: list[str]
    rows: list[TableRow]
    run_titles: list[str]
    run_groups: list[int]
    panels: list[Panel]
    segment_name: str
    class_labels: list[str]
    class_scores: list[ClassScores]
    clips: ClipReport | None


def table_rows(runs: list[RunResults], scoring: ScoringSettings) -> tuple[list[str], list[TableRow]]:
    """Return the header and the rows of the results table: a row for each group of runs, with these in it."""
    header, of_groups = results_table(runs, scoring, single_runs=False)
    _, of_runs = results_table(runs, scoring, single_runs=True)
    best = best_model(scored_models(runs))

    def table_row(row: ResultRow, title: str, single: list[TableRow]) -> TableRow:
        numbers = described_numbers(row.numbers) if row.numbers else ""
        cells = [title, *row.cells[1:]]
        ends = [span(*row.ends[name]) if name in row.ends else "" for name in header[1:]]
        return TableRow(numbers, cells, [row.ends_name, *ends], best in row.models, single)

    rows = []
    for group in of_groups:
        single = [
            table_row(row, f"seed {row.models[0].results.run.seed}", [])
            for row in of_runs
            if len(group.models) > 1 and row.models and row.models[0] in group.models
        ]
        rows.append(table_row(group, group.cells[0], single))
    return header, rows


def groups_of_runs(runs: list[RunResults]) -> list[int]:
    """Return a number for each run, from 0, that runs share which differ only in their seed."""
    keys = [replace(run.run, seed=0) for run in runs]
    return [list(dict.fromkeys(keys)).index(key) for key in keys]


def validation_curve(run: RunResults, number: int, weights: str, keys: tuple[str, ...]) -> Curve:
    """Return a validation score of a run over its iterations."""
    records = [record for record in run.evaluations if Variant(weights).scores_key in record]
    points = [(r["iteration"], value_at(r, (Variant(weights).scores_key, *keys))) for r in records]
    return Curve(number, "validation" if weights == STUDENT else weights, points)


def training_panels(runs: list[RunResults], scoring: ScoringSettings) -> list[Panel]:
    """Return the training curves: loss, mAP, event F1, segment F1."""
    numbered = list(enumerate(runs, start=1))
    losses = [
        Curve(number, "training", [(p["iteration"], p["loss"]) for p in run.loss_points])
        for number, run in numbered
    ]
    of_training = [
        Curve(
            number,
            "training",
            [(r["iteration"], value_at(r, ("train_mean_average_precision",))) for r in run.evaluations],
        )
        for number, run in numbered
    ]
    panels = [Panel("Training loss", False, losses)]
    for index, (title, keys) in enumerate(curve_scores(scoring)):
        curves = [
            validation_curve(run, number, weights, keys)
            for number, run in numbered
            for weights in (STUDENT, TEACHER)
        ]
        panels.append(Panel(title, True, (of_training if index == 0 else []) + curves))
    return [
        Panel(panel.title, panel.is_score, [curve for curve in panel.curves if curve.points])
        for panel in panels
    ]


def class_scores(model: ScoredModel, labels: Sequence[str], segment_name: str) -> ClassScores:
    """Return the F1 of each class, event-based and segment-based."""
    return ClassScores(
        model.title,
        [value_at(model.scores, ("event", "classwise", label, "f1")) for label in labels],
        [value_at(model.scores, ("segment", segment_name, "classwise", label, "f1")) for label in labels],
    )


def settings_of(model: ScoredModel) -> list[tuple[str, str]]:
    """Return name and value of the settings that a model was trained and scored with."""
    run = model.results.run
    flags = {name: value for name, value in vars(run).items() if name != "training"}
    values = flags | {"iteration": model.record["iteration"]} | asdict(run.training)
    values |= asdict(model.results.features)
    return [
        (name, ", ".join(map(str, value)) if isinstance(value, tuple) else str(value))
        for name, value in values.items()
    ]


def make_report(
    workspace_name: str,
    runs: list[RunResults],
    models: list[ScoredModel],
    clips: ClipReport | None,
    scoring: ScoringSettings,
) -> Report:
    """Put together the whole page, whose verdict is on the first model."""
    columns, rows = table_rows(runs, scoring)
    segment_name = shown_segment_key(scoring.segment_lengths)
    shown = models[0]
    labels = list(shown.scores["event"]["classwise"])
    return Report(
        workspace=workspace_name,
        date=datetime.now().strftime("%Y-%m-%d %H:%M"),
        shown_title=shown.title,
        event_f1=shown.score(EVENT_F1),
        settings=settings_of(shown),
        columns=columns,
        rows=rows,
        run_titles=[run.title for run in runs],
        run_groups=groups_of_runs(runs),
        panels=training_panels(runs, scoring),
        segment_name=segment_name,
        class_labels=labels,
        class_scores=[class_scores(model, labels, segment_name) for model in models],
        clips=clips,
    )
