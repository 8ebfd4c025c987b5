"""The settings that tests start from: those of `utils/config.py`."""

from dataclasses import replace

from utils.config import SETTINGS
from utils.events.post_processing import PostProcessing, class_post_processing

LABELS = SETTINGS.features.labels
COLLARS = {
    "onset_collar": SETTINGS.scoring.onset_collar,
    "offset_collar_fraction": SETTINGS.scoring.offset_collar_fraction,
}


def post_processing_named(name: str, **changes: object) -> PostProcessing:
    """Return the post-processing of that name for every class, with changes of the settings' values."""
    return (class_post_processing(name, replace(SETTINGS.events, **changes)),) * len(LABELS)
