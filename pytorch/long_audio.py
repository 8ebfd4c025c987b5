"""Recordings of any length -> frame probabilities, in memory that does not grow with the audio."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pytorch.detector import Detector
from utils import config
from utils.audio.logmel import logmel_of_clip
from utils.audio.reading import SampleStream
from utils.audio.windows import WindowProbabilities, average_windows, cut_windows


@dataclass(frozen=True)
class Heard:
    """What a model heard in a recording.

    Attributes
    ----------
    stream : SampleStream
        The recording, read to its end.
    framewise, clipwise : np.ndarray, shape (frames, classes)
        In each frame, the mean of the windows that hold it.
    """

    stream: SampleStream
    framewise: np.ndarray
    clipwise: np.ndarray


@dataclass(frozen=True)
class WindowFeatures:
    """The log-mel features of a window of a recording, shape (clip_frames, mel_bins)."""

    stream: SampleStream
    start_frame: int
    logmel: np.ndarray


def window_features(streams: Iterable[SampleStream], stride_frames: int) -> Iterator[WindowFeatures]:
    """Yield the features of all windows of the recordings, one recording after the other."""
    for stream in streams:
        for window in cut_windows(stream.blocks(), stride_frames):
            yield WindowFeatures(stream, window.start_frame, logmel_of_clip(window.samples))


def window_probabilities(
    detector: Detector, windows: Iterator[WindowFeatures]
) -> Iterator[tuple[SampleStream, WindowProbabilities]]:
    """Run the model over windows, of several recordings at once where they are short."""
    while batch := list(itertools.islice(windows, config.evaluation_batch_size)):
        probabilities = detector.probabilities(np.stack([window.logmel for window in batch]))
        for window, framewise, clipwise in zip(
            batch, probabilities.framewise, probabilities.clipwise, strict=True
        ):
            yield window.stream, WindowProbabilities(window.start_frame, framewise, clipwise)


def listen(detector: Detector, streams: Sequence[SampleStream]) -> Iterator[Heard | None]:
    """Run a model over recordings.

    Parameters
    ----------
    detector : Detector
    streams : sequence of SampleStream
        The recordings.

    Yields
    ------
    Heard or None
        After each window None, for a progress bar; after the last window of a recording what was heard in it.
        A recording that could not be read to its end is left out; its stream has an `error`.
    """
    windows = window_features(streams, detector.model.stride_frames)
    for stream, group in itertools.groupby(window_probabilities(detector, windows), lambda pair: pair[0]):
        of_recording = []
        for _, probabilities in group:
            of_recording.append(probabilities)
            yield None
        # Only now, as the next recording has begun, is it known how this one ended.
        if stream.error is None:
            yield Heard(stream, *average_windows(of_recording))
