"""A recording of any length as overlapping windows of a clip's length."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from utils.audio.reading import fit_length
from utils.settings.groups import FeatureSettings


@dataclass(frozen=True)
class Window:
    """A part of a recording that is as long as a clip.

    Attributes
    ----------
    start_frame : int
        Its first frame in the recording.
    samples : np.ndarray, shape (clip_samples,)
        Padded with zeros after the recording's end.
    """

    start_frame: int
    samples: np.ndarray


def window_hop_frames(clip_frames: int, *, stride_frames: int, window_overlap: float) -> int:
    """Return the frames between the starts of two windows: a multiple of the stride of the model's outputs.

    So the outputs of overlapping windows are at the same frames.
    """
    return max(int(clip_frames * (1 - window_overlap)) // stride_frames, 1) * stride_frames


def cut_windows(
    blocks: Iterable[np.ndarray], features: FeatureSettings, *, stride_frames: int, window_overlap: float
) -> Iterator[Window]:
    """Cut a stream of samples into windows, each as soon as its last sample is there.

    Little more than one window is in memory.

    A recording of n samples has n // hop_size frames, as a clip has, and each is in at least one window.
    Where the last window would not reach the recording's last frame, one more is put as near to the end as
    `stride_frames` allows. A recording of at most a clip's length is one window: the clip.

    Parameters
    ----------
    blocks : iterable of np.ndarray, shape (samples,)
        The samples of a recording, one block after the other; without a block there is no window. Of a
        recording so short that resampling leaves no sample of it, the window is silent.
    features : FeatureSettings
    stride_frames : int
        Frames from one output of the model to the next.
    window_overlap : float
        Of two successive windows, as a fraction of their length.
    """
    hop_frames = window_hop_frames(
        features.clip_frames, stride_frames=stride_frames, window_overlap=window_overlap
    )
    start_frame = 0
    samples = np.empty(0, np.float32)  # of the recording, from `start_frame` on
    shift_frames = 0  # from there to the next window
    has_blocks = False
    for block in blocks:
        has_blocks = True
        samples = np.concatenate([samples, block])
        while len(samples) >= shift_frames * features.hop_size + features.clip_samples:
            samples = samples[shift_frames * features.hop_size :]
            start_frame += shift_frames
            yield Window(start_frame, samples[: features.clip_samples])
            shift_frames = hop_frames
    if shift_frames == 0 and has_blocks:
        yield Window(0, fit_length(samples, features.clip_samples))
    frames_left = len(samples) // features.hop_size - features.clip_frames
    if frames_left > 0:
        shift_frames = math.ceil(frames_left / stride_frames) * stride_frames
        rest = samples[shift_frames * features.hop_size :]
        yield Window(start_frame + shift_frames, fit_length(rest, features.clip_samples))
