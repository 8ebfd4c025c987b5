"""The convolutional networks: log-mel frames in, frame and clip probabilities out."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from utils import config


class ModelOutput(NamedTuple):
    """Probabilities: framewise_output (batch, frames, classes) and clipwise_output (batch, classes)."""

    framewise_output: Tensor
    clipwise_output: Tensor


@dataclass(frozen=True)
class CnnDesign:
    """What tells one CNN from another.

    Attributes
    ----------
    channels : tuple of int
        Output channels of each block.
    convolutions : int
        Convolutions in a block.
    kernel_size : int
        Of each convolution, in frames and in bands.
    pool : callable
        2×2 pooling between two blocks.
    reduce_bands : callable
        What makes one vector of the bands of a frame, over the last dimension.
    """

    channels: tuple[int, ...]
    convolutions: int
    kernel_size: int
    pool: Callable[[Tensor, int], Tensor]
    reduce_bands: Callable[[Tensor], Tensor]


def max_over_bands(x: Tensor) -> Tensor:
    return x.amax(dim=-1)


def mean_over_bands(x: Tensor) -> Tensor:
    return x.mean(dim=-1)


DESIGNS = {
    "Cnn_5layers_AvgPooling": CnnDesign((64, 128, 256, 512), 1, 5, F.avg_pool2d, mean_over_bands),
    "Cnn_9layers_AvgPooling": CnnDesign((64, 128, 256, 512), 2, 3, F.avg_pool2d, max_over_bands),
    "Cnn_9layers_MaxPooling": CnnDesign((64, 128, 256, 512), 2, 3, F.max_pool2d, max_over_bands),
    "Cnn_13layers_AvgPooling": CnnDesign((64, 128, 256, 512, 1024, 2048), 2, 3, F.avg_pool2d, max_over_bands),
}
POOLING_FACTOR = 2  # of a pooling layer, in frames and in bands


class ConvolutionBlock(nn.Sequential):
    """Convolutions of the same size, each followed by batch normalization and ReLU."""

    def __init__(self, in_channels: int, out_channels: int, convolutions: int, kernel_size: int) -> None:
        layers: list[nn.Module] = []
        for index in range(convolutions):
            convolution = nn.Conv2d(
                in_channels if index == 0 else out_channels,
                out_channels,
                kernel_size,
                padding=kernel_size // 2,
                bias=False,
            )
            initialize_weights(convolution)
            layers += [convolution, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)]
        super().__init__(*layers)


def initialize_weights(layer: nn.Conv2d | nn.Linear) -> None:
    """Draw the weights by Kaiming's uniform rule for a ReLU, and set the biases to 0."""
    nn.init.kaiming_uniform_(layer.weight, a=0, nonlinearity="leaky_relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def repeat_frames(x: Tensor, frames: int) -> Tensor:
    """Stretch x (batch, fewer frames, classes) to `frames` frames by repeating each, the last to the end."""
    repeated = x.repeat_interleave(frames // x.shape[1], dim=1)
    rest = repeated[:, -1:].expand(-1, frames - repeated.shape[1], -1)
    return torch.cat([repeated, rest], dim=1)


class Cnn(nn.Module):
    """A stack of convolution blocks, and one linear layer that classifies each frame's vector.

    Parameters
    ----------
    design : CnnDesign
        The blocks.
    classes_num : int
        Number of classes.
    clip_output_from : {"frame_vectors", "frame_outputs"}
        Whether the clip output is the classification of the maximum over time of the frame vectors, or
        the maximum over time of the frame outputs.
    """

    def __init__(
        self,
        design: CnnDesign,
        classes_num: int,
        clip_output_from: Literal["frame_vectors", "frame_outputs"],
    ) -> None:
        super().__init__()
        self.design = design
        self.clip_output_from = clip_output_from
        in_channels = (1, *design.channels[:-1])
        self.blocks = nn.ModuleList(
            ConvolutionBlock(before, after, design.convolutions, design.kernel_size)
            for before, after in zip(in_channels, design.channels, strict=True)
        )
        self.classifier = nn.Linear(design.channels[-1], classes_num)
        initialize_weights(self.classifier)

    def frame_vectors(self, logmel: Tensor) -> Tensor:
        """Return the vectors (batch, frames / pooling, channels) of logmel (batch, frames, mel_bins)."""
        x = logmel[:, None].contiguous(memory_format=torch.channels_last)
        for index, block in enumerate(self.blocks):
            if index > 0:
                x = self.design.pool(x, POOLING_FACTOR)
            x = block(x)
        return self.design.reduce_bands(x).transpose(1, 2)

    def classify(self, vectors: Tensor) -> Tensor:
        """Return the class probabilities of vectors (..., channels), as float32."""
        autocast = torch.autocast(vectors.device.type, enabled=False)
        with autocast if config.outputs_in_float32 else nullcontext():
            return torch.sigmoid(self.classifier(vectors)).float()

    def forward(self, logmel: Tensor) -> ModelOutput:
        """Classify logmel (batch, frames, mel_bins), standardized."""
        vectors = self.frame_vectors(logmel)
        if config.outputs_in_float32:
            vectors = vectors.float()
        frame_outputs = self.classify(vectors)
        if self.clip_output_from == "frame_vectors":
            clipwise_output = self.classify(vectors.amax(dim=1))
        else:
            clipwise_output = frame_outputs.amax(dim=1)
        return ModelOutput(repeat_frames(frame_outputs, logmel.shape[1]), clipwise_output)


def create_model(
    model_type: str, classes_num: int, clip_output_from: Literal["frame_vectors", "frame_outputs"]
) -> Cnn:
    """Create the model of that name, in the memory layout that its convolutions are fastest in."""
    model = Cnn(DESIGNS[model_type], classes_num, clip_output_from)
    return model.to(memory_format=torch.channels_last)
