"""Cuts recordings into clips with their events, and writes the clips."""

import math
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np
import soundfile

from utils.audio.reading import open_recording
from utils.dataset.tables import Clip, Event, seconds_cell
from utils.importing.sources import Source
from utils.system.errors import SedError
from utils.system.files import written_whole

UNSAFE = re.compile(r'[\x00-\x1f"\\:*?<>|\ud800-\udfff]')  # what tables or some file systems do not take
LONGEST_NAME = 200  # bytes of a clip's name without times and suffix; file systems take 255
FLAC_CHANNELS, FLAC_RATE = 8, 655_350  # at most
# The samples of these are kept as they are; compressed ones are decoded into 24 bits.
AS_INTEGERS = {
    "PCM_S8": ("int16", "PCM_16"),
    "PCM_U8": ("int16", "PCM_16"),
    "PCM_16": ("int16", "PCM_16"),
    "PCM_24": ("int32", "PCM_24"),
}
AS_FLOATS = {"FLOAT", "DOUBLE", "PCM_32"}


@dataclass(frozen=True)
class PlannedClip:
    """A clip to be written.

    Attributes
    ----------
    source : Source
        The recording that it is of.
    start, seconds : float
        Where in the recording it begins, and its length.
    is_whole : bool
        Whether it is the whole recording, whose file is copied.
    clip : Clip
        Its file name, labels and events; the events are None where no times are known.
    """

    source: Source
    start: float
    seconds: float
    is_whole: bool
    clip: Clip


def cut_recording(source: Source, clip_seconds: float, overlap: float, shortest: float) -> list[PlannedClip]:
    """Plan the clips of a recording; one that is no longer than a clip is kept whole.

    Clips begin every `clip_seconds` - `overlap`, and the last one ends with the recording. An event is cut
    where its clip ends; a piece shorter than `shortest` (s) is left out unless the event is that short.
    A rest of that length has no clip of its own.
    """
    if source.seconds <= clip_seconds:
        return [planned(source, 0.0, source.seconds, True, shortest)]
    hop = clip_seconds - overlap
    count = 1 + max(0, math.ceil((source.seconds - shortest - clip_seconds) / hop))
    return [
        planned(source, start, min(clip_seconds, source.seconds - start), False, shortest)
        for start in (index * hop for index in range(count))
    ]


def planned(source: Source, start: float, seconds: float, is_whole: bool, shortest: float) -> PlannedClip:
    events = []
    for event in source.events:
        onset, offset = max(event.onset - start, 0.0), min(event.offset - start, seconds)
        if offset - onset < min(shortest, event.offset - event.onset) - 1e-9:
            continue
        onset, offset = (float(seconds_cell(seconds)) for seconds in (onset, offset))  # as the table has them
        if onset < offset:
            events.append(Event(onset, offset, event.label))
    events.sort(key=lambda event: (event.onset, event.offset, event.label))
    stem, suffix = plain_name(source, is_whole)
    name = f"{stem}{suffix}" if is_whole else f"{stem}_{start:09.3f}s{suffix}"
    if source.labels:
        labels = frozenset(source.labels) | {event.label for event in events}
        return PlannedClip(source, start, seconds, is_whole, Clip(name, labels))
    clip = Clip(name, frozenset(event.label for event in events), tuple(dict.fromkeys(events)))
    return PlannedClip(source, start, seconds, is_whole, clip)


def plain_name(source: Source, is_whole: bool) -> tuple[str, str]:
    """Return the file name without folders, and the suffix that the clip's format has."""
    path = Path(UNSAFE.sub("_", source.file.name))
    stem = "__".join([*path.parts[:-1], path.stem]).strip()
    while len(stem.encode()) > LONGEST_NAME:
        stem = stem[1:]
    if is_whole:
        return stem, path.suffix
    is_flac = source.info.channels <= FLAC_CHANNELS and source.info.samplerate <= FLAC_RATE
    return stem, ".flac" if is_flac and source.info.subtype not in AS_FLOATS else ".wav"


def with_distinct_names(clips: Sequence[PlannedClip]) -> list[PlannedClip]:
    """Return the clips with a number in those names that others have too, whatever the case."""
    taken: set[str] = set()
    result = []
    for one in clips:
        path, number, name = Path(one.clip.name), 1, one.clip.name
        while name.casefold() in taken:
            number += 1
            name = f"{path.stem}_{number}{path.suffix}"
        taken.add(name.casefold())
        result.append(replace(one, clip=replace(one.clip, name=name)))
    return result


def write_clips(clips: Sequence[tuple[PlannedClip, Path]]) -> Iterator[None]:
    """Write clips, each into the folder beside it, and yield after each."""
    in_order = sorted(clips, key=lambda pair: (str(pair[0].source.file.path), pair[0].start))
    for _, pairs in groupby(in_order, key=lambda pair: pair[0].source.file.path):
        of_source = list(pairs)
        for (planned, folder), samples in zip(of_source, samples_of(of_source), strict=True):
            write_clip(planned, folder, samples)
            yield


def samples_of(of_source: list[tuple[PlannedClip, Path]]) -> Iterator[np.ndarray | None]:
    """Yield the samples of one recording's clips, in their order; None of one that is the whole recording.

    The recording is read from its start to its end, as seeking in compressed ones is not exact.

    Raises
    ------
    SedError
        If the recording cannot be read, or is shorter than its header says.
    """
    first = of_source[0][0]
    if first.is_whole:
        yield None
        return
    path, info = first.source.file.path, first.source.info
    block_length = max(1, round(first.seconds * info.samplerate))
    with open_recording(path) as file:
        held, held_from = file.read(0, dtype=read_as(info.subtype), always_2d=True), 0
        for planned, _ in of_source:
            start = round(planned.start * info.samplerate)
            end = start + round(planned.seconds * info.samplerate)
            while held_from + len(held) < end:
                block = file.read(block_length, dtype=held.dtype.name, always_2d=True)
                if not len(block):
                    break
                dropped = min(max(start - held_from, 0), len(held))  # no later clip needs what comes before
                held, held_from = np.concatenate([held[dropped:], block]), held_from + dropped
            samples = held[start - held_from : end - held_from]
            if held_from > start or not len(samples):
                raise SedError(f"{path}: is shorter than its header says; convert it to another format")
            yield samples


def read_as(subtype: str) -> str:
    """Return the type that holds a recording's samples without loss."""
    return AS_INTEGERS[subtype][0] if subtype in AS_INTEGERS else "float64"


def write_clip(planned: PlannedClip, folder: Path, samples: np.ndarray | None) -> None:
    """Write a clip with its recording's sample rate and channels; without samples, copy the recording."""
    path, source = folder / planned.clip.name, planned.source
    with written_whole(path) as unfinished:
        if samples is None:
            shutil.copyfile(source.file.path, unfinished)
            return
        subtype = source.info.subtype
        written = AS_INTEGERS[subtype][1] if subtype in AS_INTEGERS else "PCM_24"
        written = "FLOAT" if subtype in AS_FLOATS else written
        soundfile.write(
            os.fsencode(unfinished),
            samples,
            source.info.samplerate,
            subtype=written,
            format=path.suffix[1:].upper(),
        )
