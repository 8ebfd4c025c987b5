"""Which model a command takes: a run's own, or one named by its path, or by a workspace and a run there."""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

from pytorch.compute import Compute, choose_compute
from pytorch.detector import StoredDetector, load_detector, tuned_post_processing
from pytorch.stage_arguments import add_weights_argument
from utils.results.choice import BEST, NAMES_OF_MODELS, checkpoint_of, find_models
from utils.results.runs import read_evaluated_runs
from utils.results.scored_models import best_model
from utils.results.statistics import read_run_settings
from utils.settings.group import differing
from utils.settings.groups import Settings
from utils.settings.overrides import read_overrides
from utils.system.errors import SedError
from utils.system.log import logger, start_logging
from utils.system.memory import keep_freed_memory
from utils.workspace.paths import RunPaths, Workspace
from utils.workspace.run import STUDENT, Variant


@dataclass(frozen=True)
class ChosenModel:
    """Weights in a checkpoint, and how their probabilities become events.

    Attributes
    ----------
    checkpoint : Path
    variant : Variant
        Tuned post-processing is what `tune` has chosen; the other is what the checkpoint's settings say.
    """

    checkpoint: Path
    variant: Variant

    def load(self, compute: Compute, batch_size: int) -> StoredDetector:
        """Load the detector; a SED_CONFIG file replaces settings of its post-processing."""
        detector = load_detector(
            self.checkpoint,
            self.variant.weights,
            compute,
            batch_size=batch_size,
            event_values=read_overrides(),
        )
        if not self.variant.tuned:
            return detector
        return replace(detector, tuned=tuned_post_processing(detector, self.checkpoint, self.variant.weights))


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `choose_model`."""
    parser.add_argument(
        "--checkpoint_path", type=Path, help="a checkpoint; nothing else of the training is needed"
    )
    parser.add_argument(
        "--workspace", type=Path, help="instead of --checkpoint_path: the workspace of which to take a model"
    )
    parser.add_argument(
        "--run",
        default=BEST,
        help=f"which model of the workspace: {NAMES_OF_MODELS}; of a run alone, its best; default {BEST}",
    )
    add_weights_argument(parser)
    parser.add_argument(
        "--tuned",
        action="store_true",
        help="use the post-processing that tune has saved beside the checkpoint",
    )


def choose_model(arguments: argparse.Namespace) -> ChosenModel:
    """Return the model that the command line names; one of a workspace as it was scored.

    Raises
    ------
    SedError
        If none or two are named, an option names a model in the other's way, or the workspace has none.
    """
    if (arguments.checkpoint_path is None) == (arguments.workspace is None):
        raise SedError("name a model: either by --checkpoint_path, or by --workspace, with --run or without")
    if arguments.workspace is None:
        if arguments.run != BEST:
            raise SedError("--run: names a model of a --workspace; leave it out with --checkpoint_path")
        return ChosenModel(arguments.checkpoint_path, Variant(arguments.weights, arguments.tuned))
    if arguments.weights != STUDENT:
        raise SedError(
            f"--weights: is for --checkpoint_path; name the run, as in --run 2:{arguments.weights}"
        )
    workspace = Workspace(arguments.workspace)
    model = best_model(find_models(read_evaluated_runs(workspace), workspace, arguments.run))
    variant = replace(model.variant, tuned=model.variant.tuned or arguments.tuned)
    return ChosenModel(checkpoint_of(model), variant)


def detector_of_run(
    arguments: argparse.Namespace, settings: Settings, paths: RunPaths, command: str, variant: Variant
) -> StoredDetector:
    """Load the detector that the command line names, and start the log of the command.

    Raises
    ------
    SedError
        If that iteration was never saved, is of another training of the run than the statistics, or the
        feature settings are not those of the detector.
    """
    path = paths.checkpoint(arguments.iteration)
    if not path.is_file():
        saved = ", ".join(map(str, paths.saved_iterations()))
        if not saved:
            raise SedError(
                f"{path.parent}: there is no checkpoint of this run; train it with pytorch/main.py "
                "train, the same options and the same settings (SED_CONFIG)"
            )
        raise SedError(
            f"{path}: iteration {arguments.iteration} was never saved; the saved ones are: {saved}"
        )
    keep_freed_memory()
    detector = ChosenModel(path, variant).load(
        choose_compute(arguments.cuda, arguments.precision), settings.loop.evaluation_batch_size
    )
    if paths.settings.is_file() and detector.training_id != read_run_settings(paths.settings).training_id:
        raise SedError(
            f"{path}: is of another training of this run than {paths.settings}; take an iteration of that one"
        )
    for name in differing(detector.features, settings.features):
        value, now = getattr(detector.features, name), getattr(settings.features, name)
        raise SedError(
            f"{path}: was trained with {name} = {value}, and now it is {now}; set it back, or train again"
        )
    start_logging(paths.new_log(command))
    for name in differing(detector.events, settings.events):
        value = getattr(detector.events, name)
        logger.info(f"{name} is {value}, as in the checkpoint; name it in a SED_CONFIG file to replace it")
    return detector
