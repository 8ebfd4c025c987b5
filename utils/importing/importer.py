"""Makes a data set of recordings and their annotations: clips, tables, split and settings."""

import json
import shlex
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from utils.audio.origin import table_digest
from utils.dataset.subsets import (
    SUBSETS,
    SYNTHETIC,
    UNLABELLED,
    VALIDATION,
    WEAK,
    table_paths,
    write_subset_table,
)
from utils.dataset.summary import class_counts, count_table
from utils.dataset.tables import Clip, Event
from utils.importing.annotations import ReadingOptions
from utils.importing.clips import PlannedClip, cut_recording, with_distinct_names, write_clips
from utils.importing.settings_file import feature_values, settings_text
from utils.importing.sources import LABELS_SHOWN, Source, Sources, find_sources
from utils.importing.split import choose_validation, keep_some
from utils.settings.groups import FeatureSettings, check_labels
from utils.settings.overrides import DATASET_SETTINGS_NAME
from utils.system.errors import SedError, refuse_all
from utils.system.files import claimed, identity, make_folder, written_whole
from utils.system.log import logger
from utils.system.progress import describe_seconds, progress
from utils.system.terminal import short_path
from utils.system.words import counted, did_you_mean, name_some

RECORD = "metadata/import.json"  # in the data set: what it was made from, to go on where a call was stopped
LOCK = "metadata/.import.lock"
RUNME = Path(__file__).resolve().parents[2] / "runme.sh"
SPLIT_UNITS = ("recording", "folder", "clip")
UNANNOTATED = ("skip", "unlabelled", "eventless")
EVENTLESS = ""  # the class of the clips without events, in the split only


@dataclass(frozen=True)
class ImportOptions:
    """How recordings become a data set.

    Attributes
    ----------
    reading : ReadingOptions
        How annotation files are read.
    labels : tuple of str or None
        Labels to take, in the order of the model's outputs; None takes all, sorted.
    clip_seconds, overlap : float
        Length of the clips of recordings that are longer, and how much two neighbours share, in s.
    shortest_event : float
        Pieces of events that are shorter are left out where a clip ends, in s.
    eventless_fraction : float
        Of the clips without events, how many are taken.
    validation_fraction : float
        Of the events.
    split_by : str
        One of `SPLIT_UNITS`: what stands in one part as a whole.
    unannotated : str
        One of `UNANNOTATED`: what becomes of recordings that no annotation mentions.
    seed : int
        Of the split and of the choice of clips without events.
    iterations, batch_size : int
        For the settings file.
    """

    reading: ReadingOptions
    labels: tuple[str, ...] | None
    clip_seconds: float
    overlap: float
    shortest_event: float
    eventless_fraction: float
    validation_fraction: float
    split_by: str
    unannotated: str
    seed: int
    iterations: int
    batch_size: int

    def __post_init__(self) -> None:
        if self.overlap >= self.clip_seconds:
            raise SedError(
                f"--overlap {self.overlap:g} s must be less than --clip_seconds {self.clip_seconds:g} s"
            )
        if self.split_by == "clip" and self.overlap:
            raise SedError(
                "--split_by clip needs --overlap 0: else training and validation would share sound"
            )


def import_annotations(
    paths: Sequence[Path], output_dir: Path, options: ImportOptions, features: FeatureSettings
) -> None:
    """Make a data set in `output_dir` of recordings and annotations in files and folders.

    The sources are only read. A call that was stopped goes on where it was; the validation table is written
    last, so a data set that has one is whole.

    Raises
    ------
    SedError
        If annotations cannot be understood, nothing is left of them, or the folder holds another data set.
        Then nothing is written.
    """
    for path in paths:
        if path.is_dir() and output_dir.resolve().is_relative_to(path.resolve()):
            raise SedError(
                f"{output_dir}: lies in {path}, where it would be searched too; take another place"
            )
    sources = find_sources(paths, options.reading)
    for note in sources.notes:
        logger.info(note)
    refuse_all(sources.problems, logger.info)
    chosen = usable_recordings(sources, options)
    clips = with_distinct_names(
        [
            clip
            for source in chosen
            for clip in cut_recording(source, options.clip_seconds, options.overlap, options.shortest_event)
        ]
    )
    clips = without_some_eventless(clips, options)
    labels = options.labels or tuple(sorted({label for one in clips for label in one.clip.labels or ()}))
    subsets = divide(clips, labels, options)
    settings = feature_values(labels, chosen, options.clip_seconds, features)
    text = settings_text(settings, iterations=options.iterations, batch_size=options.batch_size)
    record = {"options": asdict(options), "sources": [identity(source.file.path) for source in chosen]}
    record["tables"] = {name: table_digest(one.clip for one in part) for name, part in subsets.items()}
    with claimed(output_dir / LOCK, output_dir):
        if begin(output_dir, record):
            logger.info(f"{output_dir} has been made from these recordings already")
        else:
            write_dataset(output_dir, subsets, text)
    report(output_dir, subsets, labels, settings)


def usable_recordings(sources: Sources, options: ImportOptions) -> list[Source]:
    """Return the recordings that make up the data set, with the labels that are wanted."""
    require_annotated(sources.recordings)
    recordings = with_unannotated(sources.recordings, options.unannotated)
    counts = Counter(label for one in recordings for label in labels_in(one))
    note_alike(counts, options.labels or counts)
    if options.labels:
        require_labels(options.labels, counts)
        recordings = with_labels(recordings, options.labels)
    labels = {label for one in recordings for label in labels_in(one)}
    if not labels:
        raise SedError("the annotations hold no labels that are wanted; look at --labels and --columns")
    check_labels(tuple(labels))
    return recordings


def require_annotated(recordings: list[Source]) -> None:
    """Raise SedError where no recording was found, or none of them has an annotation."""
    if not recordings:
        raise SedError(
            "there are no recordings in the files and folders given; name the folder that holds them"
        )
    if not any(source.is_annotated for source in recordings):
        raise SedError(
            f"none of the {len(recordings)} recordings has an annotation; name a label file like its "
            "recording (a.txt for a.wav), list the recordings in a table, or put them into a "
            "folder for each class"
        )


def with_unannotated(recordings: list[Source], unannotated: str) -> list[Source]:
    """Return the recordings; those that no annotation mentions become what the option says."""
    without = [source for source in recordings if not source.is_annotated]
    if not without:
        return recordings
    what = {"skip": "left out", "unlabelled": "taken as unlabelled", "eventless": "taken as without events"}
    logger.info(
        f"Without annotation: {counted(len(without), 'recording')} "
        f"({name_some([one.file.name for one in without])}), {what[unannotated]} (--unannotated)"
    )
    if unannotated == "skip":
        return [source for source in recordings if source.is_annotated]
    return [
        replace(source, is_annotated=source.is_annotated or unannotated == "eventless")
        for source in recordings
    ]


def require_labels(labels: Sequence[str], counts: Counter[str]) -> None:
    """Raise SedError where a wanted label does not occur; mention those that are left out."""
    for label in labels:
        if label not in counts:
            raise SedError(
                f"--labels: nothing is labelled '{label}'{did_you_mean(label, counts)}; the labels are "
                f"{name_some(sorted(counts), LABELS_SHOWN)}"
            )
    if others := sorted(counts.keys() - set(labels)):
        numbers = [f"{label} ({counts[label]})" for label in others]
        logger.info(f"Left out (--labels): {name_some(numbers, LABELS_SHOWN)}")


def with_labels(recordings: list[Source], labels: Sequence[str]) -> list[Source]:
    """Return the recordings with these labels alone.

    A recording whose labels of the whole are all others is left out: a table of weak labels cannot list it.
    """
    return [
        replace(
            source,
            events={event: None for event in source.events if event.label in labels},
            labels={label: None for label in source.labels if label in labels},
        )
        for source in recordings
        if not source.labels or set(source.labels) & set(labels)
    ]


def labels_in(source: Source) -> list[str]:
    """Return the labels of a recording's events and of the whole recording."""
    return [*(event.label for event in source.events), *source.labels]


def note_alike(counts: Counter[str], wanted: Collection[str]) -> None:
    """Mention labels that may be meant as one, of which at least one is wanted."""
    by_key = {label.casefold(): label for label in counts}
    for label in sorted(counts):
        others = [one for one in counts if one != label and one.casefold() == label.casefold()]
        close = others or [by_key[one] for one in get_close_matches(label.casefold(), by_key, 2, 0.85)]
        for other in close:
            if (counts[label], label) < (counts[other], other) and (label in wanted or other in wanted):
                logger.info(
                    f"Labels that look alike: {label} ({counts[label]}) and {other} ({counts[other]}); if "
                    f"they are one class, add: --rename '{label}={other}'"
                )


def without_some_eventless(clips: list[PlannedClip], options: ImportOptions) -> list[PlannedClip]:
    """Return the clips with the wanted fraction of those without events."""
    eventless = [i for i, one in enumerate(clips) if one.source.is_annotated and not one.clip.labels]
    kept = keep_some(eventless, options.eventless_fraction, options.seed)
    dropped = set(eventless) - kept
    if dropped:
        logger.info(
            f"Left out: {len(dropped)} of {len(eventless)} clips without events (--eventless_fraction)"
        )
    return [one for i, one in enumerate(clips) if i not in dropped]


def split_unit(clip: PlannedClip, split_by: str) -> str:
    """Return the name of what must stand in one part of the split as a whole."""
    if split_by == "clip":
        return clip.clip.name
    path = clip.source.file.path.absolute()
    return str(path.parent if split_by == "folder" else path)


def divide(
    clips: list[PlannedClip], labels: Sequence[str], options: ImportOptions
) -> dict[str, list[PlannedClip]]:
    """Return the clips of each subset, sorted by name.

    Validation needs times. Only where there are none at all, a label of a validation clip is taken as an
    event from its start to its end.
    """
    subsets: dict[str, list[PlannedClip]] = {name: [] for name in (WEAK, SYNTHETIC, UNLABELLED, VALIDATION)}
    units: dict[str, list[PlannedClip]] = defaultdict(list)
    has_times = any(one.clip.events for one in clips)
    for one in clips:
        if not one.source.is_annotated:
            subsets[UNLABELLED].append(replace(one, clip=Clip(one.clip.name)))
        elif one.clip.events is None and has_times:
            subsets[WEAK].append(one)
        else:
            units[split_unit(one, options.split_by)].append(one)
    if len(units) < 2:
        raise SedError(
            f"there is only one {options.split_by} to divide into training and validation; add others, or "
            "divide by --split_by clip"
        )
    classes = [*labels, EVENTLESS]
    counts = np.zeros((len(units), len(classes)))
    for row, of_unit in enumerate(units.values()):
        for one in of_unit:
            for label in [event.label for event in one.clip.events or ()] or one.clip.labels or [EVENTLESS]:
                counts[row, classes.index(label)] += 1
    to_validate = choose_validation(counts, options.validation_fraction, options.seed)
    for of_unit, is_validation in zip(units.values(), to_validate, strict=True):
        for one in of_unit:
            if is_validation:
                subsets[VALIDATION].append(one if one.clip.events is not None else with_whole_events(one))
            elif has_times:
                subsets[SYNTHETIC].append(one)
            elif one.clip.labels:  # a table of weak labels cannot list a clip with none
                subsets[WEAK].append(one)
    if not subsets[VALIDATION]:
        raise SedError(
            "too few recordings to validate on any; raise --validation_fraction, or add recordings"
        )
    if not has_times:
        logger.info(
            "The annotations have no times, so in validation a label counts from its clip's start to its "
            "end: of the scores, look at mAP"
        )
    return {name: sorted(part, key=lambda one: one.clip.name) for name, part in subsets.items() if part}


def with_whole_events(planned: PlannedClip) -> PlannedClip:
    events = tuple(
        Event(0.0, round(planned.seconds, 6), label) for label in sorted(planned.clip.labels or ())
    )
    return replace(planned, clip=replace(planned.clip, events=events))


def begin(output_dir: Path, record: dict[str, Any]) -> bool:
    """Write down what the data set is made from; return whether it is there already.

    Raises
    ------
    SedError
        If the folder holds tables or clips of something else.
    """
    path = output_dir / RECORD
    text = json.dumps(record, indent=1)
    if path.is_file():
        if path.read_text(encoding="utf-8") != text:
            raise SedError(
                f"{output_dir}: was imported from other recordings, annotations or options; take another "
                "--output_dir, or remove this folder"
            )
        return any(table.is_file() for table in table_paths(output_dir, SUBSETS[VALIDATION]))
    if any(table.is_file() for subset in SUBSETS.values() for table in table_paths(output_dir, subset)):
        raise SedError(f"{output_dir}: holds the tables of another data set; take another --output_dir")
    with written_whole(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
    return False


def write_dataset(output_dir: Path, subsets: dict[str, list[PlannedClip]], settings: str) -> None:
    """Write the clips that are not there yet, then settings and tables, that of the validation last."""
    to_write = []
    for name, part in subsets.items():
        folder = make_folder(output_dir / SUBSETS[name].audio_folder)
        to_write += [(one, folder) for one in part if not (folder / one.clip.name).exists()]
    already = sum(map(len, subsets.values())) - len(to_write)
    if already:
        logger.info(f"{already} clips are there from an earlier call")
    for _ in progress(write_clips(to_write), "Clips", len(to_write)):
        pass
    path = output_dir / DATASET_SETTINGS_NAME
    if not path.is_file():
        with written_whole(path) as unfinished:
            unfinished.write_text(settings, encoding="utf-8")
    for name, part in subsets.items():
        write_subset_table(output_dir, SUBSETS[name], [one.clip for one in part])


def report(
    output_dir: Path, subsets: dict[str, list[PlannedClip]], labels: Sequence[str], settings: dict[str, Any]
) -> None:
    """Say what the data set holds, and how to go on."""
    for name, part in subsets.items():
        clips = [one.clip for one in part]
        recordings = len({one.source.file.path for one in part})
        seconds = sum(one.seconds for one in part)
        eventless = sum(not clip.labels for clip in clips) if name != UNLABELLED else 0
        without = f", {counted(eventless, 'clip')} without events" * bool(eventless)
        found = f"{counted(len(clips), 'clip')} of {counted(recordings, 'recording')}"
        logger.info(f"{name}: {found}, {describe_seconds(seconds)}{without}")
    counts = {name: class_counts((one.clip for one in part), labels) for name, part in subsets.items()}
    for line in count_table(counts):
        logger.info(line)
    absent = [label for label in labels if not occurs(label, subsets[VALIDATION])]
    if absent:
        logger.info(f"Not in the validation: {', '.join(absent)}; for that, a class needs two recordings")
    logger.info(
        f"Settings: {output_dir / DATASET_SETTINGS_NAME} ({counted(len(labels), 'label')}, "
        f"{settings['sample_rate']} Hz, clips of {settings['clip_seconds']:g} s)"
    )
    rates = {one.source.info.samplerate for part in subsets.values() for one in part}
    if len(rates) > 1:
        logger.info(
            f"The recordings have {min(rates)} to {max(rates)} Hz; what is above "
            f"{settings['sample_rate'] // 2} Hz is left out, unless the settings have another sample_rate"
        )
    dataset, runme = (shlex.quote(short_path(path)) for path in (output_dir, RUNME))
    logger.info(f"Go on with: DATASET_DIR={dataset} bash {runme}")


def occurs(label: str, clips: Iterable[PlannedClip]) -> bool:
    return any(label in (one.clip.labels or ()) for one in clips)
