"""Finds a trained model in a workspace by what the results call it."""

import re
from pathlib import Path

from utils.results.record_forms import VARIANTS
from utils.results.runs import RunResults, read_runs
from utils.results.scored_models import (
    ModelGroup,
    ScoredModel,
    best_model,
    grouped_by_seed,
    scored_models,
)
from utils.system.errors import SedError
from utils.system.terminal import command_to_type
from utils.workspace.paths import RunPaths, Workspace
from utils.workspace.run import STUDENT, UNTUNED_STUDENT

BEST = "best"
NAMES_OF_MODELS = (
    f"{BEST}, or the number (as in the results table) or folder of a run, perhaps with :tuned, :teacher or "
    ":teacher_tuned for tuned events or the teacher's weights"
)
BY_NAME = {variant.name: variant for variant in VARIANTS[1:]}
VALIDATE_COMMAND = "pytorch/inference.py inference_validation, with the options of this run"
NUMBERS = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*")  # of runs, as the results table has them
SCRIPT = Path(__file__).resolve().parents[2] / "pytorch/inference.py"


def find_models(runs: list[RunResults], workspace: Workspace, name: str) -> list[ScoredModel]:
    """Return those models of the workspace's runs that a name stands for, see `NAMES_OF_MODELS`.

    Of a run alone, these are all of it in the order of `VARIANTS`, so the first is the student with the
    settings' post-processing, where it was scored.

    Raises
    ------
    SedError
        If there is none.
    """
    models = scored_models(runs)
    if not models:
        raise SedError(f"{workspace.root}: no run has been validated; do it with {VALIDATE_COMMAND}")
    if name == BEST:
        return [best_model(models)]
    run_name, _, variant_name = name.rpartition(":")
    variant = BY_NAME.get(variant_name)
    if variant is None:
        run_name = name
    run = find_run(runs, workspace, run_name)
    if run is None:
        numbers = "; ".join(f"{number}: {run.title}" for number, run in enumerate(runs, start=1))
        raise SedError(
            f"{workspace.root}: there is no run '{name}'; name it {BEST}, by its number ({numbers}) or folder"
        )
    of_run = [model for model in models if model.results is run]
    if variant is not None:
        of_run = [model for model in of_run if model.variant == variant]
    if not of_run:
        asked = variant or UNTUNED_STUDENT
        is_teacher = asked.weights != STUDENT
        options = [f"--weights {asked.weights}"] * is_teacher + ["--tuned, once tune has run"] * asked.tuned
        how = " and ".join([VALIDATE_COMMAND, *options])
        where = " (by mean_teacher alone, a run has a teacher)" * is_teacher
        raise SedError(f"{name}: there are no such scores of this run{where}; make them with {how}")
    return of_run


def find_group(runs: list[RunResults], workspace: Workspace, name: str) -> ModelGroup:
    """Return the first model that a name stands for, see `find_models`; of numbers, one of each run.

    Parameters
    ----------
    runs : list of RunResults
    workspace : Workspace
    name : str
        As in `find_models`, or numbers of runs that differ only in their seed, such as 1-3 or 1,4:teacher.

    Raises
    ------
    SedError
        If there is no such model, or the runs differ in more than their seed.
    """
    numbers, _, variant = name.partition(":")
    if not NUMBERS.fullmatch(numbers):
        return ModelGroup((find_models(runs, workspace, name)[0],))
    chosen: list[int] = []
    for part in numbers.split(","):
        low, _, high = part.partition("-")
        if int(high or low) < int(low):
            raise SedError(f"{name}: {part} is no range; name its lower number first")
        chosen += range(int(low), min(int(high or low), len(runs) + 1) + 1)  # one too many is refused below
    names = [":".join(filter(None, (str(number), variant))) for number in dict.fromkeys(chosen)]
    groups = grouped_by_seed([find_models(runs, workspace, one)[0] for one in names])
    if len(groups) != 1:
        raise SedError(f"{name}: these runs differ in more than their seed; name those of one row")
    return groups[0]


def find_run(runs: list[RunResults], workspace: Workspace, name: str) -> RunResults | None:
    """Return the run with that number, from 1, or folder, which may be given from the statistics' on."""
    if name.isdecimal():
        return runs[int(name) - 1] if 1 <= int(name) <= len(runs) else None
    places = {Path(name).resolve(), (workspace.statistics / name).resolve()}
    return next((run for run in runs if run.paths.statistics.resolve() in places), None)


def checkpoint_of(model: ScoredModel) -> Path:
    """Return the checkpoint of the model's scores, or the training's last one where that was never saved.

    Raises
    ------
    SedError
        If the training has none; those of an earlier training of the run do not count.
    """
    from pytorch.checkpoint import training_id_of  # here, as torch is needed for nothing else

    paths = model.results.paths
    for iteration in (model.record["iteration"], *reversed(paths.saved_iterations())):
        path = paths.checkpoint(iteration)
        if path.is_file() and training_id_of(path) == model.results.training_id:
            return path
    raise SedError(f"{paths.checkpoint(0).parent}: there is no checkpoint of {model.title}; train it again")


def is_best(paths: RunPaths) -> bool:
    """Tell whether the best model of its workspace is that of a run."""
    models = scored_models(read_runs(Workspace(paths.root)))
    return bool(models) and best_model(models).results.paths == paths


def predict_command(workspace: Path) -> str:
    """Return the command that detects events with the best model of a workspace, for messages."""
    place = ("--workspace", workspace, "--run", BEST, "RECORDINGS", "--output_dir", "events")
    return command_to_type(SCRIPT, "predict", *place)
