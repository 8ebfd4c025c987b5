"""Events in recordings as files: a table, labels for Audacity and Raven, JSON; and frame probabilities."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from utils.audio.recordings import AudioFile, Unread
from utils.dataset.tables import STRONG_COLUMNS, seconds_cell, write_rows, write_table
from utils.events.scored_events import ScoredEvent
from utils.system.files import written_whole
from utils.system.terminal import aligned
from utils.system.words import counted

EVENT_COLUMNS = (*STRONG_COLUMNS, "score")
RAVEN_COLUMNS = (
    "Selection",
    "View",
    "Channel",
    "Begin Time (s)",
    "End Time (s)",
    "Low Freq (Hz)",
    "High Freq (Hz)",
    "Annotation",
    "Score",
)
AUDACITY_SCORE = re.compile(r" \[[01]\.\d\d\]$")


@dataclass(frozen=True)
class DetectedEvents:
    """The events of a recording in time order, and its duration in seconds."""

    recording: AudioFile
    seconds: float
    events: tuple[ScoredEvent, ...]


def event_row(name: str, event: ScoredEvent) -> tuple[str, ...]:
    """Return the row of an event in a table whose columns are `EVENT_COLUMNS`."""
    times = seconds_cell(event.onset), seconds_cell(event.offset)
    return name, *times, event.label, f"{event.score:.3f}"


def event_rows(detected: Iterable[DetectedEvents]) -> list[tuple[str, ...]]:
    """Return the rows of all recordings; one without events has a row of empty cells."""
    rows: list[tuple[str, ...]] = []
    for one in detected:
        name = one.recording.name
        rows += [event_row(name, event) for event in one.events] or [(name, "", "", "", "")]
    return rows


def write_csv(path: Path, detected: Iterable[DetectedEvents]) -> None:
    """Write one table of all recordings, as `score` reads it."""
    write_table(path, EVENT_COLUMNS, event_rows(detected))


def print_csv(file: TextIO, detected: Iterable[DetectedEvents]) -> None:
    """Write the same table to an open file."""
    write_rows(file, EVENT_COLUMNS, event_rows(detected))


def write_audacity(path: Path, events: Iterable[ScoredEvent]) -> None:
    """Write a label file for Audacity: onset, offset (s, six decimals) and text, separated by tabs.

    The text is the label and, in brackets, the score: `Dog [0.93]`. See `label_of_audacity`.
    """
    lines = [
        f"{event.onset:.6f}\t{event.offset:.6f}\t{event.label} [{event.score:.2f}]\n" for event in events
    ]
    with written_whole(path) as unfinished:
        unfinished.write_text("".join(lines), encoding="utf-8", newline="\n")


def label_of_audacity(text: str) -> str:
    """Return the label in a text of a label file, without the score that `write_audacity` has added."""
    return AUDACITY_SCORE.sub("", text)


def write_raven(path: Path, events: Iterable[ScoredEvent], *, low_hz: float, high_hz: float) -> None:
    """Write a selection table for Raven; a selection spans the band from `low_hz` to `high_hz`."""
    band = f"{low_hz:.1f}", f"{high_hz:.1f}"
    rows = (
        (
            str(number),
            "Spectrogram 1",
            "1",
            f"{event.onset:.6f}",
            f"{event.offset:.6f}",
            *band,
            event.label,
            f"{event.score:.3f}",
        )
        for number, event in enumerate(events, start=1)
    )
    write_table(path, RAVEN_COLUMNS, rows)


def write_json(
    path: Path,
    detected: Iterable[DetectedEvents],
    unreadable: Iterable[Unread],
    origin: dict[str, Any],
) -> None:
    """Write all recordings with their events, those that could not be read, and what the events come from."""
    content = {
        **origin,
        "recordings": [
            {
                "filename": one.recording.name,
                "path": str(one.recording.path),
                "duration": one.seconds,
                "events": [
                    {
                        "onset": event.onset,
                        "offset": event.offset,
                        "event_label": event.label,
                        "score": round(event.score, 4),
                    }
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


def summary_lines(detected: Sequence[DetectedEvents], labels: Sequence[str]) -> list[str]:
    """Return a table of the number of events and their seconds, of each class that has any and of all."""
    events = [event for one in detected for event in one.events]
    title = f"{counted(len(detected), 'recording')}, {sum(one.seconds for one in detected):.1f} s of audio"
    rows = []
    for label in labels:
        lengths = [event.offset - event.onset for event in events if event.label == label]
        if lengths:
            rows.append((label, str(len(lengths)), f"{sum(lengths):.1f}"))
    if not rows:
        return [f"{title}: no events"]
    rows.sort(key=lambda row: -float(row[2]))
    total = ("all", str(len(events)), f"{sum(float(row[2]) for row in rows):.1f}")
    return [title, *aligned([("", "events", "seconds"), *rows, total])]
