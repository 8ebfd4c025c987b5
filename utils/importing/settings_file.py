"""The settings file of an imported data set."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from utils.importing.sources import Source
from utils.settings.groups import FeatureSettings

SAMPLE_RATES = (8000, 16000, 24000, 32000)  # Hz; with these, 64 frames a second are whole hops
FRAMES_PER_SECOND = 64
WINDOW_MILLISECONDS = 32


def feature_values(
    labels: Sequence[str], sources: Sequence[Source], clip_seconds: float, features: FeatureSettings
) -> dict[str, Any]:
    """Return settings that fit the recordings.

    The sample rate is the smallest of `SAMPLE_RATES` that keeps what half of the audio has; window and hop
    are as long as those of the published system, and the highest band ends where the audio does.
    """
    by_rate = sorted((source.info.samplerate, source.seconds) for source in sources)
    half, rate = sum(seconds for _, seconds in by_rate) / 2, by_rate[-1][0]
    for rate, seconds in by_rate:  # noqa: B007 (the median)
        half -= seconds
        if half <= 0:
            break
    sample_rate = next((one for one in SAMPLE_RATES if one >= rate), SAMPLE_RATES[-1])
    values = {
        "labels": list(labels),
        "sample_rate": sample_rate,
        "window_size": sample_rate * WINDOW_MILLISECONDS // 1000,
        "hop_size": sample_rate // FRAMES_PER_SECOND,
        "mel_max_frequency": min(14000, sample_rate // 2, rate // 2),
        "clip_seconds": float(clip_seconds),
    }
    replace(features, **values)  # raises SedError where they are none
    return values


def settings_text(values: dict[str, Any], *, iterations: int, batch_size: int) -> str:
    """Return the text of the file, which holds nothing but names and values."""
    labels = "".join(f"    {json.dumps(label, ensure_ascii=False)},\n" for label in values["labels"])
    return f'''"""Settings of this data set, made by utils/metadata.py import_annotations; they replace those
of utils/config.py. Values are numbers, texts and lists."""

labels = [
{labels}]
sample_rate = {values["sample_rate"]}  # Hz; at least that of most recordings, or 32000 where they have more
window_size = {values["window_size"]}  # samples; {WINDOW_MILLISECONDS} ms
hop_size = {values["hop_size"]}  # samples; {FRAMES_PER_SECOND} frames a second
mel_max_frequency = {values["mel_max_frequency"]}  # Hz
clip_seconds = {values["clip_seconds"]}

# Of the recipe: minutes to an hour on a laptop. Raise both where there is a GPU.
recipe_iterations = {iterations}
recipe_batch_size = {batch_size}
'''
