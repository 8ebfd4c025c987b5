"""The results of a workspace: its runs, their scores, and the published scores beside them."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from statistics import mode
from typing import Any, Self

import numpy as np

from utils.dataset.subsets import CHALLENGE_FACTS, SUBSETS, read_challenge_labels
from utils.dataset.tables import read_rows
from utils.results.record_forms import LOSS, SCORED, VARIANTS, misfit
from utils.results.statistics import read_records, read_run_settings, validation_key, value_at
from utils.scoring.bootstrap import F1_AVERAGES
from utils.scoring.sed_eval_scores import segment_key
from utils.scoring.text import interval_name, percent, score_name
from utils.settings.groups import FeatureSettings, ScoringSettings
from utils.system.errors import SedError, one_line
from utils.workspace.paths import RunPaths, Workspace
from utils.workspace.run import STUDENT, Run

PUBLISHED_COLUMNS = ["published mAP", "published event F1", "published segment F1"]
SHORT_NAMES = {"train_weak": "weak", "train_synthetic": "synthetic", "train_unlabel_in_domain": "unlabelled"}
# The strongly labelled clips of the challenge's classes are synthetic; those of own classes need not be.
NAMES_OF_OWN_CLIPS = SHORT_NAMES | {"train_synthetic": "strong"}
EVENT_F1 = "event/macro/f1"  # the path of the score that tells the best model


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
    precision : str
        See `utils.results.statistics.RunSettings`.
    """

    run: Run
    features: FeatureSettings
    paths: RunPaths
    start: str
    evaluations: list[dict[str, Any]]
    inferences: list[dict[str, Any]]
    loss_curve: list[dict[str, Any]]
    precision: str

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
            precision=settings.precision,
        )

    @property
    def title(self) -> str:
        """A name such as `Weak audio, clipwise loss`, with what else tells the run from others."""
        return self.title_with(f"seed {self.run.seed}")

    def title_with(self, seeds: str) -> str:
        """Return the title with other words in place of the seed."""
        return f"{self.training} ({', '.join(self.traits(seeds))})"

    @property
    def training(self) -> str:
        """What the run learns from, and how."""
        run = self.run
        has_own_classes = list(self.features.labels) != read_challenge_labels()
        names = NAMES_OF_OWN_CLIPS if has_own_classes else SHORT_NAMES
        audio = " + ".join(names[data_type] for data_type in run.data_types)
        loss = run.loss_type.removesuffix("_binary_crossentropy").replace("_", " ")
        way = loss if run.is_recipe else f"{loss} loss"
        return f"{audio.capitalize()} audio, {way}"

    def traits(self, seeds: str) -> list[str]:
        """Return what else tells the run from others, with `seeds` as the words for its seed."""
        run = self.run
        traits = [] if run.model_type == usual_model() else [run.model_type]
        traits += [f"batch {run.batch_size}", *[seeds] * bool(seeds)]
        traits += run.own_settings
        traits += [f"from {run.initial_checkpoint}"] * bool(run.initial_checkpoint)
        traits += ["validation clips trained on"] * (run.holdout_fold == "none")
        traits += ["mini data"] * run.mini_data
        return traits

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
    """Read the statistics of all runs in a workspace: the recipe first, then as the published results stand.

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

    def place(result: RunResults) -> tuple[int, str, int]:
        kind = (result.run.data_type, result.run.loss_type)
        number = -1 if result.run.is_recipe else order.index(kind) if kind in order else len(order)
        return number, result.title_with(""), result.run.seed

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
        return self.title_with(f"seed {self.results.run.seed}")

    def title_with(self, seeds: str) -> str:
        """Return the title with other words in place of the seed."""
        return ", ".join([self.results.title_with(seeds), *self.variant])

    @property
    def variant(self) -> list[str]:
        """What tells the model from that of the student with the settings' post-processing."""
        return [self.weights] * (self.weights != STUDENT) + ["tuned"] * self.tuned

    @property
    def scores(self) -> dict[str, Any]:
        """The model's scores, as they stand in the statistics."""
        return self.record[validation_key(self.weights, self.tuned)]

    @property
    def without_seed(self) -> tuple[Any, ...]:
        """What is the same in models that differ only in the seed of their training."""
        results, record = self.results, self.record
        run = replace(results.run, seed=0)
        own = (self.weights, self.tuned, record.get("iteration"), self.scores.get("clips"))
        return run, results.features, results.precision, *own

    def score(self, path: str) -> float:
        """Return a score by its path, such as "event/macro/f1"; NaN where there is none."""
        return value_at(self.scores, tuple(path.split("/")))

    def interval(self, path: str) -> tuple[float, float]:
        """Return the ends of a score's interval; NaN where there is none."""
        found = self.scores.get("bootstrap", {}).get("intervals", {}).get(path) or (None, None)
        low, high = (math.nan if end is None else end for end in found)
        return low, high


def scored_models(runs: list[RunResults]) -> list[ScoredModel]:
    """Return the models of the runs that have been validated, in the order of the runs."""
    variants = [(run, weights, tuned) for run in runs for weights, tuned in VARIANTS]
    records = [(run, weights, run.latest(weights, tuned), tuned) for run, weights, tuned in variants]
    return [ScoredModel(*model) for model in records if model[2] is not None]


@dataclass(frozen=True)
class ModelGroup:
    """Models that differ only in the seed of their training: a row of the table."""

    models: tuple[ScoredModel, ...]

    @property
    def title(self) -> str:
        """The title of a single model; of several, with their number and seeds."""
        return self.models[0].title_with(self.seeds)

    @property
    def seeds(self) -> str:
        """The seed of a single model; of several, their number and seeds."""
        seeds = [str(model.results.run.seed) for model in self.models]
        return f"{len(seeds)} seeds: {', '.join(seeds)}" if len(seeds) > 1 else f"seed {seeds[0]}"

    def values(self, path: str) -> np.ndarray:
        """Return a score of each model that has it."""
        values = np.array([model.score(path) for model in self.models])
        return values[~np.isnan(values)]

    def cell(self, path: str) -> str:
        """Return a score in percent: of a single model, or mean ± standard deviation over the seeds."""
        values = self.values(path)
        if len(values) < 2:
            return percent(values[0] if len(values) else math.nan)
        return f"{percent(values.mean())} ± {percent(values.std(ddof=1))}"

    def detail(self, path: str) -> str:
        """Return the interval of a single model's score in percent; of several, the worst and the best."""
        values = self.values(path)
        ends = self.models[0].interval(path) if len(self.models) == 1 else (values.min(), values.max())
        return "" if np.isnan(ends).any() else "–".join(percent(end) for end in ends)

    @property
    def detail_name(self) -> str:
        """What `detail` is; empty where there is none."""
        if len(self.models) > 1:
            return "worst to best"
        found = self.models[0].scores.get("bootstrap")
        return interval_name(found["confidence"]) if found else ""


def grouped_by_seed(models: Sequence[ScoredModel]) -> list[ModelGroup]:
    """Return the groups of models that differ only in their seed, in the order of their first ones."""
    groups: dict[tuple[Any, ...], list[ScoredModel]] = {}
    for model in models:
        groups.setdefault(model.without_seed, []).append(model)
    return [ModelGroup(tuple(group)) for group in groups.values()]


def best_first(models: Sequence[ScoredModel]) -> list[ScoredModel]:
    """Return the models by their macro event F1, then mAP, from the highest to the lowest.

    Those that differ only in their seed stand together, in the place of their mean, so that a lucky seed
    alone is not the best. Models that were trained on the validation clips, or scored on a few of them, come
    after all others.
    """

    def rank(group: Sequence[ScoredModel]) -> tuple[bool, bool, float, float]:
        run = group[0].results.run
        means = [
            np.mean([np.nan_to_num(model.score(path)) for model in group])
            for path in (EVENT_F1, "mean_average_precision")
        ]
        return run.holdout_fold != "none", not run.mini_data, *means

    groups = sorted((group.models for group in grouped_by_seed(models)), key=rank, reverse=True)
    return [one for group in groups for one in sorted(group, key=lambda one: rank([one]), reverse=True)]


def best_model(models: Sequence[ScoredModel]) -> ScoredModel:
    """Return the first of the models, as `best_first` orders them."""
    return best_first(models)[0]


def score_paths(segment_lengths: Sequence[float], *, with_psds: bool) -> dict[str, str]:
    """Return the paths of the scores in the statistics, by the names of their columns."""
    metrics = ["event", *(f"segment/{segment_key(seconds)}" for seconds in segment_lengths)]
    paths = [f"{metric}/{average}/f1" for metric in metrics for average in F1_AVERAGES]
    paths += ["psds/psds1", "psds/psds2"] * with_psds
    return {"mAP": "mean_average_precision"} | {score_name(path): path for path in paths}


def is_challenge_data(runs: list[RunResults]) -> bool:
    """Tell whether the runs are on the challenge's data, by its labels and the number of validation clips."""
    records = [run.latest(STUDENT) for run in runs]
    listed = {record[validation_key(STUDENT)]["clips_listed"] for record in records if record}
    labels = {run.features.labels for run in runs}
    return labels == {tuple(read_challenge_labels())} and listed == {SUBSETS["validation"].clips}


@dataclass(frozen=True)
class ResultRow:
    """A row of the results table.

    Attributes
    ----------
    numbers : list of int
        Of its runs among all of the workspace, from 1; none in a row of published scores.
    cells : list of str
        By the columns of the table, the title first.
    details : list of str
        What belongs below the cells: intervals, or the worst and the best seed; empty where there is nothing.
    models : tuple of ScoredModel
        Those that share the row; none in a row of published scores.
    """

    numbers: list[int]
    cells: list[str]
    details: list[str]
    models: tuple[ScoredModel, ...] = ()


def described_numbers(numbers: Sequence[int]) -> str:
    """Return ascending numbers as text, such as `3` or `1-3` or `1,4`."""
    first, last = numbers[0], numbers[-1]
    if len(numbers) > 1 and last - first == len(numbers) - 1:
        return f"{first}-{last}"
    return ",".join(map(str, numbers))


def results_table(
    runs: list[RunResults], scoring: ScoringSettings, *, single_runs: bool
) -> tuple[list[str], list[ResultRow]]:
    """Return the header and the rows of the results table, of all models that have been validated.

    Runs that differ only in their seed share a row, unless `single_runs`. On the challenge's data the
    published results stand beside: in the rows that repeat them, or in a row of their own where there is
    none. PSDS has columns where it was computed for some run.
    """
    models = scored_models(runs)
    published = read_published_results() if is_challenge_data(runs) else ()
    paths = score_paths(scoring.segment_lengths, with_psds=any("psds" in model.scores for model in models))
    header = ["training", "iteration", "clips", *paths]
    rows = []
    for group in [ModelGroup((model,)) for model in models] if single_runs else grouped_by_seed(models):
        first = group.models[0]
        matching = [result for result in published if result.is_of(first.results.run)]
        beside = matching[0].cells() if matching else ["-"] * len(PUBLISHED_COLUMNS)
        own = [group.title, str(first.record["iteration"]), str(first.scores["clips"])]
        cells = own + [group.cell(path) for path in paths.values()] + beside * bool(published)
        details = [group.detail_name, "", "", *map(group.detail, paths.values())]
        details += [""] * (len(cells) - len(details))
        numbers = [runs.index(model.results) + 1 for model in group.models]
        rows.append(ResultRow(numbers, cells, details, group.models))
    for result in published:
        if not any(result.is_of(run.run) for run in runs):
            cells = [result.system, *["-"] * (len(header) - 1), *result.cells()]
            rows.append(ResultRow([], cells, [""] * len(cells)))
    return header + PUBLISHED_COLUMNS * bool(published), rows


def rows_for_programs(runs: list[RunResults], scoring: ScoringSettings) -> list[list[str]]:
    """Return the table of single runs, with the ends of each interval in columns of their own at the end."""
    header, rows = results_table(runs, scoring, single_runs=True)
    columns = [index for index in range(1, len(header)) if any(row.details[index] for row in rows)]
    ends = [f"{header[index]} {end}" for index in columns for end in ("low", "high")]
    of_rows = [
        [*row.cells, *(end for i in columns for end in (row.details[i] or "-–-").split("–"))] for row in rows
    ]
    return [header + ends, *of_rows]
