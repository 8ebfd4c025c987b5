"""Reads and writes the tables of the challenge: clips, their labels, and their events."""

import csv
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np

from utils.dataset.encodings import encoding_advice
from utils.settings.groups import is_unicode
from utils.settings.overrides import source_of
from utils.system.errors import SedError
from utils.system.files import written_whole
from utils.system.words import did_you_mean

PLAIN_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
DAY_SECONDS = 24 * 3600  # later times are mistakes: scores are computed on grids up to the last event
LONG_RECORDING_SECONDS = 1000  # from here on, six digits of a time do not resolve milliseconds
STRONG_COLUMNS = ("filename", "onset", "offset", "event_label")
TIME_COLUMNS = ("onset", "offset")  # of a table of scores; the others are the classes
COLUMNS = {"weak": ("filename", "event_labels"), "strong": STRONG_COLUMNS, "none": ("filename",)}


@dataclass(frozen=True)
class Event:
    """A sound event: label, and onset and offset in seconds from the start of its clip."""

    onset: float
    offset: float
    label: str


@dataclass(frozen=True)
class Clip:
    """A recording and its annotation.

    Attributes
    ----------
    name : str
        File name of the recording in its subset's audio folder.
    labels : frozenset of str or None
        The classes that are present in the clip; None where they are not annotated.
    events : tuple of Event or None
        The events with their times; None where they are not annotated.
    """

    name: str
    labels: frozenset[str] | None = None
    events: tuple[Event, ...] | None = None


# The dialect of all tables, read and written: cells between tabs, as they are. Nothing is quoted or escaped,
# so a cell can hold quotation marks, but no tab and no line end; spaces around it do not belong to it.
DIALECT = {"delimiter": "\t", "quoting": csv.QUOTE_NONE, "quotechar": None}
LINE_ENDS = "\n\r"


def cell_problem(text: str) -> str | None:
    """Return why a table cannot hold the text as a cell; None if it can."""
    if not is_unicode(text):
        return "it is not valid UTF-8"
    if any(character in text for character in "\t\0" + LINE_ENDS):
        return "it has a tab or a line end in it"
    if text != text.strip():
        return "it begins or ends with a space"
    return None


@dataclass(frozen=True)
class Row:
    """A row of a table: its file and line, for messages, and its cells by column."""

    place: str
    cells: dict[str, str]


def refuse(problem: str, problems: list[str] | None) -> None:
    """Raise SedError; or, where problems are collected, add it to them."""
    if problems is None:
        raise SedError(problem)
    problems.append(problem)


def other_dialect_hint(header: list[str]) -> str:
    """Return what to do with a table that spreadsheets write otherwise: with commas, semicolons or quotes."""
    text = "\t".join(header)
    is_other = '"' in text or (len(header) == 1 and ("," in text or ";" in text))
    return "; bring such a table in with: python utils/metadata.py import_annotations" * is_other


def read_rows(path: Path, columns: Sequence[str], problems: list[str] | None = None) -> list[Row]:
    """Read a tab-separated table with a header.

    Spaces around a cell, a byte order mark, Windows line ends, blank lines, other columns, and missing
    cells at the end of a row are tolerated.

    Parameters
    ----------
    path : Path
        The table.
    columns : sequence of str
        The columns that it must have.
    problems : list of str or None
        Where it is given, wrong rows are left out and their problems added to it.

    Raises
    ------
    SedError
        If the file cannot be read as text, lacks a column, or has a row with more cells than the header.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.reader(file, **DIALECT))
    except FileNotFoundError:
        raise SedError(f"{path}: there is no such table") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        advice = encoding_advice(path) if isinstance(error, UnicodeDecodeError) else error
        raise SedError(f"{path}: cannot be read as a table: {advice}") from error
    header = [cell.strip() for cell in lines[0]] if lines else []
    for column in columns:
        if column not in header:
            found = ", ".join(header) or "nothing"
            raise SedError(
                f"{path}, line 1: no column '{column}'; the header must have, separated by tabs: "
                f"{', '.join(columns)} (found: {found}){other_dialect_hint(lines[0] if lines else [])}"
            )
    rows = []
    for number, cells in enumerate(lines[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        place = f"{path}, line {number}"
        if len(cells) > len(header):
            refuse(f"{place}: {len(cells)} cells, but the header has {len(header)}", problems)
            continue
        cells = [cell.strip() for cell in cells] + [""] * (len(header) - len(cells))
        rows.append(Row(place, dict(zip(header, cells, strict=True))))
    return rows


def parse_name(row: Row) -> str:
    """Return the name of a recording, which may be a path, for tables whose recordings are not opened."""
    name = row.cells["filename"]
    if not name:
        raise SedError(f"{row.place}: the filename is empty")
    return name


def parse_clip_name(row: Row) -> str:
    """Return the row's file name, which cannot lead out of the folder of the recordings."""
    name = parse_name(row)
    if name in (".", "..") or any(character in name for character in "/\\\0"):
        raise SedError(
            f"{row.place}: '{name}' is not a plain file name; leave out the folder and put the "
            "recording into the audio folder, or bring the table in with: python utils/metadata.py "
            "import_annotations"
        )
    return name


def parse_label(row: Row, label: str, labels: Sequence[str]) -> str:
    """Return `label`, which must be one of `labels`."""
    if not label:
        raise SedError(f"{row.place}: a label is empty; name it, or remove the row")
    if label not in labels:
        raise SedError(
            f"{row.place}: unknown label '{label}'{did_you_mean(label, labels)}; the labels in "
            f"{source_of('labels')} are {', '.join(labels)}; others come from the file that SED_CONFIG names"
        )
    return label


def parse_seconds(row: Row, column: str) -> float:
    """Return the time in a cell, which must be a number of seconds from 0 to a day."""
    text = row.cells[column]
    seconds = float(text) if PLAIN_NUMBER.fullmatch(text) else math.nan
    if not 0 <= seconds < math.inf:
        raise SedError(f"{row.place}: {column} '{text}' is not a time in seconds")
    if seconds > DAY_SECONDS:
        raise SedError(f"{row.place}: {column} '{text}' is more than a day; times are in seconds")
    return seconds


def parse_number(row: Row, column: str) -> float:
    """Return the finite number in a cell."""
    text = row.cells[column]
    number = float(text) if PLAIN_NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(number):
        raise SedError(f"{row.place}: {column} '{text}' is not a finite number")
    return number


def parse_event(row: Row, labels: Sequence[str]) -> Event | None:
    """Return the event of a row, or None for the row of a clip without events."""
    if not any(row.cells[column] for column in STRONG_COLUMNS[1:]):
        return None
    label = parse_label(row, row.cells["event_label"], labels)
    onset, offset = (parse_seconds(row, column) for column in ("onset", "offset"))
    if offset <= onset:
        raise SedError(f"{row.place}: the offset {offset} s is not after the onset {onset} s")
    return Event(onset, offset, label)


def read_strong_table(
    path: Path,
    labels: Sequence[str],
    *,
    names_with_folders: bool = False,
    problems: list[str] | None = None,
) -> list[Clip]:
    """Read a table of events, which a reference and a submission are too.

    Parameters
    ----------
    path : Path
        Table with the columns filename, onset, offset (s) and event_label. A row with empty onset, offset
        and label lists a clip without events.
    labels : sequence of str
        The labels that may occur.
    names_with_folders : bool
        Whether file names may be paths; the recordings of such a table must not be opened.
    problems : list of str or None
        See `read_rows`.

    Returns
    -------
    list of Clip
        Sorted by name, the events in the table's order.
    """
    events: dict[str, dict[Event | None, None]] = {}  # keys only: sets that keep their order
    for row in read_rows(path, STRONG_COLUMNS, problems):
        try:
            name = parse_name(row) if names_with_folders else parse_clip_name(row)
            of_clip = events.setdefault(name, {})
            event = parse_event(row, labels)
        except SedError as error:
            refuse(str(error), problems)
            continue
        if event in of_clip:
            refuse(f"{row.place}: duplicate row of '{name}'; remove one of the rows", problems)
        elif of_clip and (event is None or None in of_clip):
            refuse(f"{row.place}: '{name}' is listed both with and without events", problems)
        of_clip[event] = None
    return [strong_clip(name, [event for event in events[name] if event]) for name in sorted(events)]


def strong_clip(name: str, events: list[Event]) -> Clip:
    """Return a clip whose labels are those of its events."""
    return Clip(name, frozenset(event.label for event in events), tuple(events))


def read_weak_table(path: Path, labels: Sequence[str], problems: list[str] | None = None) -> list[Clip]:
    """Read a table of clip labels (columns filename and event_labels, joined by commas), sorted by name."""
    clips = {}
    for row in read_rows(path, COLUMNS["weak"], problems):
        try:
            name = parse_new_clip_name(row, clips)
            cells = [cell.strip() for cell in row.cells["event_labels"].split(",")]
            clips[name] = Clip(name, frozenset(parse_label(row, cell, labels) for cell in cells))
        except SedError as error:
            refuse(str(error), problems)
    return [clips[name] for name in sorted(clips)]


def read_unlabelled_table(path: Path, problems: list[str] | None = None) -> list[Clip]:
    """Read a table of clips without annotation (column filename), sorted by name."""
    clips: dict[str, Clip] = {}
    for row in read_rows(path, COLUMNS["none"], problems):
        try:
            name = parse_new_clip_name(row, clips)
            clips[name] = Clip(name)
        except SedError as error:
            refuse(str(error), problems)
    return [clips[name] for name in sorted(clips)]


def parse_new_clip_name(row: Row, clips: dict[str, Clip]) -> str:
    """Return the row's file name, which must not be in `clips` already."""
    name = parse_clip_name(row)
    if name in clips:
        raise SedError(f"{row.place}: '{name}' is listed twice; remove one of the rows")
    return name


def write_strong_table(path: Path, clips: Iterable[Clip], *, list_eventless: bool = True) -> None:
    """Write a table of events; the file appears at `path` only when it is whole.

    Parameters
    ----------
    path : Path
        Where to write to.
    clips : iterable of Clip
        Clips with events.
    list_eventless : bool
        Whether a clip without events gets a row of its own, as in a reference. A submission lists none.
    """
    rows: list[tuple[str, ...]] = []
    for clip in clips:
        rows += [
            (clip.name, seconds_cell(event.onset), seconds_cell(event.offset), event.label)
            for event in clip.events or ()
        ]
        if not clip.events and list_eventless:
            rows.append((clip.name, "", "", ""))
    write_table(path, STRONG_COLUMNS, rows)


def seconds_cell(seconds: float) -> str:
    """Return a time for a table: with six digits, and in long recordings with milliseconds."""
    return f"{seconds:.6g}" if seconds < LONG_RECORDING_SECONDS else f"{seconds:.3f}"


def write_weak_table(path: Path, clips: Iterable[Clip]) -> None:
    """Write a table of clip labels."""
    rows = [(clip.name, ",".join(sorted(clip.labels or ()))) for clip in clips]
    write_table(path, COLUMNS["weak"], rows)


def write_unlabelled_table(path: Path, clips: Iterable[Clip]) -> None:
    """Write a table of clips without annotation."""
    write_table(path, COLUMNS["none"], [(clip.name,) for clip in clips])


def write_score_table(path: Path, edges: np.ndarray, scores: np.ndarray, labels: Sequence[str]) -> None:
    """Write the scores of a clip in the format of sed_scores_eval: onset and offset (s), a column a class.

    Parameters
    ----------
    path : Path
        Where to write to.
    edges : np.ndarray, shape (outputs + 1,)
        Where outputs begin, and the end of the last one, in s.
    scores : np.ndarray, shape (outputs, classes)
    labels : sequence of str
        Of the classes.
    """
    if taken := set(TIME_COLUMNS) & set(labels):
        raise SedError(f"{path}: the label '{min(taken)}' is the name of a column of times; rename the class")
    # The shortest digits from which the same number is read again: of the times as float64, of the scores as
    # they are, so that thresholds separate them as before.
    times = edges.astype(float).tolist()
    rows = (
        (repr(onset), repr(offset), *map(str, of_output))
        for onset, offset, of_output in zip(times, times[1:], scores, strict=False)
    )
    write_table(path, (*TIME_COLUMNS, *labels), rows)


def read_score_table(path: Path, labels: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Read the scores of a clip in the format of sed_scores_eval; columns of other classes are left out.

    Returns
    -------
    edges : np.ndarray, shape (outputs + 1,)
        Where outputs begin, and the end of the last one, in s.
    scores : np.ndarray, shape (outputs, classes)
    """
    rows = read_rows(path, (*TIME_COLUMNS, *labels))
    if not rows:
        raise SedError(f"{path}: has no scores, only a header")
    times = [[parse_seconds(row, column) for column in TIME_COLUMNS] for row in rows]
    for row, (onset, offset), before in zip(rows, times, [None, *times], strict=False):
        if offset <= onset:
            raise SedError(f"{row.place}: the offset {offset} s is not after the onset {onset} s")
        if before and onset != before[1]:
            raise SedError(
                f"{row.place}: the onset {onset} s is not the offset {before[1]} s of the row before"
            )
    edges = np.array([onset for onset, _ in times] + [times[-1][1]])
    return edges, np.array([[parse_number(row, label) for label in labels] for row in rows])


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a tab-separated table with a header; the file appears at `path` only when it is whole."""
    with written_whole(path) as unfinished, unfinished.open("w", encoding="utf-8", newline="") as file:
        write_rows(file, columns, rows)


def write_rows(file: TextIO, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a tab-separated table with a header to an open file; `cell_problem` allows the cells."""
    writer = csv.writer(file, lineterminator="\n", **DIALECT)
    writer.writerow(columns)
    writer.writerows(rows)


def read_durations(path: Path) -> dict[str, float]:
    """Read a table of clip durations in seconds (columns filename and duration).

    Raises
    ------
    SedError
        If the table cannot be read, or gives a clip two durations.
    """
    durations: dict[str, float] = {}
    for row in read_rows(path, ("filename", "duration")):
        name, seconds = parse_name(row), parse_seconds(row, "duration")
        if durations.setdefault(name, seconds) != seconds:
            raise SedError(f"{row.place}: {name} has another duration above; remove one of them")
    return durations
