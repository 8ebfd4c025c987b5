"""Compares a data set's tables with its recordings and with the full challenge set."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from utils.dataset.subsets import SUBSETS, Subset, find_table, read_challenge_labels, read_clips
from utils.dataset.tables import COLUMNS, Clip, read_rows
from utils.system.errors import SedError

NAMES_SHOWN = 3  # of the files of a kind
CHANNEL_NAMES = {1: "mono", 2: "stereo"}


@dataclass
class SubsetReport:
    """What was found of a subset.

    Attributes
    ----------
    rows : int
        Rows of its table.
    clips : list of Clip
        The clips that these rows list.
    found, missing, unlisted : list of str
        File names: listed and there, listed and not there, there and not listed.
    unreadable : list of str
        Found files that are not audio.
    durations : list of float
        Of the readable files, in seconds.
    formats : Counter
        How many readable files have which sample rate (Hz) and number of channels.
    """

    rows: int
    clips: list[Clip]
    found: list[str]
    missing: list[str]
    unlisted: list[str]
    unreadable: list[str] = field(default_factory=list)
    durations: list[float] = field(default_factory=list)
    formats: Counter[tuple[int, int]] = field(default_factory=Counter)

    @property
    def events(self) -> int:
        return sum(len(clip.events or ()) for clip in self.clips)


def examine(dataset_dir: Path, subset: Subset, labels: Sequence[str]) -> SubsetReport:
    """Read a subset's table and the headers of its recordings."""
    clips = read_clips(dataset_dir, subset.data_type, labels)
    rows = len(read_rows(find_table(dataset_dir, subset), COLUMNS[subset.annotation]))
    folder = dataset_dir / subset.audio_folder
    listed = {clip.name for clip in clips}
    there = {path.name for path in folder.iterdir() if path.is_file()} if folder.is_dir() else set()
    report = SubsetReport(rows, clips, sorted(listed & there), sorted(listed - there), sorted(there - listed))
    for name in report.found:
        try:
            info = soundfile.info(folder / name)
        except (soundfile.SoundFileError, OSError):
            report.unreadable.append(name)
            continue
        report.durations.append(info.frames / info.samplerate)
        report.formats[info.samplerate, info.channels] += 1
    return report


def name_some(names: list[str]) -> str:
    """Return the number of names and the first few names."""
    if not names:
        return "0"
    more = ", …" if len(names) > NAMES_SHOWN else ""
    return f"{len(names)} ({', '.join(names[:NAMES_SHOWN])}{more})"


def describe_difference(what: str, number: int, expected: int) -> str:
    """Return how a count differs from the full challenge set's."""
    if number == expected:
        return f"{what}: all {expected}"
    difference = number - expected
    return f"{what}: {number} of {expected} ({difference:+d})"


def describe_report(
    subset: Subset, report: SubsetReport, *, clip_seconds: float, is_challenge: bool
) -> list[str]:
    """Return the lines about a subset."""
    lines = [f"rows: {report.rows}", f"clips: {len(report.clips)}"]
    if subset.annotation == "strong":
        eventless = sum(not clip.events for clip in report.clips)
        lines.append(f"events: {report.events} ({eventless} clips without events)")
    lines += [
        f"found: {len(report.found)}",
        f"missing: {name_some(report.missing)}",
        f"unlisted: {name_some(report.unlisted)}",
        f"unreadable: {name_some(report.unreadable)}",
    ]
    if report.durations:
        seconds = np.array(report.durations)
        lines.append(
            f"durations: {seconds.min():.2f} to {seconds.max():.2f} s, median {np.median(seconds):.2f} s, "
            f"{(seconds < clip_seconds).sum()} shorter and {(seconds > clip_seconds).sum()} "
            f"longer than {clip_seconds:g} s"
        )
        formats = [
            f"{count} × {rate} Hz {CHANNEL_NAMES.get(channels, f'{channels} channels')}"
            for (rate, channels), count in report.formats.most_common()
        ]
        lines.append(f"sample rates: {', '.join(formats)}")
    if is_challenge:
        differences = [
            describe_difference("clips", len(report.clips), subset.clips),
            describe_difference("recordings", len(report.found) - len(report.unreadable), subset.clips),
        ]
        if subset.events is not None:
            differences.append(describe_difference("events", report.events, subset.events))
        lines.append(f"compared with the full challenge set: {'; '.join(differences)}")
    return lines


def print_report(dataset_dir: Path, labels: Sequence[str], clip_seconds: float) -> None:
    """Print what there is of each subset.

    Parameters
    ----------
    dataset_dir : Path
    labels : sequence of str
        The labels that may occur in the tables.
    clip_seconds : float
        How long a recording should be.

    Raises
    ------
    SedError
        If there is no such folder, no table in it, or a table is wrong. Some subsets may have no table.
    """
    subsets = []
    for subset in SUBSETS.values():
        try:
            find_table(dataset_dir, subset)
            subsets.append(subset)
        except SedError as error:
            absence = error
            if dataset_dir.is_dir():
                print(f"{subset.data_type}\n    no table: {error}")
    if not subsets:
        raise absence
    is_challenge = list(labels) == read_challenge_labels()
    for subset in subsets:
        print(subset.data_type)
        report = examine(dataset_dir, subset, labels)
        for line in describe_report(subset, report, clip_seconds=clip_seconds, is_challenge=is_challenge):
            print(f"    {line}")
    if not is_challenge:
        print("The labels are not the challenge's: its clip counts do not apply.")
