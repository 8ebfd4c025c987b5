"""Recordings of any length -> probabilities, in memory that does not grow with the audio."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pytorch.detector import Detector
from utils.audio.logmel import logmel_of_clip
from utils.audio.reading import SampleStream
from utils.audio.windows import cut_windows
from utils.events.probabilities import Probabilities


@dataclass(frozen=True)
class WindowLogmel:
    """The log-mel of a window of a recording, shape (clip_frames, mel_bins), in dB."""

    stream: SampleStream
    start_frame: int
    logmel: np.ndarray


@dataclass(frozen=True)
class WindowProbabilities:
    """The probabilities of a window of a recording."""

    stream: SampleStream
    start_frame: int
    probabilities: Probabilities


def window_logmels(streams: Iterable[SampleStream], detector: Detector) -> Iterator[WindowLogmel]:
    """Yield the log-mel of all windows of the recordings, one recording after the other."""
    for stream in streams:
        windows = cut_windows(
            stream.blocks(),
            detector.features,
            stride_frames=detector.model.stride_frames,
            window_overlap=detector.events.window_overlap,
        )
        for window in windows:
            logmel = logmel_of_clip(window.samples, detector.features)
            yield WindowLogmel(stream, window.start_frame, logmel)


def window_probabilities(
    windows: Iterator[WindowLogmel], detector: Detector
) -> Iterator[WindowProbabilities]:
    """Run the model over windows, of several recordings at once where they are short."""
    while batch := list(itertools.islice(windows, detector.batch_size)):
        probabilities = detector.probabilities(np.stack([window.logmel for window in batch]))
        for window, of_window in zip(batch, probabilities, strict=True):
            yield WindowProbabilities(window.stream, window.start_frame, of_window)


def average_windows(windows: Sequence[WindowProbabilities]) -> Probabilities:
    """Average the probabilities of the windows of a recording wherever they overlap.

    Parameters
    ----------
    windows : sequence of WindowProbabilities
        In ascending order; each starts at the beginning of an output of the one before.

    Returns
    -------
    Probabilities
        Of the recording from its start to the last window's end: in each output, the mean of the windows that
        hold it, of their framewise and of their clipwise probabilities. Of a single window, its own.
    """
    last = windows[-1]
    stride = last.probabilities.stride_frames
    outputs, classes = last.probabilities.framewise.shape
    framewise, clipwise = np.zeros((2, last.start_frame // stride + outputs, classes), np.float32)
    windows_of_output = np.zeros((len(framewise), 1), np.float32)
    for window in windows:
        first = window.start_frame // stride
        covered = slice(first, first + outputs)
        framewise[covered] += window.probabilities.framewise
        clipwise[covered] += window.probabilities.clipwise
        windows_of_output[covered] += 1
    return replace(
        last.probabilities,
        framewise=framewise / windows_of_output,
        clipwise=clipwise / windows_of_output,
        frames=last.start_frame + last.probabilities.frames,
    )


def detect_in_streams(
    detector: Detector, streams: Sequence[SampleStream]
) -> Iterator[tuple[SampleStream, Probabilities] | None]:
    """Run a model over recordings.

    Yields
    ------
    tuple or None
        After each window None, for a progress bar; after the last window of a recording its stream and its
        probabilities. A recording that could not be read to its end is left out; its stream has an `error`.
    """
    windows = window_probabilities(window_logmels(streams, detector), detector)
    for stream, group in itertools.groupby(windows, lambda window: window.stream):
        of_recording = []
        for window in group:
            of_recording.append(window)
            yield None
        # Only now, as the next recording has begun, is it known how this one ended.
        if stream.error is None:
            yield stream, average_windows(of_recording)
