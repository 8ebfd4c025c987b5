"""From recordings to log-mel features, and from features to the scalar that standardizes them."""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from utils.audio.extraction import extract_features
from utils.audio.inputs import features_command
from utils.audio.scalar import SCALAR_DATA_TYPES, calculate_scalar
from utils.config import SETTINGS
from utils.dataset.subsets import SUBSETS
from utils.system import command_line
from utils.system.errors import made_by
from utils.system.log import start_logging
from utils.system.workers import cluster_workers, local_workers
from utils.workspace.paths import Workspace


def workspace_of(arguments: argparse.Namespace) -> Workspace:
    return Workspace(arguments.workspace, SETTINGS.features.folder_name, arguments.mini_data)


def own_settings() -> dict[str, Any]:
    """Return the settings of the process that calls this, which may be a worker of a cluster."""
    from utils.config import SETTINGS  # here, so that a worker imports its own

    return asdict(SETTINGS.features)


def extract_command(arguments: argparse.Namespace) -> None:
    start_logging()
    scheduler = arguments.dask_scheduler
    extract_features(
        arguments.dataset_dir,
        workspace_of(arguments),
        arguments.data_type,
        settings=SETTINGS,
        workers=cluster_workers(scheduler, own_settings)
        if scheduler
        else local_workers(arguments.num_workers),
        strict=arguments.strict,
    )


def calculate_scalar_command(arguments: argparse.Namespace) -> None:
    start_logging()
    workspace = workspace_of(arguments)
    with made_by(features_command(Path("DATASET_DIR"), workspace, arguments.data_type)):
        calculate_scalar(workspace, arguments.data_type, SETTINGS.features)


def worker_count(text: str) -> int:
    """Return the number of threads that an argument holds; -1 stands for one for each processor."""
    return -1 if text == "-1" else command_line.positive_int(text)


def main() -> None:
    mini_data_clips = SETTINGS.defaults.mini_data_clips
    parser = command_line.new_parser(__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    extract = command_line.add_command(
        commands,
        "calculate_feature_for_all_audio_files",
        extract_command,
        summary="recordings of a subset -> log-mel features (HDF5)",
        example="python utils/features.py calculate_feature_for_all_audio_files --dataset_dir demo_dataset "
        "--workspace workspace/demo --data_type train_weak",
    )
    command_line.add_dataset_dir(extract)
    command_line.add_workspace(extract)
    extract.add_argument("--data_type", required=True, choices=SUBSETS, help="which subset of the data set")
    command_line.add_mini_data(extract, mini_data_clips)
    extract.add_argument(
        "--num_workers",
        type=worker_count,
        default=-1,
        help="threads; default -1: one for each processor",
    )
    extract.add_argument(
        "--dask_scheduler",
        metavar="ADDRESS",
        help="compute on the workers of a running Dask cluster instead, such as tcp://host:8786; they must "
        "see the recordings under the same paths",
    )
    extract.add_argument(
        "--strict", action="store_true", help="make a missing or unreadable recording an error"
    )

    scalar = command_line.add_command(
        commands,
        "calculate_scalar",
        calculate_scalar_command,
        summary="features of a subset -> mean and standard deviation of each mel band (dB)",
        example="python utils/features.py calculate_scalar --workspace workspace/demo --data_type train_weak",
    )
    command_line.add_workspace(scalar)
    scalar.add_argument(
        "--data_type",
        required=True,
        choices=SCALAR_DATA_TYPES,
        help="which subset; one of them for all runs of a workspace",
    )
    command_line.add_mini_data(scalar, mini_data_clips)
    command_line.run(parser)


if __name__ == "__main__":
    main()
