"""The `tune` command: a checkpoint of a run -> the post-processing that fits training clips best."""

import argparse

from pytorch.chosen_model import detector_of_run
from pytorch.stage_arguments import (
    TUNING_DATA_TYPES,
    add_checkpoint_arguments,
    add_run_arguments,
    run_of,
    tuning_data_type,
    workspace_of,
)
from pytorch.training_data import describe_count
from utils.config import SETTINGS
from utils.events.tuning import tune, write_tuned
from utils.scoring.text import tuned_table
from utils.scoring.validation import open_validation_set
from utils.settings.groups import CommandDefaults
from utils.system.log import logger
from utils.system.terminal import short_path
from utils.workspace.paths import tuned_beside
from utils.workspace.run import Variant


def add_tune_arguments(parser: argparse.ArgumentParser, defaults: CommandDefaults) -> None:
    """Add the arguments of the command."""
    add_run_arguments(parser, defaults)
    add_checkpoint_arguments(parser)
    parser.add_argument(
        "--tune_on",
        type=tuning_data_type,
        default=TUNING_DATA_TYPES[0],
        help=f"subset with events to tune on: {', '.join(TUNING_DATA_TYPES)}; default {TUNING_DATA_TYPES[0]}",
    )


def tune_post_processing(arguments: argparse.Namespace) -> None:
    """Choose the post-processing of each class on training clips, and save it beside the checkpoint."""
    settings = SETTINGS
    run, workspace = run_of(arguments, settings), workspace_of(arguments, settings)
    paths = workspace.run_paths(run)
    detector = detector_of_run(arguments, settings, paths, "tune", Variant(arguments.weights))
    with open_validation_set(workspace, arguments.dataset_dir, arguments.tune_on, settings) as clips:
        logger.info(f"Tuning clips: {describe_count(clips.features)} of {arguments.tune_on}")
        if arguments.tune_on in run.data_types:
            logger.info("The model was trained on these clips: its probabilities are too good there.")
        probabilities = detector.probabilities(clips.features.logmel)
    tuned = tune(
        clips.reference.clips,
        probabilities,
        detector.post_processing,
        tuning=settings.tuning,
        scoring=settings.scoring,
    )
    for line in tuned_table(tuned):
        logger.info(line)
    path = tuned_beside(paths.checkpoint(arguments.iteration), arguments.weights)
    write_tuned(path, tuned, arguments.tune_on, detector.training_id)
    logger.info(f"Used by inference_validation --tuned: {short_path(path)}")
