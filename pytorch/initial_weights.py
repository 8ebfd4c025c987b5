"""Where a training starts, if not from random weights: another model, or a published PANN."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pytorch.checkpoint import WEIGHTS_KEYS, read_checkpoint
from pytorch.compute import Compute
from pytorch.detector import load_detector
from pytorch.models import DESIGNS, CnnDesign
from utils.audio.feature_file import Scalar
from utils.audio.logmel import mel_filters
from utils.settings.groups import FeatureSettings
from utils.system.errors import SedError
from utils.system.log import logger
from utils.workspace.run import STUDENT

OUTPUT_LAYERS = ("classifier", "attention")  # of all models; they have a row for each class
INPUT_SETTINGS = (  # what a network has learned to expect; clips may have another length, and other classes
    "sample_rate",
    "window_size",
    "hop_size",
    "mel_bins",
    "mel_min_frequency",
    "mel_max_frequency",
    "log_floor",
)
CPU = Compute(torch.device("cpu"), torch.float32)

# Published by Q. Kong et al., PANNs: Large-scale pretrained audio neural networks for audio pattern
# recognition, IEEE/ACM TASLP 28, 2020.
PANNS = {  # by the model that has the same convolutions
    "Cnn_13layers_AvgPooling": "Cnn14",
    "Cnn_9layers_AvgPooling": "Cnn10",
    "Cnn_5layers_AvgPooling": "Cnn6",
}
PANN_INPUT = (32000, 1024, 320, 64, 50.0, 14000.0, 1e-10)  # values of INPUT_SETTINGS
PANN_NORM_EPSILON = 1e-5  # of its batch normalization
PANN_FIRST_WEIGHT = "conv_block1.conv1.weight"  # what its layout is recognized by
MEL_TOLERANCE = 1e-5  # of the mel filters in a PANN's file, which are float32; the largest weight is 0.04
NORM_VALUES = ("weight", "bias", "running_mean", "running_var")
LAYERS_OF_CONVOLUTION = 3  # in a block of ours: convolution, batch normalization, ReLU

array_of_pickle = np._core.multiarray._reconstruct
NUMPY_ARRAYS = [  # may lie in a PANN's file beside the weights; reading them runs nothing
    *((array_of_pickle, f"numpy.{module}.multiarray._reconstruct") for module in ("core", "_core")),
    np.ndarray,
    np.dtype,
    *(type(np.dtype(name)) for name in ("bool", "int32", "int64", "uint32", "float32", "float64")),
]


@dataclass(frozen=True)
class InitialWeights:
    """What a training starts from.

    Attributes
    ----------
    path : Path
        Where it is from.
    weights : mapping of str to Tensor
        By name in the model's state.
    labels : tuple of str
        The classes of the rows of the output layers; none where there are no such layers.
    scalar : Scalar or None
        What the network's input must be standardized by; None: by the scalar of the workspace.
    """

    path: Path
    weights: Mapping[str, Tensor]
    labels: tuple[str, ...]
    scalar: Scalar | None = None

    def put_into(self, models: Sequence[nn.Module], labels: Sequence[str]) -> None:
        """Set the weights of the models, which begin as equals.

        The output layers stay as they are, but for the rows of classes that the other model had too.

        Raises
        ------
        SedError
            If a layer has another size.
        """
        for model in models:
            state = model.state_dict()
            for name, value in self.weights.items():
                if name.split(".")[0] in OUTPUT_LAYERS:
                    for row, label in enumerate(labels):
                        if label in self.labels:
                            state[name][row] = value[self.labels.index(label)]
                elif state[name].shape != value.shape:
                    sizes = f"{tuple(value.shape)} instead of {tuple(state[name].shape)}"
                    raise SedError(f"{self.path}: {name} has the shape {sizes}; take another --model_type")
                else:
                    state[name].copy_(value)
        known = [label for label in labels if label in self.labels]
        logger.info(
            f"Weights start from {self.path}; classes that it knows: {', '.join(known) or 'none'}; "
            f"classes that are new: {len(labels) - len(known)} of {len(labels)}"
        )


def read_initial_weights(path: Path, model_type: str, features: FeatureSettings) -> InitialWeights:
    """Read what a training is to start from, without running anything in the file.

    Parameters
    ----------
    path : Path
        A checkpoint of this project, also one of other classes, or of one of the `PANNS`.
    model_type : str
        Of the training.
    features : FeatureSettings
        Of the training.

    Raises
    ------
    SedError
        If the file is not valid, or does not fit the model or the features.
    """
    with torch.serialization.safe_globals(NUMPY_ARRAYS):
        content = read_checkpoint(path, CPU.device)
    weights = content.get(WEIGHTS_KEYS[STUDENT])
    if isinstance(weights, Mapping) and PANN_FIRST_WEIGHT in weights:
        return pann_weights(path, weights, model_type, features)
    other = load_detector(path, STUDENT, CPU, batch_size=1, event_values={})
    if other.model_type != model_type:
        raise SedError(f"{path}: is a {other.model_type}; train with --model_type {other.model_type}")
    require_input(path, [getattr(other.features, name) for name in INPUT_SETTINGS], features)
    return InitialWeights(path, other.model.state_dict(), other.labels)


def require_input(path: Path, expected: Sequence[Any], features: FeatureSettings) -> None:
    """Raise SedError unless the features are those that the network has learned from."""
    for name, value in zip(INPUT_SETTINGS, expected, strict=True):
        now = getattr(features, name)
        if value != now:
            raise SedError(
                f"{path}: was trained with {name} = {value:g}, and now it is {now:g}; set it to {value:g} "
                "and make the features and the scalar again, or start without --initial_checkpoint"
            )


def pann_weights(
    path: Path, content: Mapping[str, Any], model_type: str, features: FeatureSettings
) -> InitialWeights:
    """Return the convolutions of a PANN, and as a scalar the normalization of its input.

    Its first layer `bn0` normalizes each mel band as the scalar does here, so it becomes the scalar: what the
    first convolution sees is what it has seen in its own training. Its fully connected layers are left out.
    """
    if model_type not in PANNS:
        known = ", ".join(PANNS)
        raise SedError(f"{path}: is a published PANN; train with --model_type, one of {known}")
    require_input(path, PANN_INPUT, features)
    filters = content.get("logmel_extractor.melW")
    if isinstance(filters, Tensor):
        own = torch.from_numpy(mel_filters(features).toarray().T)
        if filters.shape != own.shape or not torch.allclose(filters.float(), own, atol=MEL_TOLERANCE):
            raise SedError(f"{path}: has other mel filters than PANNs of 32 kHz have; take one of 32 kHz")
    design = DESIGNS[model_type]
    assert isinstance(design, CnnDesign)
    names = {}
    for block in range(len(design.channels)):
        for number in range(design.convolutions):
            layer, of_pann = LAYERS_OF_CONVOLUTION * number, f"conv_block{block + 1}"
            names[f"blocks.{block}.{layer}.weight"] = f"{of_pann}.conv{number + 1}.weight"
            for value in NORM_VALUES:
                names[f"blocks.{block}.{layer + 1}.{value}"] = f"{of_pann}.bn{number + 1}.{value}"
    norm_names = [f"bn0.{value}" for value in NORM_VALUES]
    values = {name: content.get(name) for name in (*names.values(), *norm_names)}
    for name, value in values.items():
        if not isinstance(value, Tensor) or not value.is_floating_point() or not value.isfinite().all():
            raise SedError(f"{path}: has no valid {name}, as a {PANNS[model_type]} has; take another file")
    if f"conv_block{len(design.channels) + 1}.conv1.weight" in content:
        raise SedError(f"{path}: has more blocks than a {PANNS[model_type]}; take another --model_type")
    weights = {name: values[of_pann] for name, of_pann in names.items()}
    norm = [values[name].double() for name in norm_names]
    return InitialWeights(path, weights, (), scalar_of_norm(*norm, features.mel_bins, path))


def scalar_of_norm(
    weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, mel_bins: int, path: Path
) -> Scalar | None:
    """Return the scalar that standardizes as a batch normalization does: (x - mean') / std'.

    A scalar cannot stand for a weight that is not positive: then there is none, and the log says so.
    """
    shapes = {tuple(values.shape) for values in (weight, bias, mean, variance)}
    if shapes != {(mel_bins,)} or (variance < 0).any():
        raise SedError(f"{path}: its bn0 is not one of {mel_bins} mel bands; take another file")
    if (weight <= 0).any():
        logger.info(f"{path}: a weight of bn0 is not positive, so the workspace's scalar is used instead")
        return None
    std = (variance + PANN_NORM_EPSILON).sqrt() / weight
    return Scalar((mean - bias * std).numpy(), std.numpy(), features="")
