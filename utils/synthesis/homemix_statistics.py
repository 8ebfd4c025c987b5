"""Statistics of a data set with HomeMix's labels, by which two ways of making it are compared."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from utils.dataset.subsets import SUBSETS, read_subset_table
from utils.dataset.tables import Clip, Event
from utils.synthesis.soundbank import LABELS
from utils.system.errors import SedError

Statistics = dict[str, str]  # what was measured: its value as text


def overlapped_seconds(events: Sequence[Event]) -> float:
    """Return for how long two or more events of a clip sound at the same time.

    Events of one class do not overlap in the tables, so these are of different classes.
    """
    changes = sorted([(event.onset, 1) for event in events] + [(event.offset, -1) for event in events])
    total, sounding, since = 0.0, 0, 0.0
    for time, change in changes:
        if sounding > 1:
            total += time - since
        sounding, since = sounding + change, time
    return total


def audio_statistics(folder: Path, clips: Sequence[Clip]) -> Statistics:
    """Return what the headers of the recordings say."""
    try:
        files = [soundfile.info(os.fsencode(folder / clip.name)) for clip in clips]
    except soundfile.SoundFileError as error:
        raise SedError(f"{folder}: a recording cannot be read: {error}; make the data set again") from error
    seconds = [file.duration for file in files]
    return {
        "clips": f"{len(clips)}",
        "minutes": f"{sum(seconds) / 60:.1f}",
        "clips under 10 s": percentage(sum(duration < 9.99 for duration in seconds), len(seconds)),
        "stereo clips": percentage(sum(file.channels == 2 for file in files), len(files)),
    }


def label_statistics(clips: Sequence[Clip]) -> Statistics:
    """Return in how many clips each class sounds, and how many classes sound in a clip."""
    counts = Counter(label for clip in clips for label in clip.labels or ())
    return {
        "classes a clip": f"{np.mean([len(clip.labels or ()) for clip in clips]):.2f}",
        **{f"clips with {label}": percentage(counts[label], len(clips)) for label in LABELS},
    }


def event_statistics(clips: Sequence[Clip]) -> Statistics:
    """Return how many events there are, how long they are, and how much they overlap."""
    events = [event for clip in clips for event in clip.events or ()]
    lengths = {label: [e.offset - e.onset for e in events if e.label == label] for label in LABELS}
    all_lengths = [length for of_label in lengths.values() for length in of_label]
    overlap = sum(overlapped_seconds(clip.events or ()) for clip in clips)
    quartiles = np.percentile(all_lengths, (25, 50, 75)) if all_lengths else np.zeros(3)
    return {
        "events": f"{len(events)}",
        "events a clip": f"{len(events) / len(clips):.2f}",
        "clips without events": f"{sum(not clip.events for clip in clips)}",
        "event length, quartiles": " / ".join(f"{length:.2f}" for length in quartiles) + " s",
        "event time overlapped": percentage(overlap, sum(all_lengths)),
        **{
            f"{label}: events, median": f"{len(of_label)}, {np.median(of_label):.2f} s" if of_label else "0"
            for label, of_label in lengths.items()
        },
    }


def percentage(part: float, whole: float) -> str:
    """Return a part of a whole as text."""
    return f"{100 * part / whole if whole else 0:.0f} %"


def subset_statistics(dataset_dir: Path, data_type: str) -> Statistics:
    """Return the statistics of a subset.

    Raises
    ------
    SedError
        If its table is absent, wrong or empty, or a recording is absent.
    """
    subset = SUBSETS[data_type]
    clips = read_subset_table(dataset_dir, subset, LABELS)  # whatever the labels of the settings are
    if not clips:
        raise SedError(f"{dataset_dir}: {data_type} lists no clips; make the data set again")
    statistics = audio_statistics(dataset_dir / subset.audio_folder, clips)
    if subset.annotation != "none":
        statistics |= label_statistics(clips)
    if subset.annotation == "strong":
        statistics |= event_statistics(clips)
    return statistics


def format_statistics(dataset_dirs: Sequence[Path]) -> str:
    """Return a Markdown table a subset, with a column a data set."""
    lines = []
    for data_type in SUBSETS:
        columns = [subset_statistics(folder, data_type) for folder in dataset_dirs]
        lines.append(f"| {data_type} | {' | '.join(map(str, dataset_dirs))} |")
        lines.append("|---" * (len(columns) + 1) + "|")
        lines += [f"| {name} | {' | '.join(column[name] for column in columns)} |" for name in columns[0]]
        lines.append("")
    return "\n".join(lines)
