"""The page of a recording of any length: what was detected when, to look at and to listen to."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from utils.audio.logmel import frequency_ticks
from utils.events.event_files import DetectedEvents
from utils.events.post_processing import PostProcessing
from utils.events.probabilities import Probabilities
from utils.results.page import write_page
from utils.results.page_clips import Thresholds, thresholds_of
from utils.results.page_media import data_uri, probability_text, spectrogram_png
from utils.results.recording_media import RecordingMedia, maxima
from utils.settings.groups import FeatureSettings

TILE_COLUMNS = 1024  # of the spectrogram in one picture
CLASSES_AT_FULL_RESOLUTION = 16  # more classes have fewer steps each, so that the page has bounded size


@dataclass(frozen=True)
class RecordingPage:
    """All that the page shows.

    Attributes
    ----------
    name : str
    seconds : float
    detected_by : str
        The model.
    labels : sequence of str
    events : list of (onset, offset, index of the label, score)
        In time order, times in s.
    tiles : list of str
        The spectrogram from left to right as data URIs, each of `TILE_COLUMNS` columns, the last of fewer.
    tile_columns : int
    seconds_per_column : float
    frequency_ticks : list of (Hz, height)
    sounds : list of str
        MP3 files as base64, each of `chunk_seconds`.
    chunk_seconds : float
    probabilities : list of str
        Of each class one byte for each step, see `probability_text`.
    seconds_per_step : float
    thresholds : list of Thresholds
        Of each class.
    """

    name: str
    seconds: float
    detected_by: str
    labels: tuple[str, ...]
    events: list[tuple[float, float, int, float]]
    tiles: list[str]
    tile_columns: int
    seconds_per_column: float
    frequency_ticks: list[tuple[int, float]]
    sounds: list[str]
    chunk_seconds: float
    probabilities: list[str]
    seconds_per_step: float
    thresholds: list[Thresholds]


def reduced(framewise: np.ndarray, limit: int) -> tuple[np.ndarray, int]:
    """Return the maxima of as many successive outputs as leave at most `limit` steps, and that number."""
    group = max(1, -(-len(framewise) // max(1, limit)))
    missing = -len(framewise) % group
    return maxima(np.pad(framewise, ((0, missing), (0, 0)), mode="edge"), group), group


def write_recording_page(
    path: Path,
    detected: DetectedEvents,
    probabilities: Probabilities,
    media: RecordingMedia,
    post_processing: PostProcessing,
    features: FeatureSettings,
    *,
    detected_by: str,
) -> None:
    """Write the page of a recording.

    Parameters
    ----------
    path : Path
    detected : DetectedEvents
    probabilities : Probabilities
        Of the recording.
    media : RecordingMedia
        That has taken in the whole recording.
    post_processing : PostProcessing
        How the probabilities became events.
    features : FeatureSettings
    detected_by : str
        Names the model.
    """
    media.finish()
    logmel = media.spectrogram()
    top = float(logmel.max())
    limit = media.page.recording_page_columns * CLASSES_AT_FULL_RESOLUTION // features.classes_num
    steps, group = reduced(probabilities.framewise, min(limit, media.page.recording_page_columns))
    page = RecordingPage(
        name=detected.recording.name,
        seconds=detected.seconds,
        detected_by=detected_by,
        labels=features.labels,
        events=[
            (round(one.onset, 3), round(one.offset, 3), features.labels.index(one.label), round(one.score, 3))
            for one in detected.events
        ],
        tiles=[
            data_uri("image/png", spectrogram_png(logmel[start : start + TILE_COLUMNS], top=top))
            for start in range(0, len(logmel), TILE_COLUMNS)
        ],
        tile_columns=TILE_COLUMNS,
        seconds_per_column=media.seconds_per_column,
        frequency_ticks=frequency_ticks(features),
        sounds=media.sounds,
        chunk_seconds=media.page.recording_page_chunk_seconds,
        probabilities=[probability_text(of_class) for of_class in steps.T],
        seconds_per_step=group * probabilities.stride_frames / features.frames_per_second,
        thresholds=[thresholds_of(of_class) for of_class in post_processing.of_classes],
    )
    write_page(path, page.name, asdict(page), parts="recording")
