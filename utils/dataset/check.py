"""Compares a data set's tables with its recordings and with the full challenge set; lists all errors."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from utils.dataset.subsets import (
    SUBSETS,
    TABLE_SUFFIXES,
    VALIDATION,
    Subset,
    find_table,
    has_table,
    read_challenge_labels,
    read_clips,
)
from utils.dataset.summary import beyond_hint, class_counts, count_beyond, count_table
from utils.dataset.tables import Clip
from utils.settings.overrides import require_settings_of
from utils.system.errors import SedError, refuse_all
from utils.system.words import counted, name_key, name_some

KINDS = {"weak": "weakly labelled", "strong": "strongly labelled", "none": "unlabelled"}  # by annotation
CHANNEL_NAMES = {1: "mono", 2: "stereo"}
# What libsndfile says of a WAV or AIFF file that ends before its sound does. A stream has its header written
# before its length is known, as 2 or 4 GB.
TRUNCATED = re.compile(r"^ ?(?:data|SSND) *: (\d+) \(should be (\d+)\)", re.MULTILINE)
STREAM_BYTES = 2**31 - 4096


@dataclass
class SubsetReport:
    """What was found of a subset.

    Attributes
    ----------
    clips : list of Clip
        The clips that its table lists.
    found, missing, unlisted : list of str
        File names: listed and there, listed and not there, there and not listed.
    problems : list of str
        Wrong rows.
    unreadable : list of str
        Found files that are not audio.
    truncated : list of str
        Readable files that are shorter than their headers say.
    durations : dict
        Of the readable files by name, in seconds.
    formats : Counter
        How many readable files have which sample rate (Hz) and number of channels.
    """

    clips: list[Clip]
    found: list[str]
    missing: list[str]
    unlisted: list[str]
    problems: list[str]
    unreadable: list[str] = field(default_factory=list)
    truncated: list[str] = field(default_factory=list)
    durations: dict[str, float] = field(default_factory=dict)
    formats: Counter[tuple[int, int]] = field(default_factory=Counter)

    @property
    def beyond_recording(self) -> list[str]:
        """The clips with events that begin when their recording has ended."""
        return [
            clip.name
            for clip in self.clips
            if any(event.onset >= self.durations.get(clip.name, np.inf) for event in clip.events or ())
        ]

    @property
    def near_misses(self) -> list[str]:
        """Missing recordings of which there is one with nearly the same name."""
        by_key = {name_key(name): name for name in self.unlisted}
        by_stem = {name_key(Path(name).stem): name for name in self.unlisted}
        found = {
            name: by_key.get(name_key(name)) or by_stem.get(name_key(Path(name).stem))
            for name in self.missing
        }
        return [f"{there!r} is there for {name!r}" for name, there in found.items() if there]

    @property
    def events(self) -> int:
        return sum(len(clip.events or ()) for clip in self.clips)


def examine(dataset_dir: Path, subset: Subset, labels: Sequence[str]) -> SubsetReport:
    """Read a subset's table and the headers of its recordings."""
    problems: list[str] = []
    clips = read_clips(dataset_dir, subset.data_type, labels, problems)
    folder = dataset_dir / subset.audio_folder
    listed = {clip.name for clip in clips}
    there = {path.name for path in folder.iterdir() if path.is_file()} if folder.is_dir() else set()
    report = SubsetReport(
        clips, sorted(listed & there), sorted(listed - there), sorted(there - listed), problems
    )
    for name in report.found:
        try:
            info = soundfile.info(os.fsencode(folder / name), verbose=True)
        except (soundfile.SoundFileError, OSError):
            report.unreadable.append(name)
            continue
        if is_truncated(info.extra_info):
            report.truncated.append(name)
        report.durations[name] = info.frames / info.samplerate
        report.formats[info.samplerate, info.channels] += 1
    return report


def is_truncated(description: str) -> bool:
    """Tell whether a file ends before its sound does, by libsndfile's description."""
    sizes = TRUNCATED.search(description)
    return sizes is not None and int(sizes[2]) < int(sizes[1]) < STREAM_BYTES


def describe_absence(subset: Subset) -> str:
    """Return that a subset has no table, and what that means."""
    kind = VALIDATION if subset.data_type == VALIDATION else KINDS[subset.annotation]
    return f"{subset.data_type}: no table {subset.table}{TABLE_SUFFIXES[0]}, so there are no {kind} clips"


def count_and_some(names: list[str]) -> str:
    """Return the number of names and the first few names."""
    return f"{len(names)} ({name_some(names)})"


def describe_fraction(number: int, expected: int, noun: str) -> str:
    """Return how many there are of what the full challenge set has."""
    return f"all {expected} {noun}" if number == expected else f"{number} of {expected} {noun}"


def heading(subset: Subset, report: SubsetReport) -> str:
    """Return the name of a subset with its most important counts."""
    counts = [counted(len(report.clips), "clip")]
    if subset.annotation == "strong":
        eventless = sum(not clip.events for clip in report.clips)
        counts += [counted(report.events, "event"), f"{counted(eventless, 'clip')} without events"]
    if not (report.missing or report.unlisted or report.unreadable):
        counts.append("all recordings there")
    return f"{subset.data_type}: {', '.join(counts)}"


def describe_report(
    subset: Subset, report: SubsetReport, *, clip_seconds: float, is_challenge: bool
) -> list[str]:
    """Return the lines below the heading of a subset."""
    lines = []
    if subset.annotation == "strong":
        _, beyond, cut = count_beyond(report.clips, clip_seconds)
        if beyond or cut:
            lines.append(f"after the clip's end: {beyond_hint(report.events, beyond, cut, clip_seconds)}")
        if report.beyond_recording:
            lines.append(f"with events after the recording's end: {count_and_some(report.beyond_recording)}")
    for name in ("missing", "unlisted", "unreadable", "truncated"):
        if names := getattr(report, name):
            lines.append(f"{name}: {count_and_some(names)}")
    if report.near_misses:
        lines.append(
            f"near misses: {count_and_some(report.near_misses)}; rename the files, or correct the table"
        )
    if report.durations:
        seconds = np.array(list(report.durations.values()))
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
    if is_challenge and len(report.clips) >= subset.clips / 2:  # not a set that only has its classes
        fractions = [describe_fraction(len(report.clips), subset.clips, "clips")]
        if report.missing or report.unreadable:
            readable = len(report.found) - len(report.unreadable)
            fractions.append(describe_fraction(readable, subset.clips, "recordings"))
        if subset.events is not None:
            fractions.append(describe_fraction(report.events, subset.events, "events"))
        lines.append(f"of the full challenge set: {', '.join(fractions)}")
    return lines


def print_report(dataset_dir: Path, labels: Sequence[str], clip_seconds: float) -> None:
    """Print what there is of each subset, and all that is wrong.

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
        If there is no such folder, no table in it, a table is wrong, or none of its recordings is there. Some
        subsets may have no table.
    """
    require_settings_of(dataset_dir)
    problems: list[str] = []
    reports: dict[str, SubsetReport] = {}
    subsets = []
    for subset in SUBSETS.values():
        if has_table(dataset_dir, subset):
            subsets.append(subset)
        elif dataset_dir.is_dir():
            print(describe_absence(subset))
    if not subsets:
        find_table(dataset_dir, subset)  # which says what is missing
    is_challenge = list(labels) == read_challenge_labels()
    for subset in subsets:
        try:
            report = examine(dataset_dir, subset, labels)
        except SedError as error:  # the table as a whole
            print(f"{subset.data_type}: its table cannot be read")
            problems.append(str(error))
            continue
        print(heading(subset, report))
        for line in describe_report(subset, report, clip_seconds=clip_seconds, is_challenge=is_challenge):
            print(f"    {line}")
        reports[subset.data_type] = report
        problems += [*report.problems, *lost_events(subset, report, clip_seconds)]
    for line in count_table({name: class_counts(one.clips, labels) for name, one in reports.items()}):
        print(line)
    for line in describe_classes(reports, labels):
        print(line)
    if not any(report.found for report in reports.values()):
        problems.append(f"{dataset_dir / 'audio'}: none of the recordings in the tables is there")
    refuse_all(grouped(problems), print)


def lost_events(subset: Subset, report: SubsetReport, clip_seconds: float) -> list[str]:
    """Return the problem that no event of a subset begins within a clip, if that is so."""
    if report.events and count_beyond(report.clips, clip_seconds)[1] == report.events:
        return [f"{subset.data_type}: {beyond_hint(report.events, report.events, 0, clip_seconds)}"]
    return []


def describe_classes(reports: dict[str, SubsetReport], labels: Sequence[str]) -> list[str]:
    """Return which classes cannot be learned or scored."""

    def occurring(names: Iterable[str]) -> set[str]:
        return {label for name in names for clip in reports[name].clips for label in clip.labels or ()}

    trained = occurring(name for name in reports if name != VALIDATION)
    lines = []
    if trained and (absent := [label for label in labels if label not in trained]):
        lines.append(f"Not in the training clips: {', '.join(absent)}")
    if VALIDATION in reports:
        absent = [label for label in labels if label not in occurring([VALIDATION])]
        if absent:
            lines.append(f"Not in the validation clips: {', '.join(absent)}; scores leave them out")
    return lines


def grouped(problems: list[str]) -> list[str]:
    """Return the problems; of those alike in several rows of a table, the first with their number."""
    counts: Counter[tuple[str, str]] = Counter()
    first: dict[tuple[str, str], str] = {}
    for problem in problems:
        table, _, rest = problem.partition(", line ")
        kind = (table, rest.partition(": ")[2])
        counts[kind] += 1
        first.setdefault(kind, problem)
    return [
        text + f" (and {counted(counts[kind] - 1, 'more row')})" * (counts[kind] > 1)
        for kind, text in first.items()
    ]
