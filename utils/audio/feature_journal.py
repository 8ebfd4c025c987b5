"""Features computed so far, on disk: an extraction that was killed continues where it stopped."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from utils.audio.recordings import Unread
from utils.system.errors import SedError
from utils.system.files import make_folder


class FeatureJournal:
    """A folder beside a feature file: the features of its first clips, one after the other.

    A clip counts when its line in the list is whole; its features are written before.

    Parameters
    ----------
    folder : Path
        Where what was computed is kept.
    stamp : str
        Tells what the features are made from. What has another stamp is removed.
    shape : tuple of int
        Of the features of a clip: (frames, mel_bins).
    """

    def __init__(self, folder: Path, stamp: str, shape: tuple[int, int]) -> None:
        self.folder = folder
        self.logmel_path, self.list_path = folder / "logmel.float32", folder / "clips.jsonl"
        stamp_path = folder / "stamp.txt"
        self.shape = shape
        self.reasons: list[str | None] = []
        try:
            if stamp_path.is_file() and stamp_path.read_text(encoding="utf-8") == stamp:
                self._take_up()
            else:
                self.remove()
                make_folder(folder)
                stamp_path.write_text(stamp, encoding="utf-8")
            self.logmel_file = self.logmel_path.open("ab")  # first: where there is a list, there is this
            self.list_file = self.list_path.open("a", encoding="utf-8")
        except OSError as error:
            raise SedError(f"{folder}: cannot be written: {error}") from error

    def _take_up(self) -> None:
        """Read what an earlier process left, up to where it is whole: a power cut may have damaged it."""
        if not self.list_path.is_file():
            return
        clip_bytes = int(np.prod(self.shape)) * np.float32().nbytes
        clips_stored = self.logmel_path.stat().st_size // clip_bytes
        kept = 0
        for line in self.list_path.read_bytes().splitlines(keepends=True):
            try:
                reason = json.loads(line)
            except ValueError:
                break
            if not line.endswith(b"\n") or (reason is None and self.readable_count == clips_stored):
                break
            self.reasons.append(reason)
            kept += len(line)
        os.truncate(self.list_path, kept)
        os.truncate(self.logmel_path, self.readable_count * clip_bytes)

    @property
    def count(self) -> int:
        """Clips that are done, with those that cannot be read."""
        return len(self.reasons)

    @property
    def readable_count(self) -> int:
        return self.reasons.count(None)

    def add(self, logmel: np.ndarray | Unread) -> None:
        """Keep the features of the next clip, or the reason why there are none.

        Raises
        ------
        SedError
            If they cannot be written.
        """
        reason = logmel.reason if isinstance(logmel, Unread) else None
        try:
            if reason is None:
                self.logmel_file.write(np.ascontiguousarray(logmel, np.float32).data)
                self.logmel_file.flush()
            self.list_file.write(json.dumps(reason) + "\n")
            self.list_file.flush()
        except OSError as error:
            raise SedError(
                f"{self.folder}: cannot be written: {error}; once it can, the same command continues here"
            ) from error
        self.reasons.append(reason)

    def logmels(self) -> Iterator[np.ndarray]:
        """Yield the features of each readable clip, shape (frames, mel_bins), float32."""
        size = int(np.prod(self.shape))
        with self.logmel_path.open("rb") as file:
            for _ in range(self.readable_count):
                yield np.fromfile(file, np.float32, size).reshape(self.shape)

    def close(self) -> None:
        """Close the files. Where they could not be written, `add` has raised the error."""
        for file in (self.logmel_file, self.list_file):
            with suppress(OSError):
                file.close()

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
