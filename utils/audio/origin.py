"""What features were made from, to notice when they are not up to date."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from utils.dataset.tables import Clip
from utils.settings.groups import FeatureSettings


@dataclass(frozen=True)
class RecordingFile:
    """The file of a recording.

    Attributes
    ----------
    name : str
        In its subset's audio folder.
    size : int
        In bytes.
    time_ns : int
        When it was last written, in ns since 1970.
    """

    name: str
    size: int
    time_ns: int


@dataclass(frozen=True)
class Origin:
    """What features were made from: settings, table and recordings.

    Attributes
    ----------
    settings : dict
        The values of `FeatureSettings` as JSON holds them.
    table : str
        A digest of the subset's table.
    recordings : list of RecordingFile
        In the order of the features.
    """

    settings: dict[str, Any]
    table: str
    recordings: list[RecordingFile]

    @classmethod
    def of(cls, settings: FeatureSettings, clips: Iterable[Clip], recordings: list[RecordingFile]) -> Self:
        """Return the origin of features of recordings, where the subset's table lists the `clips`."""
        return cls(as_json(settings), table_digest(clips), recordings)

    def digest(self) -> str:
        return digest(self.settings, self.table, [vars(recording) for recording in self.recordings])


def digest(*content: Any) -> str:
    """Return a short text that differs with the content, which is such as JSON can hold."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def as_json(settings: FeatureSettings) -> dict[str, Any]:
    """Return the settings as they come back from JSON, with lists instead of tuples."""
    return json.loads(json.dumps(asdict(settings)))


def table_digest(clips: Iterable[Clip]) -> str:
    """Return a digest of clips with their labels and events."""

    def content(clip: Clip) -> list[Any]:
        labels = None if clip.labels is None else sorted(clip.labels)
        events = None if clip.events is None else [[e.onset, e.offset, e.label] for e in clip.events]
        return [clip.name, labels, events]

    return digest([content(clip) for clip in clips])


def leads_out(path: Path) -> bool:
    """Tell whether a recording is a link to something outside its folder."""
    return path.is_symlink() and not path.resolve().is_relative_to(path.parent.resolve())


def recording_at(path: Path) -> RecordingFile | None:
    """Return the file of a recording, or the link where it leads out; None where there is neither."""
    try:
        status = path.lstat() if leads_out(path) else path.stat()
    except OSError:
        return None
    return RecordingFile(path.name, status.st_size, status.st_mtime_ns)


def changed_settings(origin: Origin, settings: FeatureSettings) -> str | None:
    """Return which setting has changed since features of that origin were made; None if none has."""
    for name, value in as_json(settings).items():
        if origin.settings.get(name) != value:
            return f"made with {name} = {origin.settings.get(name)}, and now it is {value}"
    return None


def what_changed(origin: Origin, settings: FeatureSettings, table: str, audio_folder: Path) -> str | None:
    """Return what has changed since features of that origin were made; None if nothing has.

    A recording that is gone has not changed: recordings may be removed once their features are computed.
    """
    changed = changed_settings(origin, settings)
    if changed:
        return changed
    if origin.table != table:
        return "made from another table of clips"
    for recording in origin.recordings:
        now = recording_at(audio_folder / recording.name)
        if now is not None and now != recording:
            return f"made before {now.name} was changed"
    return None
