"""The HDF5 files between the stages: features with their targets, and the scalar."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from utils import config
from utils.errors import SedError
from utils.files import written_whole
from utils.metadata import Clip, Event


@dataclass(frozen=True)
class Features:
    """The clips of a subset, sorted by name.

    The large arrays are in memory, or data sets of an open file, of which only what is looked at is read.

    Attributes
    ----------
    names : list of str, length N
    logmel : np.ndarray or h5py.Dataset, shape (N, frames, mel_bins), float32, dB
    weak_target : np.ndarray, shape (N, classes), bool, or None where the subset has no labels
    strong_target : np.ndarray or h5py.Dataset, shape (N, frames, classes), bool, or None without times
    clips_listed : int
        Clips in the subset's table; more than N when recordings are missing.
    """

    names: list[str]
    logmel: np.ndarray | h5py.Dataset
    weak_target: np.ndarray | None
    strong_target: np.ndarray | h5py.Dataset | None
    clips_listed: int


@dataclass(frozen=True)
class Scalar:
    """Mean and standard deviation of each mel band, each of shape (mel_bins,), in dB."""

    mean: np.ndarray
    std: np.ndarray


def weak_target_of_clip(labels: frozenset[str]) -> np.ndarray:
    """Return which classes are heard in a clip, shape (classes,), bool."""
    return np.array([label in labels for label in config.labels])


def strong_target_of_clip(events: Iterable[Event]) -> np.ndarray:
    """Return which classes are heard in which frame, shape (frames, classes), bool.

    An event is active from frame round(onset · frames_per_second) to frame
    round(offset · frames_per_second), both included.
    """
    target = np.zeros((config.clip_frames, config.classes_num), dtype=bool)
    for event in events:
        first = round(event.onset * config.frames_per_second)
        last = round(event.offset * config.frames_per_second)
        target[first : last + 1, config.labels.index(event.label)] = True
    return target


def write_features(path: Path, clips: list[Clip], logmels: Iterable[np.ndarray], clips_listed: int) -> None:
    """Write the features of `clips` one clip at a time, so that memory does not grow with their number.

    Parameters
    ----------
    path : Path
        The HDF5 file, which appears there only when it is whole.
    clips : list of Clip
        The clips that there are recordings of.
    logmels : iterable of np.ndarray, shape (frames, mel_bins)
        Their features in the same order.
    clips_listed : int
        Clips in the subset's table, with those whose recordings are missing.
    """
    shape = (config.clip_frames, config.mel_bins)
    with written_whole(path) as unfinished, h5py.File(unfinished, "w") as file:
        file.attrs["labels"] = config.labels
        file.attrs["clips_listed"] = clips_listed
        file.create_dataset("audio_name", data=[clip.name for clip in clips], dtype=h5py.string_dtype())
        logmel_data = file.create_dataset("feature", (len(clips), *shape), np.float32, chunks=(1, *shape))
        if all(clip.labels is not None for clip in clips):
            file["weak_target"] = np.stack(
                [weak_target_of_clip(clip.labels or frozenset()) for clip in clips]
            )
        if all(clip.events is not None for clip in clips):
            file["strong_target"] = np.stack([strong_target_of_clip(clip.events or ()) for clip in clips])
        for index, logmel in enumerate(logmels):
            logmel_data[index] = logmel


@contextmanager
def open_features(path: Path, remedy: str) -> Iterator[Features]:
    """Open the features of a subset, whose large arrays stay in the file.

    Parameters
    ----------
    path : Path
        The HDF5 file.
    remedy : str
        The command that makes the file, for the error message.

    Raises
    ------
    SedError
        If there is no such file, or if it was made for other labels or another shape of the features.
    """
    if not path.is_file():
        raise SedError(f"{path}: there are no features yet; make them with: {remedy}")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise SedError(f"{path}: is no feature file: {error}; make it again with: {remedy}") from error
    with file:
        try:
            features = features_in(file)
        except (OSError, KeyError) as error:
            raise SedError(f"{path}: is no feature file: {error}; make it again with: {remedy}") from error
        if features is None:
            raise SedError(f"{path}: made with other labels or settings; make it again with: {remedy}")
        yield features


def features_in(file: h5py.File) -> Features | None:
    """Return the features in an open file; None where they are of other labels or another shape."""
    shape = (config.clip_frames, config.mel_bins)
    if list(file.attrs["labels"]) != config.labels or file["feature"].shape[1:] != shape:
        return None
    return Features(
        names=[name.decode() for name in file["audio_name"][:]],
        logmel=file["feature"],
        weak_target=file["weak_target"][:] if "weak_target" in file else None,
        strong_target=file.get("strong_target"),
        clips_listed=int(file.attrs["clips_listed"]),
    )


def read_features(path: Path, remedy: str) -> Features:
    """Read the features of a subset into memory; the parameters and errors are those of `open_features`."""
    with open_features(path, remedy) as features:
        strong_target = features.strong_target
        return replace(
            features,
            logmel=features.logmel[:],
            strong_target=None if strong_target is None else strong_target[:],
        )


def write_scalar(path: Path, scalar: Scalar) -> None:
    """Write the scalar to an HDF5 file."""
    with written_whole(path) as unfinished, h5py.File(unfinished, "w") as file:
        file["mean"] = scalar.mean
        file["std"] = scalar.std


def read_scalar(path: Path, remedy: str) -> Scalar:
    """Read the scalar; `remedy` is the command that makes it, for the error message."""
    if not path.is_file():
        raise SedError(f"{path}: there is no scalar yet; make it with: {remedy}")
    try:
        with h5py.File(path, "r") as file:
            scalar = Scalar(file["mean"][:], file["std"][:])
    except (OSError, KeyError) as error:
        raise SedError(f"{path}: is no scalar: {error}; make it again with: {remedy}") from error
    if scalar.mean.shape != (config.mel_bins,):
        raise SedError(f"{path}: made with other settings; make it again with: {remedy}")
    return scalar
