"""Finds the recordings in files and folders, and names them for the results."""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile

from utils.audio.ffmpeg import FFMPEG_SUFFIXES, ffmpeg_seconds
from utils.dataset.tables import cell_problem
from utils.system.errors import SedError
from utils.system.files import require_regular

STANDARD_INPUT = Path("-")  # instead of a file
STANDARD_INPUT_NAME = "stdin"

# The names of most formats are file suffixes too; some formats have further ones. A RAW file has no
# header, and so no sample rate.
AUDIO_SUFFIXES = {f".{name.lower()}" for name in soundfile.available_formats()} - {".raw"}
AUDIO_SUFFIXES |= {".aif", ".aifc", ".oga", ".opus", ".snd"}
RECORDING_SUFFIXES = AUDIO_SUFFIXES | FFMPEG_SUFFIXES


@dataclass(frozen=True)
class AudioFile:
    """A recording to detect events in.

    Attributes
    ----------
    path : Path
    name : str
        In the results: its path with `/` below the folder that was searched, or just the file's name.
    """

    path: Path
    name: str


@dataclass(frozen=True)
class Unread:
    """A file or folder that could not be read, and why."""

    path: Path
    reason: str


def files_below(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """Return the files with one of the suffixes below a folder, sorted, without hidden files and folders."""

    def is_hidden(path: Path) -> bool:
        return any(part.startswith(".") for part in path.relative_to(folder).parts)

    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in suffixes and not is_hidden(path) and path.is_file()
    )


def find_recordings(paths: Sequence[Path]) -> tuple[list[AudioFile], list[Unread]]:
    """Find the recordings that files and folders name.

    Parameters
    ----------
    paths : sequence of Path
        Files are taken as they are. Folders are searched recursively. `STANDARD_INPUT` is taken too.

    Returns
    -------
    recordings : list of AudioFile
        Sorted by name, no file twice, no two with the same name: where two would have the same, the names of
        all are their paths below the deepest folder that holds all of them.
    unreadable : list of Unread
        Paths that do not exist, and folders without a recording.
    """
    found: dict[str, AudioFile] = {}
    unreadable = []
    for path in paths:
        try:
            is_folder, exists = path.is_dir(), path.exists()
        except OSError as error:
            unreadable.append(Unread(path, f"{path}: cannot be read: {error.strerror}"))
            continue
        if path == STANDARD_INPUT:
            recordings = [AudioFile(path, STANDARD_INPUT_NAME)]
        elif is_folder:
            files = files_below(path, RECORDING_SUFFIXES)
            if not files:
                unreadable.append(Unread(path, f"{path}: there are no recordings in this folder"))
            recordings = [AudioFile(file, file.relative_to(path).as_posix()) for file in files]
        elif exists:
            recordings = [AudioFile(path, path.name)]
        else:
            unreadable.append(Unread(path, f"{path}: there is no such file or folder"))
            recordings = []
        for recording in recordings:
            found.setdefault(os.path.abspath(recording.path), recording)  # noqa: PTH100 (removes ..)
    if len({recording.name for recording in found.values()}) < len(found):
        common = os.path.commonpath([Path(place).parent for place in found])
        found = {
            place: AudioFile(recording.path, Path(place).relative_to(common).as_posix())
            for place, recording in found.items()
        }
    return sorted(found.values(), key=lambda recording: recording.name), unreadable


def with_table_names(
    recordings: Sequence[AudioFile], unreadable: Sequence[Unread]
) -> tuple[list[AudioFile], list[Unread]]:
    """Return the recordings whose names a table can hold, and with the unreadable ones, the others."""
    problems = {recording: cell_problem(recording.name) for recording in recordings}
    others = [
        Unread(one.path, f"{one.path}: its name cannot stand in a table, as {problem}; rename it")
        for one, problem in problems.items()
        if problem
    ]
    return [one for one, problem in problems.items() if not problem], [*unreadable, *others]


def header_seconds(path: Path) -> float:
    """Return the duration in the header of a recording, in s; 0 where it cannot be read, or not yet."""
    if path == STANDARD_INPUT:
        return 0.0
    try:
        require_regular(path)
        info = soundfile.info(os.fsencode(path))  # a str would have to be valid UTF-8
    except SedError:
        return 0.0
    except (soundfile.SoundFileError, OSError):
        return ffmpeg_seconds(path)
    return info.frames / info.samplerate
