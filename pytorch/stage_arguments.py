"""The arguments that define a run, shared by training and inference."""

import argparse
from pathlib import Path

from pytorch.compute import PRECISIONS
from pytorch.losses import LOSSES
from pytorch.models import DESIGNS
from utils.dataset.subsets import SUBSETS, VALIDATION
from utils.settings.groups import CommandDefaults, Settings
from utils.system import command_line
from utils.system.errors import SedError
from utils.system.files import file_digest
from utils.workspace.paths import Workspace
from utils.workspace.run import DATA_TYPE_SEPARATOR, DIGEST_LENGTH, STUDENT, TEACHER, Run, join_data_types

TRAINING_DATA_TYPES = [name for name in SUBSETS if name.startswith("train_")]
TUNING_DATA_TYPES = [name for name in TRAINING_DATA_TYPES if SUBSETS[name].annotation == "strong"]
HOLDOUT_FOLDS = ("1", "none")


def add_run_arguments(parser: argparse.ArgumentParser, defaults: CommandDefaults) -> None:
    """Add the arguments whose values make up a `Run`, and those that say where and how it runs."""
    command_line.add_dataset_dir(parser)
    command_line.add_workspace(parser)
    parser.add_argument(
        "--data_type",
        required=True,
        type=training_data_types,
        help=f"subsets to train on, joined by +: {', '.join(TRAINING_DATA_TYPES)}",
    )
    parser.add_argument(
        "--holdout_fold",
        required=True,
        choices=HOLDOUT_FOLDS,
        help="1: validate on the validation set; none: train on the training and the validation clips",
    )
    parser.add_argument(
        "--model_type",
        default=defaults.model_type,
        choices=DESIGNS,
        help=f"the network; default {defaults.model_type}",
    )
    parser.add_argument(
        "--loss_type",
        default=defaults.loss_type,
        choices=LOSSES,
        help=f"what is minimized; default {defaults.loss_type}",
    )
    parser.add_argument(
        "--batch_size",
        type=command_line.positive_int,
        default=defaults.batch_size,
        help=f"clips in a batch; default {defaults.batch_size}",
    )
    parser.add_argument(
        "--seed",
        type=command_line.seed_number,
        default=defaults.seed,
        help=f"of the initialization and the shuffling; default {defaults.seed}",
    )
    parser.add_argument(
        "--initial_checkpoint",
        type=Path,
        help="the run starts from the weights in this checkpoint, which may be of other classes, or a "
        "published Cnn6, Cnn10 or Cnn14; without it, from random weights",
    )
    command_line.add_mini_data(parser, defaults.mini_data_clips)
    add_compute_arguments(parser, defaults)


def add_compute_arguments(parser: argparse.ArgumentParser, defaults: CommandDefaults) -> None:
    """Add the arguments that say where and how precisely a model computes."""
    parser.add_argument("--cuda", action="store_true", help="compute on the GPU; without it on the processor")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=defaults.precision,
        help="number format of the convolutions; auto: bf16 where the processor or GPU has it, else fp32; "
        f"tf32: shortened fp32, on GPUs since Ampere; default {defaults.precision}",
    )


def add_checkpoint_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name the weights of a run to use."""
    parser.add_argument(
        "--iteration",
        type=command_line.positive_int,
        required=True,
        help="optimizer steps after which the checkpoint to use was saved",
    )
    add_weights_argument(parser)


def add_weights_argument(parser: argparse.ArgumentParser) -> None:
    """Add the argument that says whose weights in a checkpoint to use."""
    parser.add_argument(
        "--weights",
        choices=(STUDENT, TEACHER),
        default=STUDENT,
        help=f"whose weights, of a model trained with mean_teacher; default {STUDENT}",
    )


def tuning_data_type(name: str) -> str:
    """Return the name of a subset that may be tuned on."""
    if name == VALIDATION:
        raise argparse.ArgumentTypeError("scores are reported of the validation clips, so tune on others")
    if name not in TUNING_DATA_TYPES:
        known = ", ".join(TUNING_DATA_TYPES)
        raise argparse.ArgumentTypeError(f"invalid choice: '{name}' (choose from {known}, which have events)")
    return name


def training_data_types(text: str) -> str:
    """Return the subsets named in the text, in the challenge's order."""
    names = text.split(DATA_TYPE_SEPARATOR)
    for name in names:
        if name not in TRAINING_DATA_TYPES:
            known = ", ".join(TRAINING_DATA_TYPES)
            raise argparse.ArgumentTypeError(f"invalid choice: '{name}' (choose from {known}, joined by +)")
    return join_data_types(set(names))


def run_of(arguments: argparse.Namespace, settings: Settings) -> Run:
    """Return the run that the arguments and the settings define.

    Raises
    ------
    SedError
        If a default in the settings is unknown, or the initial checkpoint cannot be read; options have been
        checked already.
    """
    for name, known in (("model_type", DESIGNS), ("loss_type", LOSSES)):
        value = getattr(arguments, name)
        if value not in known:
            raise SedError(f"{name} '{value}' in the configuration is unknown; it can be {', '.join(known)}")
    loss = LOSSES[arguments.loss_type]
    return Run(
        arguments.data_type,
        arguments.holdout_fold,
        arguments.model_type,
        arguments.loss_type,
        arguments.batch_size,
        arguments.seed,
        arguments.mini_data,
        settings.recipe if loss.is_recipe else settings.training.of_system(has_teacher=loss.has_teacher),
        file_digest(arguments.initial_checkpoint)[:DIGEST_LENGTH] if arguments.initial_checkpoint else "",
    )


def workspace_of(arguments: argparse.Namespace, settings: Settings) -> Workspace:
    """Return the workspace that the arguments name."""
    return Workspace(arguments.workspace, settings.features.folder_name, arguments.mini_data)
