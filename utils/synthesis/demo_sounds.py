"""Synthesizes one sound event of each of the challenge's classes, from parameters drawn for each event.

Every function takes a random generator and a length in samples, and returns that many samples of about
unit level that start and end within a few milliseconds. Frequencies are in Hz, times in seconds.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.random import Generator

SAMPLE_RATE = 44100  # Hz; of the challenge's recordings
EDGE_SECONDS = 0.01  # an event fades in and out within this time


def seconds_of(samples: int) -> np.ndarray:
    """Return the time of each sample."""
    return np.arange(samples) / SAMPLE_RATE


def normalize(sound: np.ndarray) -> np.ndarray:
    """Scale to a root mean square of 1."""
    return sound / (np.sqrt(np.mean(sound**2)) + 1e-12)


def noise_with_spectrum(
    generator: Generator, samples: int, gain: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Return noise whose spectrum has the shape `gain` (of the frequency), at unit level."""
    length = scipy.fft.next_fast_len(samples, real=True)  # a prime number of samples takes ten times as long
    spectrum = scipy.fft.rfft(generator.standard_normal(samples), length)
    frequencies = scipy.fft.rfftfreq(length, 1 / SAMPLE_RATE)
    return normalize(scipy.fft.irfft(spectrum * gain(frequencies), length)[:samples])


def resonance(frequencies: np.ndarray, centre: float, width: float) -> np.ndarray:
    """Return the gain of a resonance, 1 at its centre."""
    return 1 / np.sqrt(1 + ((frequencies - centre) / (width / 2)) ** 2)


def harmonics(
    fundamental: np.ndarray, gain: Callable[[np.ndarray], np.ndarray], highest: float
) -> np.ndarray:
    """Return the sum of the harmonics of a fundamental that moves, each with the gain of its frequency."""
    phase = 2 * np.pi * np.cumsum(fundamental) / SAMPLE_RATE
    count = max(1, int(highest / fundamental.mean()))
    sound, harmonic_below, harmonic = np.zeros_like(phase), np.zeros_like(phase), np.sin(phase)
    twice_cosine = 2 * np.cos(phase)
    for amplitude in gain(fundamental.mean() * np.arange(1, count + 1)):
        sound += amplitude * harmonic
        # The sine of each multiple from the two before: sin (n + 1) x = 2 cos x sin n x - sin (n - 1) x
        harmonic_below, harmonic = harmonic, twice_cosine * harmonic - harmonic_below
    return sound


def bursts(generator: Generator, samples: int, length: tuple[float, float]) -> list[tuple[int, int]]:
    """Cut the event into pieces with lengths from a range; return first sample and sample after the last."""
    edges = [0]
    while edges[-1] < samples:
        edges.append(edges[-1] + int(generator.uniform(*length) * SAMPLE_RATE))
    edges[-1] = samples
    return list(zip(edges[:-1], edges[1:], strict=True))


def speech(generator: Generator, samples: int) -> np.ndarray:
    """Return syllables: a gliding voice through three formants that change at each syllable."""
    voice = generator.uniform(95, 230)
    sound = np.zeros(samples)
    for first, after in bursts(generator, samples, (0.12, 0.28)):
        length = after - first
        formants = generator.uniform((300, 900, 2300), (800, 2100, 3000))

        def gain(frequencies: np.ndarray, formants: np.ndarray = formants) -> np.ndarray:
            return sum(resonance(frequencies, formant, 120) for formant in formants) + 0.01

        glide = voice * np.linspace(*generator.uniform(0.85, 1.15, 2), length)
        syllable = np.sin(np.pi * (np.arange(length) + 0.5) / length) ** 0.4
        sound[first:after] = syllable * harmonics(glide, gain, 4500)
    return normalize(sound)


def dog(generator: Generator, samples: int) -> np.ndarray:
    """Return barks: short, hoarse bursts that fall in pitch."""
    pitch = generator.uniform(350, 650)
    sound = np.zeros(samples)
    for first, after in bursts(generator, samples, (0.22, 0.35)):
        length = after - first
        time = seconds_of(length)
        fall = pitch * (0.7 + 0.5 * np.exp(-time / 0.06))
        tone = harmonics(fall, lambda f: resonance(f, 900, 900), 3500)
        breath = noise_with_spectrum(generator, length, lambda f: resonance(f, 1100, 900))
        envelope = np.minimum(1, time / 0.01) * np.exp(-time / 0.09)
        sound[first:after] = envelope * (normalize(tone) + 0.6 * breath)
    return normalize(sound)


def cat(generator: Generator, samples: int) -> np.ndarray:
    """Return a meow: one tone that rises and falls, rich in harmonics, its vowel opening and closing."""
    position = np.linspace(0, 1, samples)
    pitch = generator.uniform(550, 850) * (1 + generator.uniform(0.2, 0.4) * np.sin(np.pi * position))
    closed = harmonics(pitch, lambda f: resonance(f, 900, 500), 9000)
    opened = harmonics(pitch, lambda f: resonance(f, 2300, 1800), 9000)
    openness = np.sin(np.pi * position) ** 2
    return normalize((1 - openness) * normalize(closed) + openness * normalize(opened))


def alarm_bell_ringing(generator: Generator, samples: int) -> np.ndarray:
    """Return two tones in turn, with their odd harmonics."""
    low = generator.uniform(1500, 2600)
    high = low * generator.uniform(1.15, 1.4)
    rate = generator.uniform(3, 8)
    time = seconds_of(samples)
    pitch = np.where((time * rate) % 1 < 0.5, low, high)
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    return normalize(np.sin(phase) + 0.3 * np.sin(3 * phase))


def dishes(generator: Generator, samples: int) -> np.ndarray:
    """Return clinks: partials without a common fundamental, struck together and dying away quickly."""
    sound = np.zeros(samples)
    for first, after in bursts(generator, samples, (0.08, 0.22)):
        time = seconds_of(after - first)
        partials = generator.uniform(2500, 10000, 6)
        decays = generator.uniform(0.03, 0.12, 6)
        clink = sum(
            np.sin(2 * np.pi * partial * time) * np.exp(-time / decay)
            for partial, decay in zip(partials, decays, strict=True)
        )
        sound[first:after] = generator.uniform(0.5, 1) * clink
    return normalize(sound)


def frying(generator: Generator, samples: int) -> np.ndarray:
    """Return a hiss of high frequencies with crackles on top."""
    hiss = noise_with_spectrum(generator, samples, lambda f: resonance(f, 7500, 5000))
    crackles = np.zeros(samples)
    count = int(generator.uniform(40, 90) * samples / SAMPLE_RATE)
    crackles[generator.integers(0, samples, count)] = generator.normal(0, 1, count)
    ring = np.exp(-seconds_of(300) / 0.0015) * np.sin(
        2 * np.pi * generator.uniform(4000, 7000) * seconds_of(300)
    )
    return normalize(hiss + 0.7 * normalize(np.convolve(crackles, ring)[:samples]))


def motor(
    generator: Generator,
    samples: int,
    fundamental: tuple[float, float],
    colour: Callable[[np.ndarray], np.ndarray],
    noise_level: float,
) -> np.ndarray:
    """Return a motor: a hardly wavering tone with harmonics, and noise, both of the same colour."""
    wavering = 1 + 0.01 * np.sin(2 * np.pi * generator.uniform(1, 4) * seconds_of(samples))
    tone = harmonics(generator.uniform(*fundamental) * wavering, colour, 6000)
    return normalize(normalize(tone) + noise_level * noise_with_spectrum(generator, samples, colour))


def blender(generator: Generator, samples: int) -> np.ndarray:
    """Return a fast motor, loud in the middle frequencies."""
    return motor(generator, samples, (380, 520), lambda f: resonance(f, 1600, 1800), 0.6)


def vacuum_cleaner(generator: Generator, samples: int) -> np.ndarray:
    """Return a deep motor under the rush of air."""
    return motor(generator, samples, (180, 260), lambda f: resonance(f, 350, 600), 1.0)


def electric_shaver_toothbrush(generator: Generator, samples: int) -> np.ndarray:
    """Return a buzz: a low fundamental whose harmonics are loudest in the high frequencies."""
    return motor(generator, samples, (90, 140), lambda f: resonance(f, 4000, 1800), 0.3)


def running_water(generator: Generator, samples: int) -> np.ndarray:
    """Return a rush over a wide range of frequencies, with drops that swell and fade."""
    rush = noise_with_spectrum(generator, samples, lambda f: (f > 300) / np.sqrt(1 + (f / 3500) ** 2))
    swell = 1 + 0.5 * np.sin(2 * np.pi * generator.uniform(5, 12) * seconds_of(samples))
    gurgle = noise_with_spectrum(generator, samples, lambda f: resonance(f, generator.uniform(600, 900), 200))
    return normalize(rush + 0.5 * swell * gurgle)


@dataclass(frozen=True)
class Sound:
    """How a class is synthesized, and how long its events last, in seconds."""

    synthesize: Callable[[Generator, int], np.ndarray]
    shortest: float
    longest: float


SOUNDS = {
    "Speech": Sound(speech, 0.8, 2.5),
    "Dog": Sound(dog, 0.6, 1.5),
    "Cat": Sound(cat, 0.7, 1.4),
    "Alarm_bell_ringing": Sound(alarm_bell_ringing, 1.0, 3.5),
    "Dishes": Sound(dishes, 0.6, 1.8),
    "Frying": Sound(frying, 2.5, 7.0),
    "Blender": Sound(blender, 2.0, 5.0),
    "Running_water": Sound(running_water, 2.0, 6.0),
    "Vacuum_cleaner": Sound(vacuum_cleaner, 2.5, 7.0),
    "Electric_shaver_toothbrush": Sound(electric_shaver_toothbrush, 2.0, 6.0),
}


def synthesize_event(label: str, generator: Generator, seconds: float) -> np.ndarray:
    """Return an event of the class, at unit level, with soft edges."""
    samples = int(seconds * SAMPLE_RATE)
    sound = SOUNDS[label].synthesize(generator, samples)
    edge = np.minimum(1, np.arange(1, samples + 1) / (EDGE_SECONDS * SAMPLE_RATE))
    return sound * edge * edge[::-1]


def background_noise(generator: Generator, samples: int) -> np.ndarray:
    """Return the noise of a room, at unit level: it falls with frequency, by a slope drawn for each clip."""
    slope = generator.uniform(0.3, 1.0)
    return noise_with_spectrum(generator, samples, lambda f: np.maximum(f, 50) ** -slope)
