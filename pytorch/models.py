"""The networks: log-mel in, framewise and clipwise probabilities out."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pytorch.dropout import Dropout
from utils.settings.groups import FeatureSettings
from utils.system.errors import SedError


class ModelOutput(NamedTuple):
    """Probabilities of a batch, at the model's own resolution.

    Attributes
    ----------
    framewise_output : Tensor, shape (batch, outputs, classes), float32
    clipwise_output : Tensor, shape (batch, classes), float32
    stride_frames : int
        Frames that an output stands for; the last one also stands for the rest of the clip.
    """

    framewise_output: Tensor
    clipwise_output: Tensor
    stride_frames: int

    def stretched(self, frames: int) -> Self:
        """Return the same at the resolution of the log-mel: framewise_output (batch, frames, classes)."""
        repeated = self.framewise_output.repeat_interleave(self.stride_frames, dim=1)
        rest = repeated[:, -1:].expand(-1, frames - repeated.shape[1], -1)
        return ModelOutput(torch.cat([repeated, rest], dim=1), self.clipwise_output, 1)


@dataclass(frozen=True)
class CnnDesign:
    """What a CNN is made of.

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
    # Not amax: of several equal values, frequent in bfloat16, the published system's gradient takes one.
    # And compiled by torch.compile, amax gives NaN where no value, computed anew, equals it.
    return x.max(dim=-1).values


def mean_over_bands(x: Tensor) -> Tensor:
    return x.mean(dim=-1)


@dataclass(frozen=True)
class CrnnDesign:
    """What a CRNN is made of; the values are those of the challenge's official baseline.

    Attributes
    ----------
    channels : tuple of int
        Output channels of each convolution.
    kernel_size : int
        Of each convolution, in frames and in bands.
    pooling : tuple of int
        Size of the average pooling after each convolution, in frames and bands.
    norm_epsilon, norm_momentum : float
        Of the batch normalization. torch's momentum is the weight of the newest batch.
    recurrent_layers, recurrent_cells : int
        Layers of the bidirectional GRU, and cells in each direction.
    dropout : float
        Fraction of the values set to 0 in training, after each convolution and after the GRU.
    """

    channels: tuple[int, ...] = (64, 64, 64)
    kernel_size: int = 3
    pooling: tuple[int, int] = (2, 4)
    norm_epsilon: float = 0.001
    norm_momentum: float = 0.99
    recurrent_layers: int = 2
    recurrent_cells: int = 64
    dropout: float = 0.5


@dataclass(frozen=True)
class StridedConvolution:
    """A convolution of a `StridedCrnnDesign`, followed by batch normalization, ReLU, pooling and dropout.

    Attributes
    ----------
    channels, kernel_size, stride : int
        Of the convolution; kernel and stride in frames and in bands.
    pooling : tuple of int
        Size of the average pooling, in frames and bands.
    """

    channels: int
    kernel_size: int = 3
    stride: int = 1
    pooling: tuple[int, int] = (1, 2)


@dataclass(frozen=True)
class StridedCrnnDesign:
    """What the recipe's CRNN is made of: cheap on processors, as no layer works at the full resolution.

    Attributes
    ----------
    convolutions : tuple of StridedConvolution
    dropout : float
        Fraction of the channels set to 0 in training, after each convolution.
    recurrent_cells : int
        Cells of the bidirectional GRU in each direction.
    """

    convolutions: tuple[StridedConvolution, ...] = (
        StridedConvolution(16, kernel_size=5, stride=2, pooling=(1, 1)),
        StridedConvolution(32, pooling=(2, 2)),
        StridedConvolution(64),
        StridedConvolution(128),
        StridedConvolution(128),
        StridedConvolution(192),
    )
    dropout: float = 0.15
    recurrent_cells: int = 128


Design = CnnDesign | CrnnDesign | StridedCrnnDesign
DESIGNS: dict[str, Design] = {
    "Cnn_5layers_AvgPooling": CnnDesign((64, 128, 256, 512), 1, 5, F.avg_pool2d, mean_over_bands),
    "Cnn_9layers_AvgPooling": CnnDesign((64, 128, 256, 512), 2, 3, F.avg_pool2d, max_over_bands),
    "Cnn_9layers_MaxPooling": CnnDesign((64, 128, 256, 512), 2, 3, F.max_pool2d, max_over_bands),
    "Cnn_13layers_AvgPooling": CnnDesign((64, 128, 256, 512, 1024, 2048), 2, 3, F.avg_pool2d, max_over_bands),
    "Crnn": CrnnDesign(),
    "Crnn_8layers_AttentionPooling": StridedCrnnDesign(),
}
POOLING_FACTOR = 2  # of a CNN's pooling layer, in frames and in bands
NORM_WEIGHT_DEVIATION, LINEAR_WEIGHT_DEVIATION = 0.02, 0.01  # of the initialization of Crnn
SMALLEST_ATTENTION = 1e-7  # keeps the attention's sum over time from being 0


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


@contextmanager
def output_precision(vectors: Tensor, in_float32: bool) -> Iterator[Tensor]:
    """Give the vectors as the output layers take them, which compute in float32, or else as the rest does."""
    if not in_float32:
        yield vectors
        return
    with torch.autocast(vectors.device.type, enabled=False):
        yield vectors.float()


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
    outputs_in_float32 : bool
        Whether the output layer computes in float32 where the rest is in bfloat16.
    """

    def __init__(
        self,
        design: CnnDesign,
        classes_num: int,
        clip_output_from: Literal["frame_vectors", "frame_outputs"],
        outputs_in_float32: bool,
    ) -> None:
        super().__init__()
        self.design = design
        self.clip_output_from = clip_output_from
        self.outputs_in_float32 = outputs_in_float32
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

    @property
    def stride_frames(self) -> int:
        """Frames of the input that an output stands for."""
        return POOLING_FACTOR ** (len(self.blocks) - 1)

    def classify(self, vectors: Tensor) -> Tensor:
        """Return the class probabilities of vectors (..., channels), as float32."""
        return torch.sigmoid(self.classifier(vectors)).float()

    def forward(self, logmel: Tensor) -> ModelOutput:
        """Classify logmel (batch, frames, mel_bins), standardized."""
        vectors = self.frame_vectors(logmel)
        with output_precision(vectors, self.outputs_in_float32) as vectors:
            frame_outputs = self.classify(vectors)
            if self.clip_output_from == "frame_vectors":
                clipwise_output = self.classify(vectors.max(dim=1).values)
            else:
                clipwise_output = frame_outputs.max(dim=1).values
        return ModelOutput(frame_outputs, clipwise_output, self.stride_frames)


class GatedLinearUnit(nn.Module):
    """A linear layer over the channels of x (batch, channels, frames, bands), times the sigmoid of x."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, channels)
        initialize_baseline_linear(self.linear)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) * torch.sigmoid(x)


class GatedBlock(nn.Sequential):
    """Convolution, batch normalization, gated linear unit, dropout and average pooling."""

    def __init__(self, in_channels: int, out_channels: int, design: CrnnDesign) -> None:
        convolution = nn.Conv2d(
            in_channels, out_channels, design.kernel_size, padding=design.kernel_size // 2
        )
        nn.init.xavier_uniform_(convolution.weight, gain=nn.init.calculate_gain("relu"))
        nn.init.zeros_(convolution.bias)
        norm = nn.BatchNorm2d(out_channels, eps=design.norm_epsilon, momentum=design.norm_momentum)
        nn.init.normal_(norm.weight, 1.0, NORM_WEIGHT_DEVIATION)
        super().__init__(convolution, norm, GatedLinearUnit(out_channels), Dropout(design.dropout))
        self.pooling = design.pooling

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        frames, bands = self.pooling
        bands_left = int(x.shape[-1])  # few are used up before the end; int, as an exporter traces shapes
        return F.avg_pool2d(x, (frames, min(bands, bands_left)))


def initialize_baseline_linear(layer: nn.Linear) -> None:
    """Draw the weights from a narrow normal distribution, and set the biases to 0."""
    nn.init.normal_(layer.weight, 0.0, LINEAR_WEIGHT_DEVIATION)
    nn.init.zeros_(layer.bias)


class Crnn(nn.Module):
    """The official baseline's network: gated convolutions, a bidirectional GRU, attention pooling.

    Each frame's outputs are the sigmoids of a linear layer. A second linear layer's softmax over the classes
    weights them in the average over time that is the clip output.

    Parameters
    ----------
    design : CrnnDesign
        The sizes.
    classes_num : int
        Number of classes.
    outputs_in_float32 : bool
        Whether the GRU and the output layers compute in float32 where the rest is in bfloat16.
    """

    def __init__(self, design: CrnnDesign, classes_num: int, outputs_in_float32: bool) -> None:
        super().__init__()
        self.design = design
        self.outputs_in_float32 = outputs_in_float32
        in_channels = (1, *design.channels[:-1])
        self.blocks = nn.ModuleList(
            GatedBlock(before, after, design)
            for before, after in zip(in_channels, design.channels, strict=True)
        )
        self.recurrent = nn.GRU(
            design.channels[-1],
            design.recurrent_cells,
            design.recurrent_layers,
            batch_first=True,
            bidirectional=True,
        )
        for parameter in self.recurrent.parameters():
            if parameter.dim() > 1:  # a matrix, not a bias
                nn.init.orthogonal_(parameter)
        self.dropout = Dropout(design.dropout)
        self.classifier = nn.Linear(2 * design.recurrent_cells, classes_num)
        self.attention = nn.Linear(2 * design.recurrent_cells, classes_num)
        initialize_baseline_linear(self.classifier)
        initialize_baseline_linear(self.attention)

    @property
    def stride_frames(self) -> int:
        """Frames of the input that an output stands for."""
        return self.design.pooling[0] ** len(self.blocks)

    def frame_vectors(self, logmel: Tensor) -> Tensor:
        """Return the vectors (batch, frames / pooling, channels) of logmel (batch, frames, mel_bins)."""
        x = logmel[:, None].contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            x = block(x)
        return mean_over_bands(x).transpose(1, 2)

    def forward(self, logmel: Tensor) -> ModelOutput:
        """Classify logmel (batch, frames, mel_bins), standardized."""
        vectors = self.frame_vectors(logmel)
        with output_precision(vectors, self.outputs_in_float32) as vectors:
            states = self.dropout(self.recurrent(vectors)[0])
            frame_outputs = torch.sigmoid(self.classifier(states)).float()
            clipwise_output = attention_pooling(frame_outputs, self.attention(states).float())
        return ModelOutput(frame_outputs, clipwise_output, self.stride_frames)


def attention_pooling(frame_outputs: Tensor, scores: Tensor) -> Tensor:
    """Average frame outputs over time by weights: the softmax over the classes of the scores.

    Parameters
    ----------
    frame_outputs, scores : Tensor, shape (batch, frames, classes)

    Returns
    -------
    Tensor, shape (batch, classes)
    """
    weights = scores.softmax(dim=-1).clamp(SMALLEST_ATTENTION, 1)
    return (frame_outputs * weights).sum(dim=1) / weights.sum(dim=1)


class MeanPooling(nn.Module):
    """Average pooling as sums over frames and a product with a small matrix over bands.

    On processors it takes a fifth of the time of torch's own, which is slow for odd memory layouts.
    """

    def __init__(self, frames: int, bands: int) -> None:
        super().__init__()
        self.frames, self.bands = frames, bands

    def forward(self, x: Tensor) -> Tensor:
        frames, bands = x.shape[2:]
        if self.frames > 1:
            x = x[:, :, : frames - frames % self.frames].unflatten(2, (-1, self.frames)).sum(dim=3)
        if self.bands == 1:
            return x / self.frames
        pooled_bands = max(bands // self.bands, 1)
        averaging = torch.zeros(bands, pooled_bands, dtype=x.dtype, device=x.device)
        band = torch.arange(min(pooled_bands * self.bands, bands), device=x.device)
        averaging[band, band // self.bands] = 1 / (self.frames * min(self.bands, bands))
        return x @ averaging


class StridedCrnn(nn.Module):
    """The recipe's network: strided convolutions, a bidirectional GRU, attention pooling over time.

    Each output is the sigmoid of a linear layer. A second linear layer's softmax over time weights them in
    the average that is the clip output.

    Parameters
    ----------
    design : StridedCrnnDesign
        The sizes.
    classes_num : int
        Number of classes.
    mel_bins : int
        Of the input.
    """

    def __init__(self, design: StridedCrnnDesign, classes_num: int, mel_bins: int) -> None:
        super().__init__()
        self.design = design
        layers: list[nn.Module] = []
        before, bands = 1, mel_bins
        for one in design.convolutions:
            convolution = nn.Conv2d(
                before, one.channels, one.kernel_size, one.stride, one.kernel_size // 2, bias=False
            )
            initialize_weights(convolution)
            layers += [convolution, nn.BatchNorm2d(one.channels), nn.ReLU()]
            bands = -(-bands // one.stride)
            if one.pooling != (1, 1):
                layers.append(MeanPooling(*one.pooling))
                bands = max(bands // one.pooling[1], 1)
            layers.append(nn.Dropout2d(design.dropout))
            before = one.channels
        self.convolutions = nn.Sequential(*layers)
        self.recurrent = nn.GRU(before * bands, design.recurrent_cells, batch_first=True, bidirectional=True)
        self.classifier = nn.Linear(2 * design.recurrent_cells, classes_num)
        self.attention = nn.Linear(2 * design.recurrent_cells, classes_num)

    @property
    def stride_frames(self) -> int:
        """Frames of the input that an output stands for."""
        return math.prod(one.stride * one.pooling[0] for one in self.design.convolutions)

    def forward(self, logmel: Tensor) -> ModelOutput:
        """Classify logmel (batch, frames, mel_bins), standardized."""
        # The strided convolution would give one output more for a rest of three frames.
        outputs = logmel.shape[1] // self.stride_frames
        clips = logmel[:, None, : outputs * self.stride_frames]
        x = self.convolutions(clips).permute(0, 2, 1, 3).flatten(2)
        with output_precision(x, in_float32=True) as x:
            states = self.recurrent(x)[0]
            frame_outputs = torch.sigmoid(self.classifier(states))
            weights = self.attention(states).softmax(dim=1)
            clipwise_output = (frame_outputs * weights).sum(dim=1).clamp(0, 1)
        return ModelOutput(frame_outputs, clipwise_output, self.stride_frames)


Model = Cnn | Crnn | StridedCrnn


def create_model(
    model_type: str,
    classes_num: int,
    clip_output_from: Literal["frame_vectors", "frame_outputs"],
    *,
    outputs_in_float32: bool,
    mel_bins: int,
) -> Model:
    """Create the model of that name, in the memory layout that its convolutions are fastest in.

    `clip_output_from` is for the CNNs; a CRNN pools its frame outputs by attention.
    """
    design = DESIGNS[model_type]
    if isinstance(design, StridedCrnnDesign):
        return StridedCrnn(design, classes_num, mel_bins)
    if isinstance(design, CrnnDesign):
        return Crnn(design, classes_num, outputs_in_float32).to(memory_format=torch.channels_last)
    return Cnn(design, classes_num, clip_output_from, outputs_in_float32).to(
        memory_format=torch.channels_last
    )


def require_size(model: Model, features: FeatureSettings, where: object) -> None:
    """Raise SedError where a clip is too small for the model's pooling; `where` the settings are from."""
    frames, bands = model.stride_frames, model.stride_frames if isinstance(model, Cnn) else 1
    if features.clip_frames < frames or features.mel_bins < bands:
        raise SedError(
            f"{where}: clips have {features.clip_frames} frames of {features.mel_bins} mel bands, but the "
            f"model needs at least {frames} of {bands}; raise clip_seconds or mel_bins, or lower hop_size"
        )
