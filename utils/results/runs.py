"""The runs of a workspace with their statistics."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from utils.dataset.subsets import SYNTHETIC, UNLABELLED, WEAK
from utils.results.published import read_published_results
from utils.results.record_forms import LOSS, SCORED, misfit
from utils.results.statistics import read_records, read_run_settings
from utils.settings.groups import FeatureSettings
from utils.system.errors import SedError, one_line
from utils.workspace.paths import RunPaths, Workspace
from utils.workspace.run import UNTUNED_STUDENT, Run, Variant

SHORT_NAMES = {WEAK: "weak", SYNTHETIC: "synthetic", UNLABELLED: "unlabelled"}


@dataclass(frozen=True)
class RunResults:
    """A run and its statistics.

    Attributes
    ----------
    run : Run
    features : FeatureSettings
        Of the features that it was trained on.
    paths : RunPaths
    training_id : str
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
    training_id: str
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
            settings.training_id,
            evaluations=by_iteration(records_of_form(paths.training_statistics, SCORED)),
            inferences=[
                record
                for record in records_of_form(paths.inference_statistics, SCORED)
                if record.get("training_id") == settings.training_id
            ],
            loss_curve=by_iteration(records_of_form(paths.loss_statistics, LOSS)),
            precision=settings.precision,
        )

    @property
    def loss_points(self) -> list[dict[str, Any]]:
        """The loss curve; of a training that ended before its first point, the losses of its evaluations."""
        return self.loss_curve or [record for record in self.evaluations if "loss" in record]

    @property
    def title(self) -> str:
        """A name such as `Weak audio, clipwise loss`, with what else distinguishes the run."""
        return self.title_with(f"seed {self.run.seed}")

    def title_with(self, seeds: str) -> str:
        """Return the title with other words in place of the seed."""
        return f"{self.training} ({', '.join(self.traits(seeds))})"

    @property
    def training(self) -> str:
        """What the run learns from, and how."""
        run = self.run
        audio = " + ".join(SHORT_NAMES[data_type] for data_type in run.data_types)
        loss = run.loss_type.removesuffix("_binary_crossentropy").replace("_", " ")
        way = loss if run.is_recipe else f"{loss} loss"
        return f"{audio.capitalize()} audio, {way}"

    def traits(self, seeds: str) -> list[str]:
        """Return what else distinguishes the run, with `seeds` as the words for its seed."""
        run = self.run
        traits = [run.model_type, f"batch {run.batch_size}", *[seeds] * bool(seeds)]
        traits += run.own_settings
        traits += [f"from {run.initial_checkpoint}"] * bool(run.initial_checkpoint)
        traits += ["validation clips trained on"] * (run.holdout_fold == "none")
        traits += ["mini data"] * run.mini_data
        return traits

    def latest(self, variant: Variant) -> dict[str, Any] | None:
        """Return the record that counts: of the last inference, else of the last evaluation in training.

        Scores of a teacher, or of tuned post-processing, count only where inference was asked for them.
        """
        records = [*self.evaluations, *self.inferences] if variant == UNTUNED_STUDENT else self.inferences
        scored = [record for record in records if variant.scores_key in record]
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
    if not workspace.root.is_dir():
        raise SedError(f"{workspace.root}: there is no such workspace")
    runs = [run for run in read_runs(workspace) if run.evaluations]
    if not runs:
        raise SedError(f"{workspace.statistics}: there are no results yet; train with pytorch/main.py first")
    return runs
