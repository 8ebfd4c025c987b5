"""Finds a trained model in a workspace by what the results call it."""

import shlex
from pathlib import Path

from utils.results.table import ScoredModel, best_model, read_evaluated_runs, scored_models
from utils.system.errors import SedError
from utils.system.words import did_you_mean
from utils.workspace.paths import Workspace
from utils.workspace.run import STUDENT

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


def predict_command(checkpoint: Path, *options: str) -> str:
    """Return the command that detects events with a checkpoint, for messages."""
    words = ["python", str(SCRIPT), "predict", "--checkpoint_path", str(checkpoint), *options]
    return shlex.join([*words, "RECORDINGS", "--output_dir", "events"])


def options_of(model: ScoredModel) -> list[str]:
    """Return the options of `predict` that a model needs besides its checkpoint."""
    return ["--weights", model.weights] * (model.weights != STUDENT) + ["--tuned"] * model.tuned
