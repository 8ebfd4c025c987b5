"""Mixes the isolated events of a sound bank over room noise into the clips of HomeMix."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.random import Generator

from utils.audio.reading import RESAMPLING_QUALITY
from utils.dataset.subsets import SUBSETS, Subset, write_subset_table
from utils.dataset.tables import Clip, Event
from utils.synthesis import soundbank
from utils.synthesis.soundbank import LABELS, SoundBank
from utils.system.files import make_folder
from utils.system.progress import progress

SAMPLE_RATE = 44100  # Hz; of the challenge's recordings
CLIP_SECONDS = 10.0
FULL_LENGTH_FRACTION = 0.85  # of the clips; the others are shorter, as some of the challenge's are
SHORTEST_CLIP_SECONDS = 6.0
STEREO_EVERY = 10  # every so many clips have two channels ...
SECOND_CHANNEL_GAINS = (0.5, 1.0)  # ... of which the second is the first with a gain from this range
NOISE_LEVEL = 0.004  # root mean square, full scale = 1
NOISE_GAINS = (-10.0, 6.0)  # dB
ROOM_GAINS = (-12.0, 0.0)  # dB
FLATTEST_BIN = 20  # of the noise's spectrum, 2 Hz in 10 s: below it, the spectrum falls no further
TWO_CLASSES_FRACTION = 0.45  # of the clips; the others have one class
MOST_EVENTS = 4  # of a class in a clip, before they are joined
STARTS = (-0.1, 0.95)  # of an event, as a fraction of the clip; some are cut off by its start or end
EVENT_LEVELS = (4.0, 24.0)  # dB above the background, root mean square of the part inside the clip
SHORTEST_PART_SECONDS = 0.25  # a shorter part of an event inside the clip is left out
JOINING_GAP_SECONDS = 0.15  # events of a class with a shorter pause are one, as in the challenge's annotation
PEAK = 0.95  # a louder clip is scaled down to this


@dataclass(frozen=True)
class Mixture:
    """A clip's samples, shape (samples,), and its events."""

    samples: np.ndarray
    events: tuple[Event, ...]


def gain_factor(gain: float) -> float:
    """Return the factor of the amplitude for a gain in dB."""
    return 10 ** (gain / 20)


def rms(samples: np.ndarray) -> float:
    """Return the root mean square."""
    return np.sqrt(np.mean(samples**2))


def draw_sound(sounds: list[np.ndarray], generator: Generator) -> np.ndarray:
    """Draw one of the sounds, and resample it to the clip's rate."""
    sound = sounds[generator.integers(len(sounds))]
    return soxr.resample(sound, soundbank.SAMPLE_RATE, SAMPLE_RATE, quality=RESAMPLING_QUALITY)


def coloured_noise(samples: int, generator: Generator) -> np.ndarray:
    """Return noise at unit level whose spectrum falls by 0 to 6 dB per octave, shape (samples,)."""
    spectrum = np.fft.rfft(generator.standard_normal(samples))
    spectrum /= np.maximum(np.arange(len(spectrum)), FLATTEST_BIN) ** generator.uniform(0, 1)
    noise = np.fft.irfft(spectrum, samples)
    return noise / noise.std()


def draw_background(bank: SoundBank, generator: Generator) -> np.ndarray:
    """Draw the length of a clip, and its background: a room recording, repeated, and noise."""
    is_full = generator.random() < FULL_LENGTH_FRACTION
    seconds = CLIP_SECONDS if is_full else generator.uniform(SHORTEST_CLIP_SECONDS, CLIP_SECONDS)
    samples = int(seconds * SAMPLE_RATE)
    room = np.resize(draw_sound(bank.backgrounds, generator), samples)
    noise = NOISE_LEVEL * coloured_noise(samples, generator) * gain_factor(generator.uniform(*NOISE_GAINS))
    return noise + room * gain_factor(generator.uniform(*ROOM_GAINS))


def draw_labels(generator: Generator) -> list[str]:
    """Draw the one or two classes of a clip."""
    classes = generator.choice([1, 2], p=[1 - TWO_CLASSES_FRACTION, TWO_CLASSES_FRACTION])
    return [str(label) for label in generator.choice(LABELS, classes, replace=False)]


def add_event(samples: np.ndarray, sound: np.ndarray, level: float, generator: Generator) -> slice | None:
    """Add a sound to a clip in place, at a time that is drawn.

    Parameters
    ----------
    samples : np.ndarray, shape (samples,)
        Of the clip.
    sound : np.ndarray, shape (samples,)
    level : float
        Root mean square of the background.
    generator : Generator

    Returns
    -------
    slice or None
        The clip's samples that the sound was added to; None where it would have been too little of it.
    """
    start = int(generator.uniform(*STARTS) * len(samples))
    begin, end = max(start, 0), min(start + len(sound), len(samples))
    if end - begin < SHORTEST_PART_SECONDS * SAMPLE_RATE:
        return None
    part = sound[begin - start : end - start]
    # The part of an event inside the clip can be silent: events contain pauses of up to 0.25 s.
    gain = level * gain_factor(generator.uniform(*EVENT_LEVELS)) / max(rms(part), np.finfo(np.float32).eps)
    samples[begin:end] += gain * part
    return slice(begin, end)


def join_events(events: list[Event]) -> tuple[Event, ...]:
    """Join events of one class that overlap or lie less than 150 ms apart; sort them by label and onset."""
    joined: list[Event] = []
    for event in sorted(events, key=lambda event: (event.label, event.onset, event.offset)):
        last = joined[-1] if joined else None
        if last and last.label == event.label and event.onset - last.offset < JOINING_GAP_SECONDS:
            joined[-1] = Event(last.onset, max(last.offset, event.offset), event.label)
        else:
            joined.append(event)
    return tuple(joined)


def mix_clip(bank: SoundBank, generator: Generator) -> Mixture:
    """Mix a clip of up to two classes with up to four events of each."""
    samples = draw_background(bank, generator)
    level = rms(samples)
    events = []
    for label in draw_labels(generator):
        for _ in range(generator.integers(1, MOST_EVENTS, endpoint=True)):
            sound = draw_sound(bank.events[label], generator)
            place = add_event(samples, sound, level, generator)
            if place:
                events.append(Event(place.start / SAMPLE_RATE, place.stop / SAMPLE_RATE, label))
    return Mixture(samples * (PEAK / max(PEAK, np.abs(samples).max())), join_events(events))


def make_clip(audio_folder: Path, subset: Subset, index: int, bank: SoundBank, seed: int) -> Clip:
    """Mix a clip, write its recording, and return its annotation."""
    # Each clip has a generator of its own, so it does not depend on how many clips are made.
    generator = np.random.default_rng([seed, list(SUBSETS).index(subset.data_type), index])
    mixture = mix_clip(bank, generator)
    while subset.annotation == "weak" and not mixture.events:  # a weak table has no row for such a clip
        mixture = mix_clip(bank, generator)
    channels = [mixture.samples]
    if index % STEREO_EVERY == STEREO_EVERY - 1:
        channels.append(mixture.samples * generator.uniform(*SECOND_CHANNEL_GAINS))
    name = f"{subset.data_type}_{index:04d}.wav"
    path = os.fsencode(audio_folder / name)
    soundfile.write(path, np.stack(channels, axis=1), SAMPLE_RATE, subtype="PCM_16")
    return Clip(name, frozenset(event.label for event in mixture.events), mixture.events)


def make_subset(output_dir: Path, data_type: str, clips_num: int, bank: SoundBank, seed: int) -> None:
    """Write the recordings and the table of a subset."""
    subset = SUBSETS[data_type]
    audio_folder = make_folder(output_dir / subset.audio_folder)
    made = (make_clip(audio_folder, subset, index, bank, seed) for index in range(clips_num))
    clips = list(progress(made, f"Making {data_type}", clips_num))
    write_subset_table(output_dir, subset, clips)
