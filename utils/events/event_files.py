"""Events in recordings as files: a table, labels for Audacity, JSON; and a table of frame probabilities."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from utils.audio.recordings import AudioFile, Unread
from utils.dataset.tables import (
    STRONG_COLUMNS,
    Clip,
    Event,
    seconds_cell,
    strong_rows,
    write_rows,
    write_strong_table,
    write_table,
)
from utils.system.files import written_whole


@dataclass(frozen=True)
class DetectedEvents:
    """The events of a recording, and its duration in seconds."""

    recording: AudioFile
    seconds: float
    events: tuple[Event, ...]


def cut_events(events: Iterable[Event], seconds: float) -> tuple[Event, ...]:
    """Return the events in a recording of so many seconds: cut at its end, without those that begin later."""
    return tuple(
        Event(event.onset, min(event.offset, seconds), event.label)
        for event in events
        if event.onset < seconds
    )


def clips_of(detected: Iterable[DetectedEvents]) -> list[Clip]:
    """Return the recordings as the clips of a table."""
    return [Clip(one.recording.name, events=one.events) for one in detected]


def write_csv(path: Path, detected: Iterable[DetectedEvents]) -> None:
    """Write one table of all recordings, as `score` reads it; one without events is a row of empty cells."""
    write_strong_table(path, clips_of(detected))


def print_csv(file: TextIO, detected: Iterable[DetectedEvents]) -> None:
    """Write the same table to an open file."""
    write_rows(file, STRONG_COLUMNS, strong_rows(clips_of(detected)))


def write_audacity(path: Path, events: Sequence[Event]) -> None:
    """Write a label file for Audacity: onset, offset (s, six decimals) and label, separated by tabs."""
    in_order = sorted(events, key=lambda event: (event.onset, event.offset, event.label))
    lines = [f"{event.onset:.6f}\t{event.offset:.6f}\t{event.label}\n" for event in in_order]
    with written_whole(path) as unfinished:
        unfinished.write_text("".join(lines), encoding="utf-8", newline="\n")


def write_json(
    path: Path,
    detected: Iterable[DetectedEvents],
    unreadable: Iterable[Unread],
    checkpoint: dict[str, Any],
    settings: dict[str, Any],
) -> None:
    """Write all recordings with their events, those that could not be read, and what the events come from."""
    content = {
        "checkpoint": checkpoint,
        "settings": settings,
        "recordings": [
            {
                "filename": one.recording.name,
                "path": str(one.recording.path),
                "duration": one.seconds,
                "events": [
                    {"onset": event.onset, "offset": event.offset, "event_label": event.label}
                    for event in one.events
                ],
            }
            for one in detected
        ],
        "unreadable": [asdict(one) | {"path": str(one.path)} for one in unreadable],
    }
    with written_whole(path) as unfinished:
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        # Of undecodable bytes in a path, what replaces them is as JSON escapes them.
        unfinished.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_probabilities(
    path: Path, framewise: np.ndarray, seconds: float, *, labels: Sequence[str], frames_per_second: float
) -> None:
    """Write the frame probabilities of a recording as a table.

    Parameters
    ----------
    path : Path
        The table: `time`, at which the frame begins (s), and a column for each label.
    framewise : np.ndarray, shape (frames, classes)
    seconds : float
        Duration of the recording; frames that begin later are left out.
    labels : sequence of str
    frames_per_second : float
    """
    rows = (
        (seconds_cell(index / frames_per_second), *(f"{value:.6g}" for value in frame))
        for index, frame in enumerate(framewise.tolist())
        if index / frames_per_second < seconds
    )
    write_table(path, ("time", *labels), rows)
