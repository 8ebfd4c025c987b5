"""Counts events: of each class, and beyond the end of a clip."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from utils.dataset.tables import Clip


@dataclass
class ClassCount:
    """How often a label occurs: in how many clips, in how many events, of how many seconds together."""

    clips: int = 0
    events: int = 0
    seconds: float = 0.0


def class_counts(clips: Iterable[Clip], labels: Sequence[str]) -> dict[str, ClassCount]:
    """Return the counts of all labels; events are counted where they are annotated."""
    counts = {label: ClassCount() for label in labels}
    for clip in clips:
        for label in clip.labels or ():
            counts[label].clips += 1
        for event in clip.events or ():
            counts[event.label].events += 1
            counts[event.label].seconds += event.offset - event.onset
    return counts


def count_table(counts: Mapping[str, dict[str, ClassCount]]) -> list[str]:
    """Return aligned lines: a heading, and how often each label occurs in the subsets that have labels.

    Parameters
    ----------
    counts : mapping of str to dict
        By the subset's name, the counts of the same labels.
    """
    columns: list[list[str]] = []
    for name, of_labels in counts.items():
        parts = {"clips": [f"{one.clips}" for one in of_labels.values()]}
        if any(one.events for one in of_labels.values()):
            parts["events"] = [f"{one.events}" for one in of_labels.values()]
            parts["seconds"] = [f"{one.seconds:.1f}" for one in of_labels.values()]
        elif not any(one.clips for one in of_labels.values()):
            continue
        cells = [[title, *values] for title, values in parts.items()]
        widths = [max(map(len, column)) for column in cells]
        lines = ["  ".join(map(str.rjust, row, widths)) for row in zip(*cells, strict=True)]
        width = max(len(name), len(lines[0]))
        columns.append([name.rjust(width), *(line.rjust(width) for line in lines)])
    if not columns:
        return []
    labels = ["", "", *next(iter(counts.values()))]
    width = max(map(len, labels))
    return ["   ".join([label.ljust(width), *row]) for label, *row in zip(labels, *columns, strict=True)]


def count_beyond(clips: Iterable[Clip], clip_seconds: float) -> tuple[int, int, int]:
    """Return how many events there are, how many begin beyond a clip's end, and how many are cut there."""
    events = [event for clip in clips for event in clip.events or ()]
    beyond = sum(event.onset >= clip_seconds for event in events)
    return len(events), beyond, sum(event.offset > clip_seconds for event in events) - beyond


def beyond_hint(events: int, beyond: int, cut: int, clip_seconds: float) -> str:
    """Return how many events are lost after a clip's end, and what to do."""
    also = f" and {cut} end" if cut else ""
    return (
        f"{beyond} of {events} events begin{also} after the first {clip_seconds:g} s (clip_seconds), which "
        "is all that is used of a recording; raise clip_seconds, or cut the recordings into clips with: "
        "python utils/metadata.py import_annotations"
    )
