"""Which recordings the user means by files and folders, and what they are called in the results."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile

# Names of formats are endings of files too; some files of these formats have other endings. A file without a
# header says nothing of its sample rate.
AUDIO_SUFFIXES = {f".{name.lower()}" for name in soundfile.available_formats()} - {".raw"}
AUDIO_SUFFIXES |= {".aif", ".aifc", ".oga", ".opus", ".snd"}


@dataclass(frozen=True)
class AudioFile:
    """A recording to be listened to.

    Attributes
    ----------
    path : Path
    name : str
        What the results call it: a path with `/`, below the folder that was named, or just the file's name.
    """

    path: Path
    name: str


@dataclass(frozen=True)
class Unread:
    """A file or folder that nothing could be heard in, and why."""

    path: Path
    reason: str


def audio_files_below(folder: Path) -> list[Path]:
    """Return the files below a folder whose ending is that of a format of soundfile; no hidden ones."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def find_recordings(paths: Sequence[Path]) -> tuple[list[AudioFile], list[Unread]]:
    """Find the recordings that files and folders name.

    Parameters
    ----------
    paths : sequence of Path
        Files are taken as they are. Folders are searched, with all below them.

    Returns
    -------
    recordings : list of AudioFile
        By name, no file twice, no two of the same name: where two would be, all are called by their paths
        below the deepest folder that holds all of them.
    unreadable : list of Unread
        Paths that do not exist, and folders without a recording.
    """
    found: dict[str, AudioFile] = {}
    unreadable = []
    for path in paths:
        if path.is_dir():
            files = audio_files_below(path)
            if not files:
                unreadable.append(Unread(path, f"{path}: there are no recordings in this folder"))
            recordings = [AudioFile(file, file.relative_to(path).as_posix()) for file in files]
        elif path.exists():
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


def header_seconds(path: Path) -> float:
    """Return the duration that the header of a recording tells; 0 where it cannot be read."""
    try:
        info = soundfile.info(path)
    except (soundfile.SoundFileError, OSError):
        return 0.0
    return info.frames / info.samplerate
