"""What `predict` has finished so far, so that one that was stopped goes on where it was."""

import json
import os
from dataclasses import astuple
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from utils.audio.recordings import AudioFile
from utils.events.event_files import DetectedEvents
from utils.events.scored_events import ScoredEvent
from utils.system.errors import SedError
from utils.system.files import claim, identity


class EventJournal:
    """A file with a line of JSON for each recording that is finished; one process at a time has it open.

    Parameters
    ----------
    path : Path
        The lines of an earlier process count if it had the same `work`, up to the first damaged one.
    work : dict
        What the results depend on, as JSON holds it.

    Raises
    ------
    SedError
        If the file cannot be written, or another process has it open.
    """

    def __init__(self, path: Path, work: dict[str, Any]) -> None:
        self.path = path
        self._file = os.fdopen(claim(path, path.parent), "r+", encoding="latin-1")
        self._finished: dict[tuple[Any, ...], tuple[float, tuple[ScoredEvent, ...]]] = {}
        whole_lines = self._file.read().rpartition("\n")[0]
        header, *lines = whole_lines.split("\n")
        if header == json.dumps(work):
            kept = len(header) + 1
            for line in lines:
                try:
                    key, seconds, events = json.loads(line)
                except (ValueError, TypeError):  # what a power cut has left
                    break
                self._finished[tuple(key)] = seconds, tuple(ScoredEvent(*values) for values in events)
                kept += len(line) + 1
            self._file.truncate(kept)
            self._file.seek(kept)
        else:
            self._file.seek(0)
            self._file.truncate()
            self._write(work)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def finished(self, recording: AudioFile) -> DetectedEvents | None:
        """Return the events of a recording if it is finished, and the file has not changed since."""
        key = key_of(recording)
        found = self._finished.get(key) if key else None
        return DetectedEvents(recording, *found) if found else None

    def add(self, detected: DetectedEvents) -> None:
        """Note that a recording is finished, and all its files are written."""
        if key := key_of(detected.recording):
            self._write([key, detected.seconds, [astuple(event) for event in detected.events]])

    def remove(self) -> None:
        """Remove the file, as all is done."""
        self.path.unlink(missing_ok=True)

    def _write(self, content: Any) -> None:
        try:
            self._file.write(json.dumps(content) + "\n")
            self._file.flush()
        except OSError as error:
            raise SedError(f"{self.path}: cannot be written: {error.strerror}") from error


def key_of(recording: AudioFile) -> tuple[str, str, int, int] | None:
    """Return a recording's name, which its files are called by, and its identity; None of standard input."""
    try:
        return recording.name, *identity(recording.path)
    except OSError:  # also of a file that has just gone
        return None
