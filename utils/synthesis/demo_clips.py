"""Makes the demonstration data set: synthetic sounds in the challenge's layout, to try every stage on.

It shows that the pipeline works. Scores on it say nothing about real recordings.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import soundfile
from numpy.random import Generator

from utils.dataset.subsets import SUBSETS, SYNTHETIC, UNLABELLED, VALIDATION, WEAK, Subset, write_subset_table
from utils.dataset.tables import Clip, Event
from utils.synthesis.demo_sounds import SAMPLE_RATE, SOUNDS, background_noise, synthesize_event
from utils.system.files import make_folder
from utils.system.log import logger
from utils.system.progress import progress
from utils.system.terminal import short_path
from utils.system.workers import ending_with_parent

CLIPS = {WEAK: 120, SYNTHETIC: 120, UNLABELLED: 20, VALIDATION: 60}
CLIP_SECONDS = 10.0  # as in the challenge
SHORT_CLIP_FRACTION = 0.15  # of the clips are shorter ...
SHORTEST_CLIP_FRACTION = 0.7  # ... but not shorter than this fraction of the others
STEREO_EVERY = 10  # every so many clips have two channels
MOST_CLASSES = 2  # in a clip
MOST_EVENTS = 3  # of a class in a clip
EVENTLESS_FRACTION = 0.05  # of the clips of a strong subset
LONGEST_PAUSE_SECONDS = 4.0  # before an event
LEAST_GAP_SECONDS = 0.5  # between two events of a class, so that joining leaves them apart
NOISE_LEVEL = 0.01  # root mean square of the background, full scale = 1
EVENT_LEVELS = (14, 28)  # dB above the background
PEAK = 0.9  # a louder clip is scaled down to this


@dataclass(frozen=True)
class Recording:
    """A clip and its samples, shape (samples, channels)."""

    clip: Clip
    audio: np.ndarray


def draw_events(label: str, generator: Generator, clip_seconds: float) -> list[Event]:
    """Draw the times of events of a class, one after the other while they fit."""
    sound = SOUNDS[label]
    events: list[Event] = []
    free_from = 0.0
    for _ in range(generator.integers(1, MOST_EVENTS + 1)):
        seconds = generator.uniform(min(sound.shortest, clip_seconds), min(sound.longest, clip_seconds))
        room = clip_seconds - seconds - free_from
        if room < 0:
            break
        onset = free_from + generator.uniform(0, min(room, LONGEST_PAUSE_SECONDS))
        events.append(Event(onset, onset + seconds, label))
        free_from = onset + seconds + LEAST_GAP_SECONDS
    return events


def draw_labels(annotation: str, generator: Generator) -> list[str]:
    """Draw the classes of a clip; sometimes none, but only where the table has a row for such clips."""
    if annotation == "strong" and generator.random() < EVENTLESS_FRACTION:
        return []
    classes = generator.integers(1, MOST_CLASSES + 1)
    return [str(label) for label in generator.choice(list(SOUNDS), classes, replace=False)]


def make_recording(
    name: str, annotation: str, generator: Generator, *, clip_seconds: float, stereo: bool
) -> Recording:
    """Draw and synthesize a clip."""
    if generator.random() < SHORT_CLIP_FRACTION:
        clip_seconds = generator.uniform(SHORTEST_CLIP_FRACTION * clip_seconds, clip_seconds)
    audio = NOISE_LEVEL * background_noise(generator, int(clip_seconds * SAMPLE_RATE))
    events: list[Event] = []
    for label in draw_labels(annotation, generator):
        level = NOISE_LEVEL * 10 ** (generator.uniform(*EVENT_LEVELS) / 20)
        for event in draw_events(label, generator, clip_seconds):
            sound = level * synthesize_event(label, generator, event.offset - event.onset)
            first = int(event.onset * SAMPLE_RATE)
            audio[first : first + len(sound)] += sound[: len(audio) - first]
            events.append(event)
    audio *= PEAK / max(PEAK, np.abs(audio).max())
    channels = [audio, audio * generator.uniform(0.5, 1)] if stereo else [audio]
    labels = frozenset(event.label for event in events)
    return Recording(Clip(name, labels, tuple(events)), np.stack(channels, axis=1))


def make_clip(audio_folder: Path, subset: Subset, index: int, *, clip_seconds: float, seed: int) -> Clip:
    """Write a recording, and return its annotation."""
    # Each clip has its own generator, so that the validation clips are drawn independently of the others.
    generator = np.random.default_rng([seed, list(SUBSETS).index(subset.data_type), index])
    name = f"{subset.data_type}_{index:04d}.wav"
    stereo = index % STEREO_EVERY == STEREO_EVERY - 1
    recording = make_recording(name, subset.annotation, generator, clip_seconds=clip_seconds, stereo=stereo)
    soundfile.write(os.fsencode(audio_folder / name), recording.audio, SAMPLE_RATE, subtype="PCM_16")
    return recording.clip


def make_subset(output_dir: Path, subset: Subset, clips_num: int, *, clip_seconds: float, seed: int) -> None:
    """Write the recordings and the table of a subset."""
    audio_folder = make_folder(output_dir / subset.audio_folder)
    pool = joblib.Parallel(n_jobs=-1, return_as="generator", **ending_with_parent())
    made = pool(
        joblib.delayed(make_clip)(audio_folder, subset, index, clip_seconds=clip_seconds, seed=seed)
        for index in range(clips_num)
    )
    clips = list(progress(made, f"Making {subset.data_type}", clips_num))
    write_subset_table(output_dir, subset, clips)


def make_demo_dataset(
    output_dir: Path, *, clips: dict[str, int], clip_seconds: float = CLIP_SECONDS, seed: int
) -> None:
    """Make the demonstration data set.

    Parameters
    ----------
    output_dir : Path
        Its folder, in which `audio/` and `metadata/` are made.
    clips : dict of str to int
        Number of clips of each subset.
    clip_seconds : float
        Length of most clips; some are a little shorter.
    seed : int
        The same seed gives the same recordings.
    """
    for data_type, clips_num in clips.items():
        make_subset(output_dir, SUBSETS[data_type], clips_num, clip_seconds=clip_seconds, seed=seed)
    logger.info(f"Demonstration data set of {sum(clips.values())} clips: {short_path(output_dir)}")
