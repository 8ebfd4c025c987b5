"""The results of a workspace: its runs, their scores, and the published scores beside them."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import mode
from typing import Any, Self

from utils.dataset.subsets import CHALLENGE_FACTS, SUBSETS, read_challenge_labels
from utils.dataset.tables import read_rows
from utils.results.record_forms import LOSS, SCORED, VARIANTS, misfit
from utils.results.statistics import read_records, read_run_settings, validation_key
from utils.scoring.sed_eval_scores import segment_key
from utils.settings.groups import FeatureSettings, ScoringSettings
from utils.system.errors import SedError, one_line
from utils.workspace.paths import RunPaths, Workspace
from utils.workspace.run import STUDENT, Run

MICRO = "micro"  # in the name of a column: all classes counted together
PSDS_COLUMNS = ("PSDS1", "PSDS2")
PUBLISHED_SCORES = ("mAP", "event F1", "segment F1")
SHORT_NAMES = {"train_weak": "weak", "train_synthetic": "synthetic", "train_unlabel_in_domain": "unlabelled"}


@dataclass(frozen=True)
class PublishedResult:
    """A row of the published results, which hold macro averages only; scores of 0 to 1, or None."""

    system: str
    data_type: str
    model_type: str
    loss_type: str
    mean_average_precision: float | None
    event_f1_macro: float | None
    segment_f1_macro: float | None

    def is_of(self, run: Run) -> bool:
        """Tell whether the run repeats this result."""
        own = (self.data_type, self.model_type, self.loss_type)
        return own == (run.data_type, run.model_type, run.loss_type)

    def cells(self) -> list[str]:
        """Return the scores in percent."""
        scores = (self.mean_average_precision, self.event_f1_macro, self.segment_f1_macro)
        return [percent(score) for score in scores]


@cache
def read_published_results() -> tuple[PublishedResult, ...]:
    """Read the published results, in their order."""
    texts = ("system", "data_type", "model_type", "loss_type")
    scores = ("mean_average_precision", "event_f1_macro", "segment_f1_macro")
    return tuple(
        PublishedResult(
            *(row.cells[column] for column in texts),
            *(float(row.cells[column]) if row.cells[column] else None for column in scores),
        )
        for row in read_rows(CHALLENGE_FACTS / "published_results.tsv", (*texts, *scores))
    )


def usual_model() -> str:
    """Return the model of most published results, which a run's title need not name."""
    return mode(result.model_type for result in read_published_results())


@dataclass(frozen=True)
class RunResults:
    """A run and its statistics.

    Attributes
    ----------
    run : Run
    features : FeatureSettings
        Of the features that it was trained on.
    paths : RunPaths
    start : str
        See `utils.results.statistics.RunSettings`.
    evaluations : list of dict
        Made in training, by iteration.
    inferences : list of dict
        Made by `inference_validation` of this training's checkpoints, in the order they were made.
    loss_curve : list of dict
        Iteration and training loss.
    """

    run: Run
    features: FeatureSettings
    paths: RunPaths
    start: str
    evaluations: list[dict[str, Any]]
    inferences: list[dict[str, Any]]
    loss_curve: list[dict[str, Any]]

    @classmethod
    def read(cls, paths: RunPaths) -> Self:
        """Read the statistics of a run. Inferences of an earlier training of it are left out."""
        settings = read_run_settings(paths.settings)
        return cls(
            settings.run,
            settings.features,
            paths,
            settings.start,
            evaluations=by_iteration(records_of_form(paths.training_statistics, SCORED)),
            inferences=[
                record
                for record in records_of_form(paths.inference_statistics, SCORED)
                if record.get("start") == settings.start
            ],
            loss_curve=by_iteration(records_of_form(paths.loss_statistics, LOSS)),
        )

    @property
    def title(self) -> str:
        """Return a name such as `Weak audio, clipwise loss`, with what else tells the run from others."""
        run = self.run
        audio = " + ".join(SHORT_NAMES[data_type] for data_type in run.data_types)
        loss = run.loss_type.removesuffix("_binary_crossentropy").replace("_", " ")
        way = loss if run.is_recipe else f"{loss} loss"
        extras = [] if run.model_type == usual_model() else [run.model_type]
        extras += [f"batch {run.batch_size}", f"seed {run.seed}"]
        extras += run.own_settings
        extras += [f"from {run.initial_checkpoint}"] * bool(run.initial_checkpoint)
        extras += ["validation clips trained on"] * (run.holdout_fold == "none")
        extras += ["mini data"] * run.mini_data
        return f"{audio.capitalize()} audio, {way} ({', '.join(extras)})"

    def latest(self, weights: str, tuned: bool = False) -> dict[str, Any] | None:
        """Return the record that counts: of the last inference, else of the last evaluation in training.

        Scores of a teacher, or of tuned post-processing, count only where inference was asked for them.
        """
        is_of_training = weights == STUDENT and not tuned
        records = [*self.evaluations, *self.inferences] if is_of_training else self.inferences
        scored = [record for record in records if validation_key(weights, tuned) in record]
        return scored[-1] if scored else None


def records_of_form(path: Path, form: dict[str, Any]) -> list[dict[str, Any]]:
    """Read the records, all of that form; raises SedError with file and line where one is not."""
    records = read_records(path)
    for line, record in enumerate(records, start=1):
        if problem := misfit(record, form, "it"):
            raise SedError(f"{path}, line {line}: not valid statistics, as {problem}; remove the line")
    return records


def by_iteration(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sort the records: a training that is resumed to fewer iterations makes earlier ones later."""
    return sorted(records, key=lambda record: record["iteration"])


def read_runs(workspace: Workspace) -> list[RunResults]:
    """Read the statistics of all runs in a workspace, in the order of the published results.

    A run whose statistics are not valid is left out, with a line on standard error.

    Raises
    ------
    SedError
        If those of no run are valid.
    """
    results, errors = [], []
    for paths in workspace.all_run_paths():
        try:
            results.append(RunResults.read(paths))
        except SedError as error:
            errors.append(error)
    if errors and not results:
        raise errors[0]
    for error in errors:
        print(f"left out: {one_line(error)}", file=sys.stderr)
    order = [(published.data_type, published.loss_type) for published in read_published_results()]

    def place(result: RunResults) -> tuple[int, str]:
        kind = (result.run.data_type, result.run.loss_type)
        return (order.index(kind) if kind in order else len(order), result.title)

    return sorted(results, key=place)


def read_evaluated_runs(workspace: Workspace) -> list[RunResults]:
    """Read the runs of a workspace that have been evaluated.

    Raises
    ------
    SedError
        If there are none.
    """
    runs = [run for run in read_runs(workspace) if run.evaluations]
    if not runs:
        raise SedError(f"{workspace.statistics}: there are no results yet; train with pytorch/main.py first")
    return runs


@dataclass(frozen=True)
class ScoredModel:
    """A row of the table: a run's model with the student's or teacher's weights, tuned or not."""

    results: RunResults
    weights: str
    record: dict[str, Any]
    tuned: bool = False

    @property
    def title(self) -> str:
        extras = [self.weights] * (self.weights != STUDENT) + ["tuned"] * self.tuned
        return ", ".join([self.results.title, *extras])

    @property
    def scores(self) -> dict[str, Any]:
        """The model's scores, as they stand in the statistics."""
        return self.record[validation_key(self.weights, self.tuned)]


def scored_models(runs: list[RunResults]) -> list[ScoredModel]:
    """Return the models of the runs that have been validated, in the order of the runs."""
    variants = [(run, weights, tuned) for run in runs for weights, tuned in VARIANTS]
    records = [(run, weights, run.latest(weights, tuned), tuned) for run, weights, tuned in variants]
    return [ScoredModel(*model) for model in records if model[2] is not None]


def best_model(models: list[ScoredModel]) -> ScoredModel:
    """Return the model with the highest macro event F1, then mAP.

    One that was trained on the validation clips, or scored on a few of them, comes after all others.
    """

    def rank(model: ScoredModel) -> tuple[bool, bool, float, float]:
        run, scores = model.results.run, model.scores
        values = scores["event"]["macro"]["f1"], scores["mean_average_precision"]
        event_f1, mean_ap = (value or 0.0 for value in values)  # NaN is None in the statistics
        return run.holdout_fold != "none", not run.mini_data, event_f1, mean_ap

    return max(models, key=rank)


def score_columns(segment_lengths: Sequence[float]) -> list[str]:
    """Return the names of the score columns."""
    metrics = ["event F1", *(f"segment F1 {segment_key(seconds)}" for seconds in segment_lengths)]
    return ["mAP", *(name for metric in metrics for name in (metric, f"{metric} {MICRO}"))]


def percent(value: float | None) -> str:
    """Return a score of 0 to 1 in percent, or a dash where there is none."""
    return "-" if value is None else f"{100 * value:.1f}"


def score_cells(scores: dict[str, Any], segment_lengths: Sequence[float]) -> list[str]:
    """Return the cells of a run's scores, in percent."""
    metrics = [scores["event"]] + [scores["segment"].get(segment_key(s)) for s in segment_lengths]
    cells = [percent(scores["mean_average_precision"])]
    for metric in metrics:
        cells += [percent(metric[average]["f1"]) if metric else "-" for average in ("macro", "micro")]
    return cells


def is_challenge_data(runs: list[RunResults]) -> bool:
    """Tell whether the runs are on the challenge's data, by its labels and the number of validation clips."""
    records = [run.latest(STUDENT) for run in runs]
    listed = {record[validation_key(STUDENT)]["clips_listed"] for record in records if record}
    labels = {run.features.labels for run in runs}
    return labels == {tuple(read_challenge_labels())} and listed == {SUBSETS["validation"].clips}


def results_rows(runs: list[RunResults], scoring: ScoringSettings) -> list[list[str]]:
    """Return the results table: a header, and a row for each run that has been validated.

    On the challenge's data the published results stand beside: in the row of the run that repeats them, or in
    a row of their own where there is no such run. PSDS has columns where it was computed for some run.
    """
    published = read_published_results() if is_challenge_data(runs) else ()
    psds_columns = PSDS_COLUMNS if any("psds" in model.scores for model in scored_models(runs)) else ()
    header = ["training", "iteration", "clips", *score_columns(scoring.segment_lengths), *psds_columns]
    rows = [header + [f"published {name}" for name in PUBLISHED_SCORES] * bool(published)]
    for model in scored_models(runs):
        matching = [result for result in published if result.is_of(model.results.run)]
        beside = matching[0].cells() if matching else ["-"] * len(PUBLISHED_SCORES)
        own = [model.title, str(model.record["iteration"]), str(model.scores["clips"])]
        own += score_cells(model.scores, scoring.segment_lengths)
        own += [percent(model.scores.get("psds", {}).get(name.lower())) for name in psds_columns]
        rows.append(own + beside * bool(published))
    for result in published:
        if not any(result.is_of(run.run) for run in runs):
            rows.append([result.system, *["-"] * (len(header) - 1), *result.cells()])
    return rows


def format_table(rows: list[list[str]]) -> str:
    """Return the rows with aligned columns: the first to the left, the others to the right.

    A micro average stands beside its macro average, so its heading need not repeat the name.
    """
    rows = [[MICRO if name.endswith(MICRO) else name for name in rows[0]], *rows[1:]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    rule = "-" * len(lines[0])
    return "\n".join([rule, lines[0], rule, *lines[1:], rule])
