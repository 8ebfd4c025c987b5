"""The settings that tests start from: those of `utils/config.py`."""

from collections.abc import Sequence
from dataclasses import replace

from utils.config import SETTINGS
from utils.events.post_processing import ClassPostProcessing, PostProcessing, class_post_processing

LABELS = SETTINGS.features.labels
COLLARS = {
    "onset_collar": SETTINGS.scoring.onset_collar,
    "offset_collar_fraction": SETTINGS.scoring.offset_collar_fraction,
}


def rule_named(name: str, **changes: object) -> ClassPostProcessing:
    """Return a class's post-processing of that name, with changes of the settings' values."""
    return class_post_processing(name, replace(SETTINGS.events, **changes))


def same_for_all(
    of_class: ClassPostProcessing, labels: Sequence[str] = LABELS, frames_per_second: float = 64.0
) -> PostProcessing:
    """Return a post-processing that is the same for every class."""
    return PostProcessing(tuple(labels), (of_class,) * len(labels), frames_per_second)
