"""Which checkpoint `predict` takes: one named by its path, or by a workspace and what the results call it."""

import argparse
from pathlib import Path

from utils.results.choice import BEST, NAMES_OF_MODELS, checkpoint_of, find_models
from utils.results.scored_models import best_model
from utils.system.errors import SedError
from utils.system.files import require_writable
from utils.workspace.paths import Workspace


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name a model other than by its checkpoint's path."""
    parser.add_argument(
        "--workspace", type=Path, help="instead of --checkpoint_path: the workspace of which to take a model"
    )
    parser.add_argument(
        "--run",
        default=BEST,
        help=f"which model of the workspace: {NAMES_OF_MODELS}; of a run alone, its best; default {BEST}",
    )


def prepare_prediction(arguments: argparse.Namespace) -> argparse.Namespace:
    """Find the checkpoint, with the weights and post-processing that it was scored with.

    Raises
    ------
    SedError
        If none or two are named, the workspace has none, or the output folder cannot be written, which would
        be noticed only after the work.
    """
    if (arguments.checkpoint_path is None) == (arguments.workspace is None):
        raise SedError("name a model: either by --checkpoint_path, or by --workspace, with --run or without")
    if arguments.output_dir is not None:
        require_writable(arguments.output_dir)
    if arguments.workspace is not None:
        model = best_model(find_models(Workspace(arguments.workspace, ""), arguments.run))
        arguments.checkpoint_path = checkpoint_of(model)
        arguments.weights, arguments.tuned = model.weights, model.tuned or arguments.tuned
    return arguments
