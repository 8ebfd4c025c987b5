"""The clips of the results page, and what models found in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils.audio.mp3 import mp3
from utils.audio.reading import read_clip
from utils.dataset.tables import Clip, Event
from utils.events.post_processing import ClassPostProcessing, DoubleThreshold, MedianFilter, PostProcessing
from utils.events.probabilities import Probabilities
from utils.results.page_media import data_uri, probability_text, spectrogram_png
from utils.results.scored_models import EVENT_F1, ScoredModel
from utils.scoring.event_errors import JudgedClip, JudgedEvent, confusion, count_verdicts
from utils.settings.groups import FeatureSettings


@dataclass(frozen=True)
class Thresholds:
    """The thresholds of a post-processing: of frame probabilities, and perhaps of the clip probability."""

    frames: tuple[float, ...]
    clip: float | None


def thresholds_of(post_processing: ClassPostProcessing) -> Thresholds:
    """Return the thresholds of a class."""
    if isinstance(post_processing, DoubleThreshold):
        frames = (post_processing.low_threshold, post_processing.high_threshold)
        return Thresholds(frames, post_processing.clip_threshold)
    if isinstance(post_processing, MedianFilter):
        return Thresholds((post_processing.frame_threshold,), None)
    return Thresholds((), None)  # the threshold of a box is on its confidence


@dataclass(frozen=True)
class ShownClip:
    """A clip in the browser: what is the same whichever model is looked at.

    Attributes
    ----------
    name : str
    spectrogram, audio : str
        Data URIs.
    reference : tuple of Event
    """

    name: str
    spectrogram: str
    audio: str
    reference: tuple[Event, ...]


@dataclass(frozen=True)
class FoundInClip:
    """What a model found in a clip of the browser.

    Attributes
    ----------
    f1 : float
        Event-based, of this clip alone.
    reference_verdicts : list of str
        Of each reference event.
    predicted : tuple of JudgedEvent
    clip_probabilities : list of float, length classes; empty without a checkpoint
    frame_probabilities : list of str, length classes
        One byte for each output of the model, see `probability_text`; empty without a checkpoint.
    """

    f1: float
    reference_verdicts: list[str]
    predicted: tuple[JudgedEvent, ...]
    clip_probabilities: list[float]
    frame_probabilities: list[str]


@dataclass(frozen=True)
class ShownModel:
    """The verdicts on a model's events in all validation clips, and what it found in those of the browser.

    Attributes
    ----------
    number : int
        Of the run, from 1.
    title : str
    event_f1 : float
        Macro average.
    reference_verdicts, predicted_verdicts : dict
        Number of events by label and verdict.
    confusion : list of list of int
        See `utils.scoring.event_errors.confusion`.
    thresholds : list of Thresholds, length classes; empty without a checkpoint
    clips : list of FoundInClip
        In the order of `ClipReport.clips`.
    """

    number: int
    title: str
    event_f1: float
    reference_verdicts: dict[str, dict[str, int]]
    predicted_verdicts: dict[str, dict[str, int]]
    confusion: list[list[int]]
    thresholds: list[Thresholds]
    clips: list[FoundInClip]


@dataclass(frozen=True)
class ClipReport:
    """The clips in the browser, and the models whose events can be shown in them.

    Attributes
    ----------
    dataset : str
        Name of the data set.
    clips_judged : int
        Number of clips that the models' counts are of.
    labels : sequence of str
    onset_collar, offset_collar_fraction : float
        The tolerances: s, and fraction of the reference event's length.
    clip_seconds : float
    frequency_ticks : list of (Hz, height)
    clips : list of ShownClip
    models : list of ShownModel
        The first one is shown at first, and the clips are spread over its F1.
    """

    dataset: str
    clips_judged: int
    labels: Sequence[str]
    onset_collar: float
    offset_collar_fraction: float
    clip_seconds: float
    frequency_ticks: list[tuple[int, float]]
    clips: list[ShownClip]
    models: list[ShownModel]


def spread_over_f1(clips: Sequence[JudgedClip], count: int) -> np.ndarray:
    """Return ascending indexes of at most `count` clips, evenly spread from the lowest to the highest F1."""
    by_f1 = np.argsort([clip.f1 for clip in clips], kind="stable")
    if len(clips) <= count:
        return np.sort(by_f1)
    return np.sort(by_f1[np.linspace(0, len(clips) - 1, count).round().astype(int)])


def shown_clip(clip: Clip, logmel: np.ndarray, audio_folder: Path, features: FeatureSettings) -> ShownClip:
    """Put together what is shown of a clip, of log-mel (frames, mel_bins) in dB, whichever the model."""
    samples = read_clip(audio_folder / clip.name, features)
    return ShownClip(
        clip.name,
        data_uri("image/png", spectrogram_png(logmel)),
        data_uri("audio/mpeg", mp3(samples, features.sample_rate)),
        clip.events or (),
    )


def found_in_clip(judged: JudgedClip, probabilities: Probabilities | None) -> FoundInClip:
    """Put together what a model found in a clip, with its probabilities of this clip, if there are any."""
    clipwise = [] if probabilities is None else probabilities.clipwise
    by_class = [] if probabilities is None else probabilities.framewise.T
    return FoundInClip(
        judged.f1,
        [one.verdict for one in judged.reference],
        judged.predicted,
        [round(float(value), 3) for value in clipwise],
        [probability_text(of_class) for of_class in by_class],
    )


def shown_model(
    model: ScoredModel,
    number: int,
    judged: Sequence[JudgedClip],
    indexes: np.ndarray,
    probabilities: Probabilities | None,
    post_processing: PostProcessing | None,
) -> ShownModel:
    """Put together the errors of a model in all clips, and what it found in those that are shown.

    Parameters
    ----------
    model : ScoredModel
    number : int
        Of its run.
    judged : sequence of JudgedClip
        All validation clips.
    indexes : np.ndarray, shape (shown clips,)
        Which of them are shown.
    probabilities : Probabilities or None
        Of the shown clips; None without a checkpoint.
    post_processing : PostProcessing or None
        How the probabilities became events; None without a checkpoint.
    """
    labels = model.results.features.labels
    return ShownModel(
        number=number,
        title=model.title,
        event_f1=model.score(EVENT_F1),
        reference_verdicts=count_verdicts((j for clip in judged for j in clip.reference), labels),
        predicted_verdicts=count_verdicts((j for clip in judged for j in clip.predicted), labels),
        confusion=confusion(judged, labels).tolist(),
        thresholds=[]
        if post_processing is None
        else [thresholds_of(one) for one in post_processing.of_classes],
        clips=[
            found_in_clip(judged[index], None if probabilities is None else probabilities[place])
            for place, index in enumerate(indexes)
        ],
    )
