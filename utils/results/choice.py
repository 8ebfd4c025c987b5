"""Finds a trained model in a workspace by what the results call it."""

from pathlib import Path

from utils.results.table import ScoredModel, best_model, read_evaluated_runs, read_runs, scored_models
from utils.system.errors import SedError
from utils.system.terminal import command_to_type
from utils.system.words import did_you_mean
from utils.workspace.paths import RunPaths, Workspace

BEST = "best"
SCRIPT = Path(__file__).resolve().parents[2] / "pytorch/inference.py"


def find_model(workspace: Path, name: str) -> ScoredModel:
    """Return the model that a name stands for: `best`, the number of a run, or a title, as in the results.

    Of a run's number, it is the best model of that run.

    Raises
    ------
    SedError
        If there is none.
    """
    runs = read_evaluated_runs(Workspace(workspace, ""))
    models = scored_models(runs)
    titles = [model.title for model in models]
    if name.isdecimal():
        models = [model for model in models if runs.index(model.results) + 1 == int(name)]
    elif name != BEST:
        models = [model for model in models if model.title == name]
    if not models:
        numbers = "; ".join(f"{runs.index(run) + 1}: {run.title}" for run in runs)
        raise SedError(
            f"{workspace}: there is no run '{name}'{did_you_mean(name, titles)}; --run can be {BEST}, a "
            f"title, or a number ({numbers})"
        )
    return best_model(models)


def checkpoint_of(model: ScoredModel) -> Path:
    """Return the checkpoint of the model's scores, or the run's last one where that was never saved.

    Raises
    ------
    SedError
        If the run has none.
    """
    paths = model.results.paths
    path = paths.checkpoint(model.record["iteration"])
    if path.is_file():
        return path
    saved = paths.saved_iterations()
    if not saved:
        raise SedError(f"{path.parent}: there is no checkpoint of {model.title}; train it again")
    return paths.checkpoint(saved[-1])


def is_best(paths: RunPaths) -> bool:
    """Tell whether the best model of its workspace is that of a run."""
    models = scored_models(read_runs(Workspace(paths.root, "")))
    return bool(models) and best_model(models).results.paths == paths


def predict_command(workspace: Path) -> str:
    """Return the command that detects events with the best model of a workspace, for messages."""
    place = ("--workspace", workspace, "--run", BEST, "RECORDINGS", "--output_dir", "events")
    return command_to_type(SCRIPT, "predict", *place)
