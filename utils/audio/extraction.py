"""From the recordings of a subset to their log-mel features in a file."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np

from utils.audio.feature_file import is_made_from, write_features
from utils.audio.feature_journal import FeatureJournal
from utils.audio.logmel import logmel_of_clip
from utils.audio.origin import Origin, leads_out, recording_at
from utils.audio.reading import read_clip
from utils.audio.recordings import Unread
from utils.dataset.subsets import SUBSETS, listed_clips
from utils.dataset.summary import beyond_hint, count_beyond
from utils.dataset.tables import Clip, write_table
from utils.settings.groups import FeatureSettings, Settings
from utils.system.errors import SedError, one_line
from utils.system.files import claimed, remove_file
from utils.system.log import logger
from utils.system.memory import keep_freed_memory
from utils.system.progress import progress
from utils.system.terminal import short_path
from utils.system.words import counted
from utils.workspace.paths import Workspace

Workers = AbstractContextManager[joblib.Parallel]


def logmel_of_file(path: Path, settings: FeatureSettings) -> np.ndarray | Unread:
    """Return the log-mel features of a recording, shape (clip_frames, mel_bins)."""
    keep_freed_memory()  # here, as this may run in a process of a cluster
    if leads_out(path):
        return Unread(path, f"{path}: is a link that leads out of the audio folder; put the recording there")
    try:
        return logmel_of_clip(read_clip(path, settings), settings)
    except SedError as error:
        return Unread(path, str(error))


def compute_logmels(
    paths: list[Path], settings: FeatureSettings, workers: Workers
) -> Iterator[np.ndarray | Unread]:
    """Yield the features of the recordings in their order, computed by several workers."""
    with workers as pool:
        yield from pool(joblib.delayed(logmel_of_file)(path.absolute(), settings) for path in paths)


def report_missing(path: Path, missing: list[Clip], audio_folder: Path, strict: bool) -> None:
    """List the missing recordings in a table at `path`, which is removed where none is missing.

    Raises
    ------
    SedError
        If any is missing, and `strict` is set.
    """
    if not missing:
        remove_file(path)
        return
    if strict:
        raise SedError(
            f"{audio_folder}: {counted(len(missing), 'missing recording')}, the first is {missing[0].name}; "
            "get what is missing, or leave out --strict to go on without"
        )
    write_table(path, ("filename",), [(clip.name,) for clip in missing])
    logger.info(f"Missing recordings: {len(missing)}, skipped and listed in {short_path(path)}")


def report_unreadable(path: Path, unreadable: dict[str, str], strict: bool) -> None:
    """List the unreadable recordings with their reasons, as `report_missing` does the missing ones."""
    if not unreadable:
        remove_file(path)
        return
    if strict:
        raise SedError(next(iter(unreadable.values())))
    write_table(
        path, ("filename", "reason"), [(name, one_line(reason)) for name, reason in unreadable.items()]
    )
    listed = f"skipped and listed with their reasons in {short_path(path)}"
    logger.info(f"Unreadable recordings: {len(unreadable)}, {listed}")


def report_beyond(clips: list[Clip], settings: FeatureSettings, data_type: str) -> None:
    """Say how many events are not within the part of the recordings that features are made of.

    Raises
    ------
    SedError
        If none of the events is.
    """
    events, beyond, cut = count_beyond(clips, settings.clip_seconds)
    if beyond or cut:
        hint = f"{data_type}: {beyond_hint(events, beyond, cut, settings.clip_seconds)}"
        if beyond == events:
            raise SedError(hint)
        logger.info(hint)


def extract_features(
    dataset_dir: Path,
    workspace: Workspace,
    data_type: str,
    *,
    settings: Settings,
    workers: Workers,
    strict: bool,
) -> None:
    """Compute the features of a subset's recordings and write them with the targets.

    What an earlier call has computed is not computed again, whether it finished or was killed.

    Parameters
    ----------
    dataset_dir : Path
        Folder of the data set.
    workspace : Workspace
        Where the features go to.
    data_type : str
        Name of the subset.
    settings : Settings
    workers : context of joblib.Parallel
        The threads or processes that compute.
    strict : bool
        Whether a missing or unreadable recording is an error; otherwise it is skipped and listed.

    Raises
    ------
    SedError
        If the table is missing or wrong, no recording is there, or another process makes the same features.
    """
    listed = listed_clips(dataset_dir, data_type, settings, mini_data=workspace.mini_data)
    audio_folder = dataset_dir / SUBSETS[data_type].audio_folder
    files = {clip.name: recording_at(audio_folder / clip.name) for clip in listed}
    clips = [clip for clip in listed if files[clip.name]]
    recordings = [file for file in files.values() if file]
    if not clips:
        raise SedError(f"{audio_folder}: none of the {len(listed)} recordings of {data_type} is there")
    report_beyond(listed, settings.features, data_type)
    path = workspace.features(data_type)
    with claimed(workspace.features_lock(data_type), path):
        missing = [clip for clip in listed if not files[clip.name]]
        report_missing(workspace.missing_clips(data_type), missing, audio_folder, strict)
        origin = Origin.of(settings.features, listed, recordings)
        reasons_path = workspace.unreadable_clips(data_type)
        if is_made_from(path, origin.digest()) and not (strict and reasons_path.is_file()):
            logger.info(f"Features of {data_type} are there already: {short_path(path)}")
            return

        shape = (settings.features.clip_frames, settings.features.mel_bins)
        journal = FeatureJournal(workspace.feature_journal(data_type), origin.digest(), shape)
        if journal.count:
            logger.info(f"Features of {journal.count} clips are there from an earlier call")
        left = [audio_folder / clip.name for clip in clips[journal.count :]]
        logmels = compute_logmels(left, settings.features, workers)
        try:
            for logmel in progress(logmels, f"Features of {data_type}", len(left)):
                journal.add(logmel)
        finally:
            journal.close()

        reasons = journal.reasons
        unreadable = {clip.name: reason for clip, reason in zip(clips, reasons, strict=True) if reason}
        report_unreadable(reasons_path, unreadable, strict)
        readable = [index for index, reason in enumerate(reasons) if reason is None]
        if not readable:
            raise SedError(f"{audio_folder}: no recording can be read; the first: {reasons[0]}")
        write_features(
            path,
            [clips[index] for index in readable],
            journal.logmels(),
            settings.features,
            clips_listed=len(listed),
            origin=replace(origin, recordings=[recordings[index] for index in readable]),
            tried=origin.digest(),
        )
        journal.remove()
    logger.info(f"Features of {len(readable)} clips of {data_type}: {short_path(path)}")
