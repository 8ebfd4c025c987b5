"""What a model gives for clips: a probability of each class in each of its outputs, and in the whole clip."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np


@dataclass(frozen=True)
class Probabilities:
    """Probabilities at the model's own resolution: an output stands for `stride_frames` frames.

    Attributes
    ----------
    framewise : np.ndarray, shape (clips, outputs, classes)
        Of a single clip, shape (outputs, classes).
    clipwise : np.ndarray, shape (clips, classes)
        Of a single clip, shape (classes,). Of a recording longer than a clip, shape (outputs, classes): in
        each output, the mean of the windows that hold it.
    stride_frames : int
        Frames of an output.
    frames : int
        Frames of a clip. The last output reaches to the last frame.
    """

    framewise: np.ndarray
    clipwise: np.ndarray
    stride_frames: int
    frames: int

    def __len__(self) -> int:
        return len(self.framewise)

    def __getitem__(self, index: int) -> Self:
        """Return the probabilities of a single clip."""
        return replace(self, framewise=self.framewise[index], clipwise=self.clipwise[index])

    def __iter__(self) -> Iterator[Self]:
        return (self[index] for index in range(len(self)))

    @property
    def edges(self) -> np.ndarray:
        """The frames at which outputs begin, and the end of the last one: shape (outputs + 1,), int."""
        edges = np.arange(self.framewise.shape[-2] + 1) * self.stride_frames
        edges[-1] = self.frames
        return edges

    def stretched(self) -> np.ndarray:
        """Return the frame probabilities at the resolution of the log-mel, shape (..., frames, classes)."""
        return self.framewise.repeat(np.diff(self.edges), axis=-2)
