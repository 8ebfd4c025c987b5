"""The losses, by the names that the command line knows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from pytorch.models import ModelOutput


def clipwise_binary_crossentropy(output: ModelOutput, target: Tensor) -> Tensor:
    """Compare the clip probabilities with the clip labels, both (batch, classes)."""
    return F.binary_cross_entropy(output.clipwise_output, target)


def framewise_binary_crossentropy(output: ModelOutput, target: Tensor) -> Tensor:
    """Compare the frame probabilities with the events, both (batch, frames, classes)."""
    return F.binary_cross_entropy(output.framewise_output, target)


@dataclass(frozen=True)
class Loss:
    """A loss: its function, the target it compares with, and how its model derives the clip output.

    A model trained on clip labels must let the loss of a clip reach its strongest frame vector, so it
    classifies the maximum of the frame vectors; one trained on frames has reliable frame outputs already.
    """

    function: Callable[[ModelOutput, Tensor], Tensor]
    target: Literal["weak_target", "strong_target"]
    clip_output_from: Literal["frame_vectors", "frame_outputs"]


LOSSES = {
    "clipwise_binary_crossentropy": Loss(clipwise_binary_crossentropy, "weak_target", "frame_vectors"),
    "framewise_binary_crossentropy": Loss(framewise_binary_crossentropy, "strong_target", "frame_outputs"),
}
