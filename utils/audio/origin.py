"""What features were made from, so that features of something else are noticed and not used."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils import config
from utils.dataset.tables import Clip

# The config values that features depend on, besides the labels.
FEATURE_SETTINGS = (
    *("sample_rate", "clip_seconds", "resampling_margin", "window_size", "hop_size", "mel_bins"),
    *("mel_min_frequency", "mel_max_frequency", "log_floor"),
)


@dataclass(frozen=True)
class Recording:
    """A recording as the file system knows it.

    Attributes
    ----------
    name : str
        File name in its subset's audio folder.
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
        The values of `FEATURE_SETTINGS`, and the labels.
    table : str
        A digest of what the subset's table says.
    recordings : list of Recording
        In the order of the features.
    """

    settings: dict[str, Any]
    table: str
    recordings: list[Recording]

    def digest(self) -> str:
        """Return a short text that another origin does not have."""
        return digest(self.settings, self.table, [vars(recording) for recording in self.recordings])


def digest(*content: Any) -> str:
    """Return a short text that other content, made of what JSON holds, does not have."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def feature_settings() -> dict[str, Any]:
    """Return the settings that features made now would have."""
    return {"labels": list(config.labels)} | {name: getattr(config, name) for name in FEATURE_SETTINGS}


def table_digest(clips: Iterable[Clip]) -> str:
    """Return a digest of clips with their labels and events; spaces and the order of clips do not count."""

    def content(clip: Clip) -> list[Any]:
        labels = None if clip.labels is None else sorted(clip.labels)
        events = None if clip.events is None else [[e.onset, e.offset, e.label] for e in clip.events]
        return [clip.name, labels, events]

    return digest([content(clip) for clip in clips])


def recording_at(path: Path) -> Recording | None:
    """Return the recording, or None where there is no such file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return Recording(path.name, status.st_size, status.st_mtime_ns)


def changed_settings(origin: Origin) -> str | None:
    """Return which setting is not as it was when features of that origin were made; None if all are."""
    for name, value in feature_settings().items():
        if origin.settings.get(name) != value:
            return f"made with {name} = {origin.settings.get(name)}, and now it is {value}"
    return None


def what_changed(origin: Origin, table: str, audio_folder: Path) -> str | None:
    """Return what is not any more as it was when features of that origin were made; None if nothing.

    A recording that is gone has not changed: one may remove recordings once there are features of them.
    """
    changed = changed_settings(origin)
    if changed:
        return changed
    if origin.table != table:
        return "made from another table of clips"
    for recording in origin.recordings:
        now = recording_at(audio_folder / recording.name)
        if now is not None and now != recording:
            return f"made before {now.name} was changed"
    return None
