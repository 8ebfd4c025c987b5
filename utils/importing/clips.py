"""Cuts recordings into clips with their events, and writes the clips."""

import math
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from utils.audio.reading import open_recording
from utils.dataset.tables import Clip, Event
from utils.importing.sources import Source
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
        if offset - onset >= min(shortest, event.offset - event.onset) - 1e-9:
            events.append(Event(round(onset, 6), round(offset, 6), event.label))
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
    taken: dict[str, Source] = {}
    result = []
    for one in clips:
        path, number, name = Path(one.clip.name), 1, one.clip.name
        while name.casefold() in taken:
            number += 1
            name = f"{path.stem}_{number}{path.suffix}"
        taken[name.casefold()] = one.source
        clip = Clip(name, one.clip.labels, one.clip.events)
        result.append(PlannedClip(one.source, one.start, one.seconds, one.is_whole, clip))
    return result


def write_clip(planned: PlannedClip, folder: Path) -> None:
    """Write a clip into a folder, with the sample rate and channels of its recording."""
    path = folder / planned.clip.name
    source = planned.source
    if planned.is_whole:
        with written_whole(path) as unfinished:
            shutil.copyfile(source.file.path, unfinished)
        return
    rate, subtype = source.info.samplerate, source.info.subtype
    dtype, written = AS_INTEGERS.get(subtype, ("float64", "FLOAT" if subtype in AS_FLOATS else "PCM_24"))
    with open_recording(source.file.path) as file:
        file.seek(round(planned.start * rate))
        samples: np.ndarray = file.read(round(planned.seconds * rate), dtype=dtype, always_2d=True)
    with written_whole(path) as unfinished:
        soundfile.write(unfinished, samples, rate, subtype=written, format=path.suffix[1:].upper())
