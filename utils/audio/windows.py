"""A recording of any length as clips that overlap, and back to one row of frame probabilities."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from utils import config
from utils.audio.reading import fit_length


@dataclass(frozen=True)
class Window:
    """A part of a recording that is as long as a clip.

    Attributes
    ----------
    start_frame : int
        Its first frame in the recording.
    samples : np.ndarray, shape (config.clip_samples,)
        Padded with zeros where the recording ends before.
    """

    start_frame: int
    samples: np.ndarray


def window_hop_frames(stride_frames: int) -> int:
    """Return the frames from one window's start to the next one's, by `config.window_overlap`.

    They are a multiple of the `stride_frames` that the model gives out one probability for, so that the
    outputs of overlapping windows are of the same frames.
    """
    hop_frames = int(config.clip_frames * (1 - config.window_overlap))
    return max(hop_frames // stride_frames, 1) * stride_frames


def cut_windows(blocks: Iterable[np.ndarray], stride_frames: int) -> Iterator[Window]:
    """Cut a stream of samples into windows, holding not much more than one of them in memory.

    A recording of n samples has n // hop_size frames, as a clip has, and each is in at least one window.
    Where the last window would not reach the recording's last frame, one more is put as near to the end as
    `stride_frames` allows. A recording of at most a clip's length is one window: the clip.

    Parameters
    ----------
    blocks : iterable of np.ndarray, shape (samples,)
        The samples of a recording, one block after the other. Without any there is no window.
    stride_frames : int
        Frames that the model gives out one probability for.
    """
    hop_frames = window_hop_frames(stride_frames)
    hop_samples = hop_frames * config.hop_size
    start_frame = 0
    samples = np.empty(0)  # of the recording, from `start_frame` on
    for block in blocks:
        samples = np.concatenate([samples, block])
        while len(samples) >= hop_samples + config.clip_samples:
            yield Window(start_frame, samples[: config.clip_samples])
            start_frame += hop_frames
            samples = samples[hop_samples:]
    if start_frame == 0 and len(samples) == 0:
        return
    yield Window(start_frame, fit_length(samples, config.clip_samples))
    frames_left = len(samples) // config.hop_size - config.clip_frames
    if frames_left > 0:
        shift_frames = math.ceil(frames_left / stride_frames) * stride_frames
        rest = samples[shift_frames * config.hop_size :]
        yield Window(start_frame + shift_frames, fit_length(rest, config.clip_samples))


@dataclass(frozen=True)
class WindowProbabilities:
    """What a model says of a window: framewise (clip_frames, classes) and clipwise (classes,)."""

    start_frame: int
    framewise: np.ndarray
    clipwise: np.ndarray


def average_windows(windows: Sequence[WindowProbabilities]) -> tuple[np.ndarray, np.ndarray]:
    """Average the probabilities of the windows of a recording wherever they overlap.

    Parameters
    ----------
    windows : sequence of WindowProbabilities
        In ascending order.

    Returns
    -------
    framewise, clipwise : np.ndarray, shape (frames, classes)
        Of each frame from the recording's start to the last window's end, the mean of the windows that hold
        it: of their frame probabilities, and of their clip probabilities. Of a single window, its own.
    """
    length, classes_num = windows[0].framewise.shape
    framewise, clipwise = np.zeros((2, windows[-1].start_frame + length, classes_num), dtype=np.float32)
    windows_of_frame = np.zeros((len(framewise), 1), dtype=np.float32)
    for window in windows:
        covered = slice(window.start_frame, window.start_frame + length)
        framewise[covered] += window.framewise
        clipwise[covered] += window.clipwise
        windows_of_frame[covered] += 1
    framewise /= windows_of_frame
    clipwise /= windows_of_frame
    return framewise, clipwise
