"""Reads annotations as people have them: Audacity labels, Raven selection tables, tables of any dialect."""

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from utils.dataset.encodings import decode
from utils.dataset.tables import PLAIN_NUMBER
from utils.events.event_files import label_of_audacity

ANNOTATION_SUFFIXES = {".txt", ".csv", ".tsv"}
DELIMITERS = "\t;,|"
CLOCK = re.compile(r"(?:(\d+):)?([0-5]?\d):([0-5]?\d(?:\.\d*)?)", re.ASCII)  # hours, minutes, seconds
SPECTRAL_LINE = "\\"  # begins Audacity's line with the frequencies of the label before

# What each column is called in the tables of Raven, BirdNET, Sonic Visualiser, DCASE and by hand. Names are
# compared in lower case, without units, and with spaces for anything that is not a letter.
NAME, ONSET, OFFSET, LABEL, DURATION, FILE_ONSET = (
    "filename",
    "onset",
    "offset",
    "event_label",
    "duration",
    "file_onset",
)
ALIASES = {
    NAME: "filename|file|file name|begin file|begin path|path|filepath|file path|fname|recording|audio|"
    "audio file|audio filename|audiofile|wav|wav file|sound file|sound",
    ONSET: "onset|start|begin|start time|begin time|onset time|time start|from|tmin|xmin|t start|start sec",
    OFFSET: "offset|end|stop|end time|stop time|offset time|time end|to|tmax|xmax|t end|end sec",
    LABEL: "event label|event labels|label|labels|class|class name|category|annotation|annotations|species|"
    "species name|common name|call type|event|event type|sound type|tag|tags|type",
    DURATION: "duration|length|delta time",
    FILE_ONSET: "file offset",  # of Raven: the onset in the file, where a table is about a list of files
}
TIMES = (ONSET, OFFSET, DURATION, FILE_ONSET)
COLUMN_NAMES = (NAME, ONSET, OFFSET, LABEL, DURATION)  # those that a user may give a header for
UNIT = re.compile(r"[(\[](.*?)[)\]]|(?<=[ _])(s|sec|secs|seconds|ms)$")
SECONDS_PER_UNIT = {
    **dict.fromkeys(("", "s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 0.001),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
}


@dataclass(frozen=True)
class Annotation:
    """A row of an annotation file.

    Attributes
    ----------
    recording : str or None
        The recording's name or path; None where the whole file is about one recording.
    label : str or None
        None where the row lists a recording without events.
    onset, offset : float or None
        In seconds from the recording's start; None where the label is of the whole recording.
    where : str
        File and line, for messages.
    """

    recording: str | None
    label: str | None
    onset: float | None
    offset: float | None
    where: str


@dataclass
class AnnotationFile:
    """What an annotation file holds.

    Attributes
    ----------
    path : Path
    kind : str
        `Audacity label file`, `Raven selection table` or `table`.
    encoding : str
    annotations : list of Annotation
        In the file's order.
    problems : list of str
        Rows that cannot be understood, each with its place.
    """

    path: Path
    kind: str
    encoding: str
    annotations: list[Annotation] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ReadingOptions:
    """How annotation files are read.

    Attributes
    ----------
    columns : mapping
        The header of a column, for those of `COLUMN_NAMES` that the tables call in their own way.
    default_label : str or None
        Label of events that have none.
    point_seconds : float or None
        Length given to events whose offset is their onset; None makes them a problem.
    rename : mapping
        New labels by their old ones.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    default_label: str | None = None
    point_seconds: float | None = None
    rename: Mapping[str, str] = field(default_factory=dict)


def parse_time(text: str) -> float | None:
    """Return the seconds in `62.5`, `62,5`, `62.5 s`, `1:02.5` or `0:01:02,5`; None where there are none."""
    text = text.strip().removesuffix("s").strip()
    if text.count(",") == 1 and "." not in text:
        text = text.replace(",", ".")
    if PLAIN_NUMBER.fullmatch(text):
        return float(text)
    clock = CLOCK.fullmatch(text)
    if clock is None:
        return None
    hours, minutes, seconds = clock.groups(default="0")
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)


def read_annotations(path: Path, options: ReadingOptions) -> AnnotationFile | str:
    """Read an annotation file, or return why it is none.

    Only a file whose columns are known is taken for one, so that notes may lie beside the recordings.
    """
    try:
        text, encoding = decode(path.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        return f"{path}: cannot be read as text: {error}"
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), None)
    if first is None:  # of a recording without events
        return AnnotationFile(path, "Audacity label file", encoding)
    if is_audacity_line(first):
        return read_audacity(AnnotationFile(path, "Audacity label file", encoding), lines, options)
    return read_annotation_table(path, text, encoding, options)


def is_audacity_line(line: str) -> bool:
    cells = line.split("\t")
    return len(cells) >= 2 and all(parse_time(cell) is not None for cell in cells[:2])


def read_audacity(file: AnnotationFile, lines: list[str], options: ReadingOptions) -> AnnotationFile:
    """Read lines of onset, offset and label, separated by tabs; lines of frequencies are skipped.

    A score that `predict` has added to a label is left out.
    """
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.startswith(SPECTRAL_LINE):
            cells = dict(zip((ONSET, OFFSET, LABEL), line.split("\t"), strict=False))
            cells[LABEL] = label_of_audacity(cells.get(LABEL, ""))
            add_row(file, number, cells, {}, options)
    return file


def plain_header(header: str) -> str:
    """Return a column's name in lower case, without unit, and with spaces between its words."""
    return " ".join(re.findall(r"\w+", UNIT.sub("", header.strip().casefold()).replace("_", " ")))


def columns_of(header: list[str], own: Mapping[str, str]) -> dict[str, int]:
    """Return where the known columns stand; of several that mean the same, the first in `ALIASES`."""
    plain = [plain_header(cell) for cell in header]
    found = {}
    for name, aliases in ALIASES.items():
        wanted = [plain_header(own[name])] if name in own else aliases.split("|")
        places = [plain.index(alias) for alias in wanted if alias in plain]
        if places:
            found[name] = places[0]
    return found


def read_annotation_table(
    path: Path, text: str, encoding: str, options: ReadingOptions
) -> AnnotationFile | str:
    """Read a table with a header, or return why it is none."""
    if text.lower().startswith("sep="):  # Excel's first line
        text = "\n" + text.partition("\n")[2]

    def rows_with(delimiter: str) -> list[tuple[int, list[str]]]:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
        return [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]

    try:
        candidates = [rows for rows in map(rows_with, DELIMITERS) if rows]
    except csv.Error as error:
        return f"{path}: cannot be read as a table: {error}"
    if not candidates:
        return f"{path}: holds no cells"
    rows = max(candidates, key=lambda rows: len(columns_of(rows[0][1], options.columns)))
    header = rows[0][1]
    places = columns_of(header, options.columns)
    has_times = ONSET in places and (OFFSET in places or DURATION in places)
    is_raven = "selection" in map(plain_header, header) and has_times
    if not (has_times and (LABEL in places or options.default_label)) and not {NAME, LABEL} <= places.keys():
        return (
            f"{path}: not an annotation: no columns of file name and label, or of onset, offset and label "
            f"(found: {', '.join(header)[:80]}); name them with --columns (columns are "
            "separated by tabs, commas, semicolons or |)"
        )
    file = AnnotationFile(path, "Raven selection table" if is_raven else "table", encoding)
    units = {name: unit_of(header[places[name]]) for name in TIMES if has_times and name in places}
    unknown = [header[places[name]] for name, unit in units.items() if unit is None]
    if unknown:
        file.problems.append(
            f"{path}: the unit of '{unknown[0]}' is unknown; give seconds, or name one of "
            f"{', '.join(filter(None, SECONDS_PER_UNIT))}"
        )
        return file
    for number, cells in rows[1:]:
        if len(cells) > len(header) and any(cell.strip() for cell in cells[len(header) :]):
            file.problems.append(
                f"{path}, line {number}: {len(cells)} cells, but the header has {len(header)}; put cells "
                "with the separator in them, such as decimal commas, into quotes"
            )
            continue
        add_row(
            file,
            number,
            {name: cells[place] for name, place in places.items() if place < len(cells)},
            units,
            options,
        )
    return file


def unit_of(header: str) -> float | None:
    """Return the seconds in the unit that a column's header names, 1 where it names none; None if unknown."""
    found = UNIT.search(header.strip().casefold())
    unit = (found.group(1) or found.group(2) or "").strip(" .") if found else ""
    return 1.0 if ":" in unit else SECONDS_PER_UNIT.get(unit)  # as in (hh:mm:ss)


def add_row(
    file: AnnotationFile,
    line: int,
    cells: dict[str, str],
    units: Mapping[str, float],
    options: ReadingOptions,
) -> None:
    """Add the annotations of a row to the file's, or the problem with it."""
    where = f"{file.path}, line {line}"
    cells = {name: " ".join(cell.split()) for name, cell in cells.items()}
    recording = cells.get(NAME) or None
    times = {}
    for name in TIMES:
        if cells.get(name):
            seconds = parse_time(cells[name])
            if seconds is None or seconds < 0:
                file.problems.append(f"{where}: {name} '{cells[name]}' is not a time")
                return
            times[name] = seconds * units.get(name, 1.0)
    text = cells.get(LABEL) or (options.default_label if times else None) or ""
    onset, offset = times.get(ONSET), times.get(OFFSET)
    if offset is None and onset is not None and DURATION in times:
        offset = onset + times[DURATION]
    if onset is not None and offset is not None and FILE_ONSET in times:
        onset, offset = times[FILE_ONSET], times[FILE_ONSET] + offset - onset
    if (onset is None) != (offset is None):
        file.problems.append(f"{where}: has only one of onset and offset")
        return
    if onset is not None and offset == onset and options.point_seconds:
        offset = onset + options.point_seconds
    if onset is not None and offset <= onset:
        file.problems.append(
            f"{where}: the offset {offset:g} s is not after the onset {onset:g} s; correct it, or give "
            "labels of an instant a length with --point_seconds"
        )
        return
    if onset is not None and not text:
        file.problems.append(f"{where}: an event without label; label it, or name one with --default_label")
        return
    if file.kind == "table" and recording is None and NAME in cells:
        file.problems.append(f"{where}: the file name is empty")
        return
    # Labels of a whole recording stand in one cell, as in the challenge's tables.
    texts = [text] if onset is not None else [part.strip() for part in text.split(",")]
    for label in texts:
        annotation = Annotation(recording, options.rename.get(label, label) or None, onset, offset, where)
        file.annotations.append(annotation)
