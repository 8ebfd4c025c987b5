"""Cuts public recordings into the isolated sound events that HomeMix is mixed from.

Recordings are split into training, validation and test before they are cut, so that no recording and no
speaker is in two of them. appendixes/homemix.md names the repositories and their licenses.
"""

import hashlib
import re
import shlex
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
from numpy.random import Generator

from utils.audio.reading import RESAMPLING_QUALITY, mean_of_channels, open_recording, read_block
from utils.system.errors import SedError
from utils.system.log import logger

REPOSITORIES = {
    "Animal-Sound-Dataset": "https://github.com/YashNita/Animal-Sound-Dataset",
    "free-spoken-digit-dataset": "https://github.com/Jakobovski/free-spoken-digit-dataset",
    "baby_cry_detection": "https://github.com/giulbia/baby_cry_detection",
}
FOLDERS = {
    "Speech": ("free-spoken-digit-dataset/recordings",),
    "Dog": ("Animal-Sound-Dataset/Kopek-Part1", "Animal-Sound-Dataset/Kopek-Part2"),
    "Cat": ("Animal-Sound-Dataset/Kedi-Part1", "Animal-Sound-Dataset/Kedi-Part2"),
    "Bird": ("Animal-Sound-Dataset/Kus-Part1", "Animal-Sound-Dataset/Kus-Part2"),
    "Cow": ("Animal-Sound-Dataset/Inek",),
    "Sheep": ("Animal-Sound-Dataset/Koyun",),
    "Lion": ("Animal-Sound-Dataset/Aslan",),
    "Frog": ("Animal-Sound-Dataset/Kurbaga",),
    "Chicken": ("Animal-Sound-Dataset/Tavuk",),
    "Baby_cry": ("baby_cry_detection/data/301 - Crying baby",),
}
LABELS = tuple(FOLDERS)
BACKGROUND = "background"  # the name of the room recordings beside the labels
BACKGROUND_FOLDERS = ("baby_cry_detection/data/901 - Silence",)
SOURCE_SUFFIXES = (".wav", ".ogg")

SPLIT_ENDS = {"train": 60, "validation": 80, "test": 100}  # percent of the recordings, cumulative
SPEAKER = re.compile(r"\d+_(.+)_\d+")  # DIGIT_SPEAKER_NUMBER
PART_SUFFIX = re.compile(r"-[A-Z]$|_\d+$")  # long recordings of crying are stored as pieces of 5 s

SAMPLE_RATE = 22050  # Hz; few of the recordings have more
FRAME_SAMPLES = SAMPLE_RATE // 50  # 20 ms; levels are measured in frames
RANGE_DB = 30.0  # a frame this far below the recording's loudest one is quiet
QUIET_FRAMES = 12  # 0.25 s in whole frames; a pause this long separates two events
SHORTEST_EVENT = SAMPLE_RATE // 4  # samples (0.25 s); shorter ones are mostly clicks
LONGEST_EVENT = 5 * SAMPLE_RATE  # samples (5 s); longer events are truncated to half a clip
MOST_EVENTS = 4  # per recording, those with most energy: long recordings must not outweigh the others
PEAK = 0.5  # of an event, full scale = 1

UTTERANCES = 40  # per speaker
DIGITS = (2, 6)  # per utterance; a digit takes about 0.45 s
DIGIT_PAUSES = (0.02, 0.12)  # s; short enough that most utterances stay one event


@dataclass(frozen=True)
class SoundBank:
    """The sounds that the clips of one split are mixed from.

    Attributes
    ----------
    events : dict of str to list of np.ndarray
        The isolated events of each class, shape (samples,), float32, 22.05 kHz, peak 0.5.
    backgrounds : list of np.ndarray
        Room recordings of the same form, at their own level.
    """

    events: dict[str, list[np.ndarray]]
    backgrounds: list[np.ndarray]


def check_sources(sources: Path) -> None:
    """Raise a SedError that says what to download where a repository is absent."""
    absent = [name for name in REPOSITORIES if not (sources / name).is_dir()]
    if absent:
        targets = {name: shlex.quote(str(sources / name)) for name in absent}
        clone = " && ".join(f"git clone --depth 1 {REPOSITORIES[name]} {targets[name]}" for name in absent)
        raise SedError(
            f"{sources}: lacks {', '.join(absent)}; HomeMix is cut from recordings in public GitHub "
            f"repositories, which this command does not download: run {clone}"
        )


def list_recordings(sources: Path, folders: tuple[str, ...]) -> list[Path]:
    """Return the audio files in folders of the sources."""
    for folder in folders:
        if not (sources / folder).is_dir():
            raise SedError(f"{sources / folder}: there is no such folder; clone its repository again")
    return [
        path
        for folder in folders
        for path in (sources / folder).iterdir()
        if path.suffix.lower() in SOURCE_SUFFIXES
    ]


def origin_of(label: str, path: Path) -> str:
    """Return the speaker of a file, or the recording that it is a piece of: its files stay in one split.

    The room recordings are all pieces of a single one, and are split all the same.
    """
    if label == "Speech":
        speaker = SPEAKER.fullmatch(path.stem)
        if speaker is None:
            raise SedError(f"{path}: is not named DIGIT_SPEAKER_NUMBER.wav; clone its repository again")
        return speaker[1]
    return PART_SUFFIX.sub("", path.stem) if label == "Baby_cry" else path.name


def split_recordings(label: str, paths: list[Path]) -> dict[str, list[Path]]:
    """Split the recordings of a class.

    They are taken in the order of the SHA-1 of their names, files of the same origin together. Some have the
    same content under different names; only the first of them is kept.

    Parameters
    ----------
    label : str
        The class, or `BACKGROUND`.
    paths : list of Path
        Its recordings, in any order.

    Returns
    -------
    dict of str to list of Path
        The recordings of each split, sorted by name.
    """
    by_origin: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        by_origin[origin_of(label, path)].append(path)
    splits: dict[str, list[Path]] = {split: [] for split in SPLIT_ENDS}
    contents: set[bytes] = set()
    taken = 0
    for origin in sorted(by_origin, key=lambda name: hashlib.sha1(name.encode()).digest()):
        split = next(name for name, end in SPLIT_ENDS.items() if 100 * taken < end * len(paths))
        taken += len(by_origin[origin])
        for path in sorted(by_origin[origin]):
            content = hashlib.sha1(path.read_bytes()).digest()
            if content not in contents:
                splits[split].append(path)
            contents.add(content)
    return {split: sorted(recordings, key=lambda path: path.name) for split, recordings in splits.items()}


def read_recording(path: Path) -> np.ndarray:
    """Read a recording as one channel at 22.05 kHz, shape (samples,), float32."""
    with open_recording(path) as file:
        samples = mean_of_channels(read_block(path, file, file.frames))
        resampled = soxr.resample(samples, file.samplerate, SAMPLE_RATE, quality=RESAMPLING_QUALITY)
    return resampled.astype(np.float32)


def find_events(samples: np.ndarray) -> list[tuple[int, int]]:
    """Find the isolated events of a recording.

    Parameters
    ----------
    samples : np.ndarray, shape (samples,)

    Returns
    -------
    list of (int, int)
        First sample and sample after the last of each event, in order of time. An event starts and ends with
        a frame within 30 dB of the loudest one, and contains no pause of 0.25 s.
    """
    frames = samples[: len(samples) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    levels = np.sqrt(np.mean(frames**2, axis=1))
    audible = np.flatnonzero(levels > levels.max(initial=0) * 10 ** (-RANGE_DB / 20))
    if not audible.size:
        return []
    pauses = np.flatnonzero(np.diff(audible) > QUIET_FRAMES)
    events = []
    for run in np.split(audible, pauses + 1):
        begin, end = run[0] * FRAME_SAMPLES, (run[-1] + 1) * FRAME_SAMPLES
        if end - begin >= SHORTEST_EVENT:
            events.append((begin, min(end, begin + LONGEST_EVENT)))
    return events


def cut_events(samples: np.ndarray, most: int = MOST_EVENTS) -> list[np.ndarray]:
    """Cut the events with most energy out of a recording, in order of time, each scaled to the same peak."""

    def energy(event: tuple[int, int]) -> float:
        return float(np.sum(samples[slice(*event)] ** 2))

    strongest = sorted(find_events(samples), key=energy, reverse=True)[:most]
    events = [samples[slice(*event)] for event in sorted(strongest)]
    return [event * (PEAK / np.abs(event).max()) for event in events]


def say_digits(digits: list[np.ndarray], generator: Generator) -> np.ndarray:
    """Join digits drawn from those of a speaker, with short pauses between them."""
    parts = []
    for chosen in generator.integers(len(digits), size=generator.integers(*DIGITS, endpoint=True)):
        pause = np.zeros(int(generator.uniform(*DIGIT_PAUSES) * SAMPLE_RATE), np.float32)
        parts += [digits[chosen], pause]
    return np.concatenate(parts)


def speak(recordings: list[Path], generator: Generator) -> list[np.ndarray]:
    """Join digits to utterances of each speaker, and cut the strongest event out of each utterance."""
    by_speaker: dict[str, list[np.ndarray]] = defaultdict(list)
    for path in recordings:
        by_speaker[origin_of("Speech", path)].append(read_recording(path))
    utterances = [
        say_digits(by_speaker[speaker], generator)
        for speaker in sorted(by_speaker)
        for _ in range(UTTERANCES)
    ]
    return [event for utterance in utterances for event in cut_events(utterance, most=1)]


def cut_sound_bank(sources: Path, split: str, seed: int) -> SoundBank:
    """Cut the recordings of a split.

    Parameters
    ----------
    sources : Path
        Folder with clones of the `REPOSITORIES`.
    split : str
        `train`, `validation` or `test`.
    seed : int
        Of the random numbers by which digits are joined.

    Raises
    ------
    SedError
        If a repository or folder is absent, a recording cannot be read, or a class has no event.
    """
    check_sources(sources)
    events: dict[str, list[np.ndarray]] = {}
    generator = np.random.default_rng([seed, list(SPLIT_ENDS).index(split)])
    for label, folders in FOLDERS.items():
        recordings = split_recordings(label, list_recordings(sources, folders))[split]
        if label == "Speech":
            events[label] = speak(recordings, generator)
        else:
            events[label] = [event for path in recordings for event in cut_events(read_recording(path))]
        require(events[label], sources / folders[0], label, split)
    rooms = split_recordings(BACKGROUND, list_recordings(sources, BACKGROUND_FOLDERS))[split]
    require(rooms, sources / BACKGROUND_FOLDERS[0], BACKGROUND, split)
    counts = ", ".join(f"{label} {len(cut)}" for label, cut in events.items())
    logger.info(f"Sound bank ({split}): {counts}; room recordings {len(rooms)}")
    return SoundBank(events, [read_recording(path) for path in rooms])


def require(sounds: list, folder: Path, label: str, split: str) -> None:
    """Raise a SedError where a split has no sound of a class."""
    if not sounds:
        raise SedError(f"{folder}: no recordings of {label} for {split}; clone its repository again")
