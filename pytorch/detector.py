"""A trained model with all that it needs to hear events in recordings, from its checkpoint alone."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pytorch.checkpoint import WEIGHTS_KEYS, read_checkpoint
from pytorch.compute import Compute
from pytorch.data_generator import Standardizer
from pytorch.evaluation import predict
from pytorch.losses import LOSSES
from pytorch.models import DESIGNS, Cnn, Crnn, create_model
from utils import config
from utils.audio.feature_file import Features
from utils.scoring.validation import Probabilities
from utils.settings.detector_settings import apply_detector_settings
from utils.system.errors import SedError
from utils.workspace.paths import TEACHER

TYPES = {"model_type": str, "loss_type": str, "iteration": int}  # of values in a checkpoint


@dataclass(frozen=True)
class Detector:
    """A trained model, and how it is run."""

    model: Cnn | Crnn
    standardize: Standardizer
    compute: Compute

    def probabilities(self, logmel: np.ndarray) -> Probabilities:
        """Return what the model says of log-mel features (clips, frames, mel_bins) in dB."""
        features = Features([""] * len(logmel), logmel, None, None, len(logmel))
        return predict(self.model, features, self.standardize, self.compute)


@dataclass(frozen=True)
class StoredDetector(Detector):
    """A detector from a checkpoint, with what the checkpoint says of it."""

    model_type: str
    iteration: int


def detector_of_checkpoint(path: Path, weights: str, compute: Compute) -> StoredDetector:
    """Load a detector, and let the config be the one that it was trained with.

    The file may be a stranger's: it is read without running anything in it, and its values are checked.

    Parameters
    ----------
    path : Path
        A checkpoint.
    weights : {"student", "teacher"}
        Whose weights in it.
    compute : Compute
        Where and how precisely the model computes.

    Raises
    ------
    SedError
        If the file is no checkpoint, lacks something, or holds values that fit no model.
    """
    if not path.is_file():
        raise SedError(f"{path}: there is no such checkpoint; train with pytorch/main.py first")
    content = read_checkpoint(path, compute.device)
    if weights == TEACHER and WEIGHTS_KEYS[TEACHER] not in content:
        raise SedError(f"{path}: has no teacher; leave out --weights, or train with --loss_type mean_teacher")
    for key in (*TYPES, "scalar", "settings", WEIGHTS_KEYS[weights]):
        if key not in content:
            raise SedError(f"{path}: holds no '{key}', as it is of an earlier version; train again")
    for key, expected in TYPES.items():
        if not isinstance(content[key], expected):
            raise SedError(f"{path}: its {key} is {content[key]!r}; take another file")
    model_type, loss_type = content["model_type"], content["loss_type"]
    if model_type not in DESIGNS or loss_type not in LOSSES:
        raise SedError(f"{path}: is of the unknown model '{model_type}' or loss '{loss_type}'; train again")
    apply_detector_settings(content["settings"], str(path))
    standardize = standardizer_in(content["scalar"], path)
    try:
        model = create_model(model_type, config.classes_num, LOSSES[loss_type].clip_output_from)
        model.load_state_dict(content[WEIGHTS_KEYS[weights]])
    except Exception as error:  # whatever the file holds instead of weights
        raise SedError(f"{path}: its weights are not those of a {model_type}; train again") from error
    return StoredDetector(model.to(compute.device), standardize, compute, model_type, content["iteration"])


def standardizer_in(content: object, path: Path) -> Standardizer:
    """Return the scalar in a checkpoint, which must have a finite mean and deviation of each mel band."""
    values = []
    for key in ("mean", "std"):
        value = content.get(key) if isinstance(content, dict) else None
        is_right = isinstance(value, torch.Tensor) and value.shape == (config.mel_bins,)
        if not is_right or not value.is_floating_point() or not value.isfinite().all():
            raise SedError(f"{path}: its scalar has no {key} of {config.mel_bins} mel bands; train again")
        values.append(value)
    return Standardizer(*values)
