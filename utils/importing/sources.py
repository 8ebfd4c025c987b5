"""Finds recordings and their annotations in folders, and says which belong together."""

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import soundfile

from utils.audio.reading import problem_of
from utils.audio.recordings import AUDIO_SUFFIXES, AudioFile, files_below, find_recordings
from utils.dataset.tables import Event
from utils.importing.annotations import (
    ANNOTATION_SUFFIXES,
    Annotation,
    AnnotationFile,
    ReadingOptions,
    read_annotations,
)
from utils.system.words import counted, name_key, name_some

OFFSET_TOLERANCE = 0.5  # s that an event may reach past its recording's end; it is cut there
LABELS_SHOWN = 10  # of a list in a message


@dataclass
class Source:
    """A recording and what its annotations say.

    Attributes
    ----------
    file : AudioFile
    info : soundfile._SoundFileInfo
        Its header.
    events : dict
        Its `Event`s as keys, so that none is there twice.
    labels : dict
        Labels of the whole recording, as keys.
    is_annotated : bool
        Whether an annotation lists it, with or without events.
    """

    file: AudioFile
    info: soundfile._SoundFileInfo
    events: dict[Event, None] = field(default_factory=dict)
    labels: dict[str, None] = field(default_factory=dict)
    is_annotated: bool = False

    @property
    def seconds(self) -> float:
        return self.info.frames / self.info.samplerate


@dataclass
class Sources:
    """All recordings that were found, sorted by name, and what there is to say about them.

    Attributes
    ----------
    recordings : list of Source
    problems : list of str
        What must be corrected before an import, each with its place.
    notes : list of str
        What is left out, and how annotations were read.
    """

    recordings: list[Source]
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Matcher:
    """Finds the recording that a name in a table, or the name of an annotation file, stands for."""

    def __init__(self, recordings: list[Source]) -> None:
        self.by_name: dict[str, list[Source]] = defaultdict(list)
        for source in recordings:
            path = source.file.path
            for name in {name_key(path.name), name_key(path.stem)}:
                self.by_name[name].append(source)

    def named(self, name: str, folder: Path) -> list[Source]:
        """Return the recordings that a cell may mean, which holds a name or a path, with or without suffix.

        Those whose folders are in the path count first, then those in the `folder` of the table.
        """
        parts = [part for part in name_key(name).replace("\\", "/").split("/") if part not in ("", ".", "..")]
        if not parts:
            return []
        stem, dot, suffix = parts[-1].rpartition(".")
        found = self.by_name.get(parts[-1]) or self.by_name.get(
            stem if f".{suffix}" in AUDIO_SUFFIXES else "", []
        )
        for count in range(len(parts) - 1, 0, -1):
            folders = parts[-1 - count : -1]
            inside = [
                one for one in found if [name_key(p) for p in one.file.path.parent.parts][-count:] == folders
            ]
            if inside:
                return inside
        return self.nearest(found, folder)

    def of_file(self, path: Path) -> list[Source]:
        """Return the recordings that an annotation file may be about, by its name.

        It begins with the recording's name, with or without suffix: `a.txt`, `a.wav.txt`,
        `a.Table.1.selections.txt`. Failing that, it is about the only recording in its folder.
        """
        words = name_key(path.name).split(".")
        for count in range(len(words) - 1, 0, -1):
            found = self.nearest(self.by_name.get(".".join(words[:count]), []), path.parent)
            if found:
                return found
        beside = {
            id(one): one
            for found in self.by_name.values()
            for one in found
            if one.file.path.parent == path.parent
        }
        return list(beside.values()) if len(beside) == 1 else []

    @staticmethod
    def nearest(found: list[Source], folder: Path) -> list[Source]:
        return [one for one in found if one.file.path.parent == folder] or found


def find_sources(paths: Sequence[Path], options: ReadingOptions) -> Sources:
    """Read the headers of all recordings, and all annotations, in files and folders.

    Without any annotation file, the folders that hold the recordings are their labels.

    Parameters
    ----------
    paths : sequence of Path
        Folders, which are searched with all below them, recordings and annotation files.
    options : ReadingOptions
    """
    annotation_paths = [path for place in paths for path in annotation_files(place)]
    found, unreadable = find_recordings([path for path in paths if path not in annotation_paths])
    # A folder of annotations alone has no recordings, which is no mistake.
    sources = Sources([], problems=[one.reason for one in unreadable if not one.path.is_dir()])
    for file in found:
        try:
            info = soundfile.info(os.fsencode(file.path))
        except (soundfile.SoundFileError, OSError) as error:
            sources.notes.append(f"Left out: {file.path} cannot be read as audio: {problem_of(error)}")
            continue
        if info.frames:
            sources.recordings.append(Source(file, info))
        else:
            sources.notes.append(f"Left out: {file.path} holds no samples")

    files = []
    for path in annotation_paths:
        content = read_annotations(path, options)
        if isinstance(content, str) and path in paths:
            sources.problems.append(content)
        elif isinstance(content, str):
            sources.notes.append(f"Not read: {content}")
        else:
            files.append(content)
            sources.problems += content.problems
    if files:
        note_kinds(files, sources)
        match(files, sources)
    else:
        label_by_folder(sources, paths, options)
    return sources


def annotation_files(place: Path) -> list[Path]:
    """Return the files below a folder that may be annotations, without hidden ones; a file as it is."""
    if not place.is_dir():
        return [place] if place.suffix.lower() in ANNOTATION_SUFFIXES and place.is_file() else []
    return files_below(place, ANNOTATION_SUFFIXES)


def note_kinds(files: list[AnnotationFile], sources: Sources) -> None:
    counts = defaultdict(list)
    for file in files:
        counts[file.kind, file.encoding].append(file.path.name)
    for (kind, encoding), names in counts.items():
        others = "" if encoding == "UTF-8" else f", read as {encoding}"
        sources.notes.append(f"{len(names)} × {kind} ({name_some(names)}){others}")


def match(files: list[AnnotationFile], sources: Sources) -> None:
    """Give each annotation to its recording."""
    matcher = Matcher(sources.recordings)
    missing: dict[str, None] = {}
    for file in files:
        own = matcher.of_file(file.path)
        names = {annotation.recording for annotation in file.annotations} or {None}
        found = {name: matcher.named(name, file.path.parent) if name else own for name in names}
        for name, candidates in found.items():
            if len(candidates) > 1:
                paths = name_some([str(one.file.path) for one in candidates])
                sources.problems.append(f"{file.path}: '{name or file.path.name}' can mean any of {paths}")
            elif not candidates:
                missing[name or f"of {file.path.name}"] = None
            else:
                candidates[0].is_annotated = True
        for annotation in file.annotations:
            if len(found[annotation.recording]) == 1:
                assign(annotation, found[annotation.recording][0], sources)
    if missing:
        sources.notes.append(
            f"Left out: annotations of {counted(len(missing), 'recording')} not found "
            f"({name_some(list(missing))})"
        )


def assign(annotation: Annotation, source: Source, sources: Sources) -> None:
    """Add an annotation to its recording."""
    if annotation.label is None:
        return
    if annotation.onset is None or annotation.offset is None:
        source.labels[annotation.label] = None
    elif annotation.offset <= source.seconds + OFFSET_TOLERANCE and annotation.onset < source.seconds:
        offset = min(annotation.offset, source.seconds)
        source.events[Event(annotation.onset, offset, annotation.label)] = None
    else:
        sources.problems.append(
            f"{annotation.where}: the event from {annotation.onset:g} to {annotation.offset:g} s is not "
            f"within {source.file.path}, which is {source.seconds:g} s long"
        )


def label_by_folder(sources: Sources, paths: Sequence[Path], options: ReadingOptions) -> None:
    """Label each recording with the first folder below the path given, or with one of several such paths."""
    given = [path for path in paths if path.is_dir()]
    for source in sources.recordings:
        place = source.file.path
        above = next((path for path in given if place.is_relative_to(path)), None)
        if above is None:
            continue
        folder, *below = place.relative_to(above).parts
        if not below and len(given) > 1:
            folder, below = above.absolute().name, [place.name]
        if below:
            source.labels[options.rename.get(folder, folder)] = None
            source.is_annotated = True
    labels = sorted({label for source in sources.recordings for label in source.labels})
    if labels:
        shown = name_some(labels, LABELS_SHOWN)
        sources.notes.append(f"No annotation files, so the folders are the labels: {shown}")
