"""The HDF5 files between the stages: features with their targets, and the scalar."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from utils.audio.origin import Origin, RecordingFile, changed_settings
from utils.dataset.tables import Clip, Event
from utils.settings.groups import FeatureSettings
from utils.system.errors import MissingInputError
from utils.system.files import written_whole

FEATURE_FILE, SCALAR = "feature file", "scalar"  # kinds of files, for error messages
CLIPS_CHECKED_AT_ONCE = 256  # 40 MB of features: little memory, few reads


@dataclass(frozen=True)
class Features:
    """The clips of a subset, sorted by name.

    The large arrays are in memory, or data sets of an open file, which are read where they are indexed.

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
    """Mean and standard deviation that standardize the log-mel.

    Attributes
    ----------
    mean, std : np.ndarray, shape (mel_bins,), float64, dB
        Of each mel band; the standard deviation is positive.
    features : str
        The digest of the origin of the features that they were computed from.
    """

    mean: np.ndarray
    std: np.ndarray
    features: str


def weak_target_of_clip(present: frozenset[str], labels: Sequence[str]) -> np.ndarray:
    """Return which of the labels are present in a clip, shape (classes,), bool."""
    return np.array([label in present for label in labels])


def strong_target_of_clip(events: Iterable[Event], features: FeatureSettings) -> np.ndarray:
    """Return which classes are active in which frame, shape (clip_frames, classes), bool.

    An event is active from frame round(onset · frames_per_second) to frame
    round(offset · frames_per_second), both included.
    """
    target = np.zeros((features.clip_frames, features.classes_num), dtype=bool)
    for event in events:
        first = round(event.onset * features.frames_per_second)
        last = round(event.offset * features.frames_per_second)
        target[first : last + 1, features.labels.index(event.label)] = True
    return target


def new_file(unfinished: Path) -> h5py.File:
    """Create an HDF5 file. HDF5 puts no lock on it: `written_whole` has."""
    return h5py.File(unfinished, "w", locking=False)


def write_features(
    path: Path,
    clips: list[Clip],
    logmels: Iterable[np.ndarray],
    settings: FeatureSettings,
    *,
    clips_listed: int,
    origin: Origin,
    tried: str,
) -> None:
    """Write the features of `clips` one clip at a time, so that memory does not grow with their number.

    Parameters
    ----------
    path : Path
        The HDF5 file, which appears there only when it is whole.
    clips : list of Clip
    logmels : iterable of np.ndarray, shape (clip_frames, mel_bins)
        The features of the clips.
    settings : FeatureSettings
    clips_listed : int
        Clips in the subset's table, with those whose recordings are missing.
    origin : Origin
        What the features were made from.
    tried : str
        The digest of the origin with those recordings that could not be read.
    """
    shape = (settings.clip_frames, settings.mel_bins)
    recordings = origin.recordings
    with written_whole(path) as unfinished, new_file(unfinished) as file:
        file.attrs["settings"] = json.dumps(origin.settings)
        file.attrs["table"] = origin.table
        file.attrs["tried"] = tried
        file.attrs["clips_listed"] = clips_listed
        file.create_dataset("audio_name", data=[clip.name for clip in clips], dtype=h5py.string_dtype())
        file["audio_size"] = np.array([recording.size for recording in recordings], np.int64)
        file["audio_time_ns"] = np.array([recording.time_ns for recording in recordings], np.int64)
        logmel_data = file.create_dataset("feature", (len(clips), *shape), np.float32, chunks=(1, *shape))
        if all(clip.labels is not None for clip in clips):
            file["weak_target"] = np.stack(
                [weak_target_of_clip(clip.labels or frozenset(), settings.labels) for clip in clips]
            )
        if all(clip.events is not None for clip in clips):
            file["strong_target"] = np.stack(
                [strong_target_of_clip(clip.events or (), settings) for clip in clips]
            )
        for index, logmel in enumerate(logmels):
            logmel_data[index] = logmel


@contextmanager
def content_checked(path: Path, kind: str) -> Iterator[None]:
    """Raise MissingInputError where the content of a file is not as it should be."""
    try:
        yield
    # h5py raises many kinds, whatever the file holds.
    except (OSError, LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise MissingInputError(path, f"not a valid {kind}: {error}") from error


@contextmanager
def open_file(path: Path, kind: str) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading.

    Parameters
    ----------
    path : Path
    kind : str
        What the file should be, for the error message.

    Raises
    ------
    MissingInputError
        If there is no such file, or it is not an HDF5 file.
    """
    if not path.is_file():
        raise MissingInputError(path, f"there is no {kind} yet")
    with content_checked(path, kind):
        file = h5py.File(path, "r")
    with file:
        yield file


def stored_array(file: h5py.File, name: str) -> h5py.Dataset:
    """Return an array that stands in an open file as it is.

    Raises
    ------
    ValueError
        If there is none, or it would come from another file, or take more memory than it takes in the file:
        links, virtual arrays, compressed ones, and ones that were never written.
    """
    if name not in file:
        raise ValueError(f"it has no array '{name}'")
    is_link = not isinstance(file.get(name, getlink=True), h5py.HardLink)
    data = file[name]
    if is_link or not isinstance(data, h5py.Dataset) or data.is_virtual or data.external:
        raise ValueError(f"'{name}' is not an array in this file")
    if data.id.get_create_plist().get_nfilters() or data.id.get_storage_size() < data.nbytes:
        raise ValueError(f"'{name}' would take more memory than it takes in the file")
    return data


def array_in(file: h5py.File, name: str, dtype: type, shape: tuple[int, ...]) -> h5py.Dataset:
    """Return an array of an open file.

    Raises
    ------
    ValueError
        If there is none, or it is of another type or shape, or holds numbers that are not finite.
    """
    data = stored_array(file, name)
    if data.dtype != dtype or data.shape != shape:
        raise ValueError(
            f"'{name}' is {data.dtype} of shape {data.shape} instead of {np.dtype(dtype)} of {shape}"
        )
    if np.issubdtype(dtype, np.floating):
        for start in range(0, len(data), CLIPS_CHECKED_AT_ONCE):
            if not np.isfinite(data[start : start + CLIPS_CHECKED_AT_ONCE]).all():
                raise ValueError(f"'{name}' holds numbers that are NaN or infinite")
    return data


def origin_in(file: h5py.File) -> Origin:
    names = [name.decode() for name in stored_array(file, "audio_name")[:]]
    sizes, times_ns = (
        array_in(file, name, np.int64, (len(names),))[:].tolist() for name in ("audio_size", "audio_time_ns")
    )
    recordings = [RecordingFile(*values) for values in zip(names, sizes, times_ns, strict=True)]
    return Origin(dict(json.loads(file.attrs["settings"])), str(file.attrs["table"]), recordings)


def read_origin(path: Path) -> Origin:
    """Read what features were made from; raises MissingInputError if the file is missing or not valid."""
    with open_file(path, FEATURE_FILE) as file, content_checked(path, FEATURE_FILE):
        return origin_in(file)


def is_made_from(path: Path, tried: str) -> bool:
    """Tell whether there is a feature file that was made from an origin of that digest."""
    try:
        with open_file(path, FEATURE_FILE) as file, content_checked(path, FEATURE_FILE):
            return file.attrs["tried"] == tried
    except MissingInputError:
        return False


def features_in(file: h5py.File, settings: FeatureSettings) -> Features:
    origin = origin_in(file)
    changed = changed_settings(origin, settings)
    if changed:
        raise ValueError(changed)
    clips, frames, classes = len(origin.recordings), settings.clip_frames, settings.classes_num
    weak, strong = (name in file for name in ("weak_target", "strong_target"))
    return Features(
        names=[recording.name for recording in origin.recordings],
        logmel=array_in(file, "feature", np.float32, (clips, frames, settings.mel_bins)),
        weak_target=array_in(file, "weak_target", np.bool_, (clips, classes))[:] if weak else None,
        strong_target=array_in(file, "strong_target", np.bool_, (clips, frames, classes)) if strong else None,
        clips_listed=int(file.attrs["clips_listed"]),
    )


@contextmanager
def open_features(path: Path, settings: FeatureSettings) -> Iterator[Features]:
    """Open the features of a subset, whose large arrays stay in the file.

    Raises
    ------
    MissingInputError
        If there is no such file, or it does not hold features with these settings.
    """
    with open_file(path, FEATURE_FILE) as file:
        with content_checked(path, FEATURE_FILE):
            features = features_in(file, settings)
        yield features


def read_features(path: Path, settings: FeatureSettings) -> Features:
    """Read the features of a subset into memory; raises MissingInputError as `open_features` does."""
    with open_features(path, settings) as features:
        strong_target = features.strong_target
        return replace(
            features,
            logmel=features.logmel[:],
            strong_target=None if strong_target is None else strong_target[:],
        )


def write_scalar(path: Path, scalar: Scalar) -> None:
    with written_whole(path) as unfinished, new_file(unfinished) as file:
        file["mean"] = scalar.mean
        file["std"] = scalar.std
        file.attrs["features"] = scalar.features


def read_scalar(path: Path, mel_bins: int) -> Scalar:
    """Read the scalar of features of `mel_bins` bands.

    Raises
    ------
    MissingInputError
        If there is no such file, or it does not hold a valid scalar of that size.
    """
    with open_file(path, SCALAR) as file, content_checked(path, SCALAR):
        mean, std = (array_in(file, name, np.float64, (mel_bins,))[:] for name in ("mean", "std"))
        if (std <= 0).any():
            raise ValueError("standard deviation must be positive")
        return Scalar(mean, std, str(file.attrs["features"]))
