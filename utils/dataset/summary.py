"""Counts events: of each class, and beyond the end of a clip."""

from collections.abc import Iterable, Sequence
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


def describe_counts(counts: dict[str, ClassCount]) -> list[str]:
    """Return an aligned line for each label that occurs."""
    width = max(map(len, counts), default=0)
    return [
        f"{label:<{width}} {count.clips:6} clips"
        + f" {count.events:6} events {count.seconds:9.1f} s" * bool(count.events)
        for label, count in counts.items()
        if count.clips
    ]


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
