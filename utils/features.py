"""From recordings to log-mel features, and from features to the scalar that standardizes them."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import joblib
import numpy as np

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from utils import config
from utils.audio.feature_file import (
    Scalar,
    is_made_from,
    open_features,
    read_origin,
    write_features,
    write_scalar,
)
from utils.audio.feature_journal import FeatureJournal
from utils.audio.logmel import logmel_of_clip
from utils.audio.origin import Origin, Recording, feature_settings, recording_at, table_digest, what_changed
from utils.audio.reading import read_clip
from utils.dataset.tables import SUBSETS, Clip, read_clips, write_table
from utils.system import command_line
from utils.system.errors import SedError
from utils.system.files import claimed, remove_file
from utils.system.log import logger, start_logging
from utils.system.memory import keep_freed_memory
from utils.system.progress import progress
from utils.system.workers import cluster_workers, local_workers
from utils.workspace.paths import Workspace

SCALAR_DATA_TYPES = (
    "train_weak",
    "train_synthetic",
)  # one of them; the challenge's runs take the weak clips'


def features_command(dataset_dir: Path, workspace: Workspace, data_type: str, mini_data: bool) -> str:
    """Return the command that makes the features of a subset, for error messages."""
    command = f"python {Path(__file__).resolve()} calculate_feature_for_all_audio_files"
    arguments = f"--dataset_dir {dataset_dir} --workspace {workspace.root} --data_type {data_type}"
    return f"{command} {arguments}" + " --mini_data" * mini_data


def scalar_command(workspace: Workspace, data_type: str, mini_data: bool) -> str:
    """Return the command that makes the scalar, for error messages."""
    return (
        f"python {Path(__file__).resolve()} calculate_scalar --workspace {workspace.root} "
        f"--data_type {data_type}" + " --mini_data" * mini_data
    )


def choose_mini_data(clips: list[Clip]) -> list[Clip]:
    """Return a few clips, always the same ones, in their order."""
    generator = np.random.default_rng(config.mini_data_seed)
    count = min(config.mini_data_clips, len(clips))
    return [clips[index] for index in sorted(generator.choice(len(clips), count, replace=False))]


def listed_clips(dataset_dir: Path, data_type: str, mini_data: bool) -> list[Clip]:
    """Return the clips of a subset that features are made of, whether or not there are recordings of them."""
    clips = read_clips(dataset_dir, data_type)
    return choose_mini_data(clips) if mini_data else clips


def require_fresh(dataset_dir: Path, workspace: Workspace, data_type: str, mini_data: bool) -> None:
    """Raise SedError unless the features of a subset are what would be made now."""
    path = workspace.features(data_type, mini_data)
    remedy = features_command(dataset_dir, workspace, data_type, mini_data)
    table = table_digest(listed_clips(dataset_dir, data_type, mini_data))
    audio_folder = dataset_dir / SUBSETS[data_type].audio_folder
    changed = what_changed(read_origin(path, remedy), table, audio_folder)
    if changed:
        raise SedError(f"{path}: {changed}; make it again with: {remedy}")


@dataclass(frozen=True)
class Unreadable:
    """Why there are no features of a recording."""

    reason: str


def logmel_of_file(path: Path) -> np.ndarray | Unreadable:
    """Return the log-mel features of a recording, shape (frames, mel_bins)."""
    keep_freed_memory()  # here, as this runs in a process of its own
    if not path.resolve().is_relative_to(path.parent.resolve()):
        return Unreadable(f"{path}: is a link that leads out of the audio folder; put the recording there")
    try:
        return logmel_of_clip(read_clip(path))
    except SedError as error:
        return Unreadable(str(error))


def compute_logmels(
    paths: list[Path], workers: AbstractContextManager[joblib.Parallel]
) -> Iterator[np.ndarray | Unreadable]:
    """Yield the features of the recordings in their order, computed by several processes."""
    with workers as pool:
        yield from pool(joblib.delayed(logmel_of_file)(path.absolute()) for path in paths)


def split_by_recording(
    clips: list[Clip], audio_folder: Path
) -> tuple[list[Clip], list[Recording], list[Clip]]:
    """Return the clips that there are recordings of, these recordings, and the clips without one."""
    recordings = [recording_at(audio_folder / clip.name) for clip in clips]
    found = [(clip, recording) for clip, recording in zip(clips, recordings, strict=True) if recording]
    missing = [clip for clip, recording in zip(clips, recordings, strict=True) if recording is None]
    return [clip for clip, _ in found], [recording for _, recording in found], missing


def report_missing(path: Path, missing: list[Clip], audio_folder: Path, strict: bool) -> None:
    """Write the list of missing recordings to `path` (none missing: no list), or refuse them."""
    if not missing:
        remove_file(path)
        return
    if strict:
        raise SedError(
            f"{audio_folder}: {len(missing)} recordings are missing, the first is {missing[0].name}; "
            "get them, or leave out --strict to go on without them"
        )
    write_table(path, ("filename",), [(clip.name,) for clip in missing])
    logger.info(f"Missing recordings: {len(missing)}, skipped and listed in {path}")


def report_unreadable(path: Path, unreadable: dict[str, str], strict: bool) -> None:
    """Write the list of unreadable recordings and their reasons to `path`, or refuse them."""
    if not unreadable:
        remove_file(path)
        return
    if strict:
        raise SedError(next(iter(unreadable.values())))
    write_table(path, ("filename", "reason"), list(unreadable.items()))
    logger.info(f"Unreadable recordings: {len(unreadable)}, skipped and listed with their reasons in {path}")


def calculate_feature_for_all_audio_files(
    dataset_dir: Path,
    workspace: Workspace,
    data_type: str,
    *,
    mini_data: bool,
    workers: AbstractContextManager[joblib.Parallel],
    strict: bool,
) -> None:
    """Compute the features of a subset's recordings and write them with the targets.

    What an earlier call has computed is not computed again, whether it came to its end or was killed.

    Parameters
    ----------
    dataset_dir : Path
        Folder of the data set.
    workspace : Workspace
        Where the features go to.
    data_type : str
        Name of the subset.
    mini_data : bool
        Whether to take only a few clips.
    workers : context of joblib.Parallel
        The processes that compute.
    strict : bool
        Whether a missing or unreadable recording is an error; otherwise it is skipped and listed.

    Raises
    ------
    SedError
        If the table is missing or wrong, no recording is there, or another process makes the same features.
    """
    listed = listed_clips(dataset_dir, data_type, mini_data)
    audio_folder = dataset_dir / SUBSETS[data_type].audio_folder
    clips, recordings, missing = split_by_recording(listed, audio_folder)
    if not clips:
        raise SedError(f"{audio_folder}: none of the {len(listed)} recordings of {data_type} is there")
    path = workspace.features(data_type, mini_data)
    with claimed(workspace.features_lock(data_type, mini_data), path):
        report_missing(workspace.missing_clips(data_type, mini_data), missing, audio_folder, strict)
        origin = Origin(feature_settings(), table_digest(listed), recordings)
        reasons_path = workspace.unreadable_clips(data_type, mini_data)
        if is_made_from(path, origin.digest()) and not (strict and reasons_path.is_file()):
            logger.info(f"Features of {data_type} are there already: {path}")
            return
        journal = FeatureJournal(workspace.feature_journal(data_type, mini_data), origin.digest())
        if journal.count:
            logger.info(f"Features of {journal.count} clips are there from an earlier call")
        paths = [audio_folder / clip.name for clip in clips]
        fill(journal, paths, data_type, workers)
        unreadable = {
            clip.name: reason for clip, reason in zip(clips, journal.reasons, strict=True) if reason
        }
        report_unreadable(reasons_path, unreadable, strict)
        readable = [index for index, reason in enumerate(journal.reasons) if reason is None]
        if not readable:
            raise SedError(f"{audio_folder}: no recording can be read; the first: {journal.reasons[0]}")
        of_readable = replace(origin, recordings=[recordings[index] for index in readable])
        write_features(
            path,
            [clips[index] for index in readable],
            journal.logmels(),
            clips_listed=len(listed),
            origin=of_readable,
            tried=origin.digest(),
        )
        journal.remove()
    logger.info(f"Features of {len(readable)} clips of {data_type} written to {path}")


def fill(
    journal: FeatureJournal,
    paths: list[Path],
    data_type: str,
    workers: AbstractContextManager[joblib.Parallel],
) -> None:
    """Compute what the journal of these recordings does not hold yet."""
    left = paths[journal.count :]
    try:
        for result in progress(compute_logmels(left, workers), f"Features of {data_type}", len(left)):
            if isinstance(result, Unreadable):
                journal.add(None, result.reason)
            else:
                journal.add(result, None)
    finally:
        journal.close()


def existing_scalar(workspace: Workspace, mini_data: bool) -> str | None:
    """Return the subset that the workspace's scalar is of; None where there is no scalar."""
    there = [name for name in SCALAR_DATA_TYPES if workspace.scalar(name, mini_data).is_file()]
    return there[0] if there else None


def scalar_data_type(workspace: Workspace, mini_data: bool) -> str:
    """Return the subset whose scalar the runs of the workspace standardize by: the first that there is."""
    there = [name for name in SCALAR_DATA_TYPES if workspace.features(name, mini_data).is_file()]
    return existing_scalar(workspace, mini_data) or [*there, *SCALAR_DATA_TYPES][0]


def calculate_scalar(workspace: Workspace, data_type: str, *, mini_data: bool = False) -> None:
    """Compute mean and standard deviation of each mel band over all frames of a subset, and write them.

    Raises
    ------
    SedError
        If there are no features of the subset, or the runs of the workspace standardize by the scalar of
        another one.
    """
    other = existing_scalar(workspace, mini_data)
    if other not in (None, data_type):
        raise SedError(
            f"{workspace.scalar(other, mini_data)}: the runs of this workspace standardize by the scalar of "
            f"{other}; take another --workspace, or remove that file and train again"
        )
    remedy = features_command(Path("DATASET_DIR"), workspace, data_type, mini_data)
    source = workspace.features(data_type, mini_data)
    origin = read_origin(source, remedy)
    with open_features(source, remedy) as features:
        scalar = scalar_of_features(features.logmel, origin.digest())
    path = workspace.scalar(data_type, mini_data)
    write_scalar(path, scalar)
    logger.info(f"Scalar of {data_type} written to {path}")


def scalar_of_features(logmel: np.ndarray | h5py.Dataset, origin_digest: str) -> Scalar:
    """Compute the scalar of log-mel features, reading one clip at a time, in double precision.

    The spread of the clip means is added to the mean of the spreads within the clips, which loses no
    digits, as the difference of mean square and squared mean would. A band that never changes gets the
    deviation 1, so that it becomes 0 when it is standardized.

    Parameters
    ----------
    logmel : np.ndarray or h5py.Dataset, shape (clips, frames, mel_bins), dB
    origin_digest : str
        Tells what the features were made from.
    """
    means, variances = np.empty((2, *logmel.shape[::2]))
    for index in range(len(logmel)):
        frames = logmel[index].astype(np.float64)
        means[index], variances[index] = frames.mean(axis=0), frames.var(axis=0)
    deviation = np.sqrt(variances.mean(axis=0) + means.var(axis=0))
    return Scalar(means.mean(axis=0), np.where(deviation > 0, deviation, 1.0), origin_digest)


def main() -> None:
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
    command_line.add_mini_data(extract)
    extract.add_argument(
        "--num_workers",
        type=worker_count,
        default=-1,
        help="processes; default -1: one for each processor",
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
        scalar_command_line,
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
    command_line.add_mini_data(scalar)
    command_line.run(parser)


def worker_count(text: str) -> int:
    """Return the number of processes that an argument holds; -1 stands for one for each processor."""
    return -1 if text == "-1" else command_line.positive_int(text)


def extract_command(arguments: argparse.Namespace) -> None:
    start_logging()
    scheduler = arguments.dask_scheduler
    workers = cluster_workers(scheduler) if scheduler else local_workers(arguments.num_workers)
    calculate_feature_for_all_audio_files(
        arguments.dataset_dir,
        Workspace(arguments.workspace),
        arguments.data_type,
        mini_data=arguments.mini_data,
        workers=workers,
        strict=arguments.strict,
    )


def scalar_command_line(arguments: argparse.Namespace) -> None:
    start_logging()
    calculate_scalar(Workspace(arguments.workspace), arguments.data_type, mini_data=arguments.mini_data)


if __name__ == "__main__":
    main()
