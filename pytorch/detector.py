"""A trained model with all that its events depend on."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pytorch.checkpoint import WEIGHTS_KEYS, read_checkpoint, require_tensor, require_tensors
from pytorch.compute import Compute
from pytorch.data_generator import Standardizer
from pytorch.losses import LOSSES
from pytorch.models import (
    DESIGNS,
    CnnDesign,
    CrnnDesign,
    Model,
    StridedCrnnDesign,
    create_model,
    require_size,
)
from utils.audio.logmel import decibels
from utils.events.post_processing import PostProcessing, class_post_processing
from utils.events.probabilities import Probabilities
from utils.events.tuning import read_tuned
from utils.settings.group import names_of
from utils.settings.groups import EventSettings, FeatureSettings
from utils.system.errors import SedError, made_by
from utils.workspace.paths import tuned_beside
from utils.workspace.run import TEACHER

TYPES = {  # of values in a checkpoint
    "model_type": str,
    "loss_type": str,
    "outputs_in_float32": bool,
    "iteration": int,
    "training_id": str,
    "features": dict,
    "events": dict,
    "scalar": dict,
}


@dataclass(frozen=True)
class Detector:
    """A model, and how recordings become its input and its output becomes events.

    Attributes
    ----------
    model : Model
    model_type : str
    standardize : Standardizer
        What the log-mel is standardized by.
    features : FeatureSettings
        What the recordings are turned into.
    events : EventSettings
        How probabilities become events.
    compute : Compute
        Where and how precisely the model computes.
    batch_size : int
        Clips in one forward pass.
    """

    model: Model
    model_type: str
    standardize: Standardizer
    features: FeatureSettings
    events: EventSettings
    compute: Compute
    batch_size: int

    @property
    def labels(self) -> tuple[str, ...]:
        return self.features.labels

    @property
    def post_processing_name(self) -> str:
        """The post-processing of the model's kind, one of `POST_PROCESSINGS`."""
        by_design = {
            CnnDesign: self.events.cnn_post_processing,
            CrnnDesign: self.events.crnn_post_processing,
            StridedCrnnDesign: self.events.recipe_post_processing,
        }
        return by_design[type(DESIGNS[self.model_type])]

    @property
    def post_processing(self) -> PostProcessing:
        """How its probabilities become events: the same for all classes, unless it is tuned."""
        of_class = class_post_processing(self.post_processing_name, self.events)
        of_classes = (of_class,) * self.features.classes_num
        return PostProcessing(self.labels, of_classes, self.features.frames_per_second)

    def probabilities(self, logmel: np.ndarray | torch.Tensor) -> Probabilities:
        """Run the model over clips; where there is digital silence only, nothing is detected.

        Parameters
        ----------
        logmel : np.ndarray, h5py.Dataset or Tensor, shape (clips, frames, mel_bins), dB
            A data set in a file is read batch by batch.
        """
        self.model.eval()
        silence_level = decibels(np.zeros(self.features.mel_bins), self.features.log_floor)
        silence = self.standardize(torch.from_numpy(silence_level))
        outputs: list[torch.Tensor] = []
        for start in range(0, len(logmel), self.batch_size):
            rows = slice(start, start + self.batch_size)
            clips = logmel[rows]
            batch = self.standardize(torch.from_numpy(clips) if isinstance(clips, np.ndarray) else clips)
            with torch.inference_mode(), self.compute.autocast():
                output = self.model(batch)[:2]
                is_silent = (batch == silence).flatten(1).all(dim=1)
                for probability in output:
                    probability[is_silent] = 0
            if not outputs:
                # Made beforehand: small tensors made between the large ones of the batches would keep the
                # allocator from using that memory again. A GPU's are sent in one copy at the end.
                outputs = [part.new_empty((len(logmel), *part.shape[1:])) for part in output]
            for whole, part in zip(outputs, output, strict=True):
                whole[rows] = part
        arrays = [whole.cpu().numpy() for whole in outputs]
        if not all(np.isfinite(array).all() for array in arrays):
            raise SedError("the model's probabilities are NaN, as its weights are of no use; train again")
        return Probabilities(*arrays, self.model.stride_frames, logmel.shape[1])


@dataclass(frozen=True)
class StoredDetector(Detector):
    """A detector from a checkpoint.

    Attributes
    ----------
    iteration : int
        Of the training, when the checkpoint was saved.
    training_id : str
        What identifies the training among those of its run.
    tuned : PostProcessing or None
        What `tune` has chosen, where that is used.
    """

    iteration: int
    training_id: str
    tuned: PostProcessing | None = None

    @property
    def post_processing(self) -> PostProcessing:
        return self.tuned or super().post_processing


def load_detector(
    path: Path,
    weights: str,
    compute: Compute,
    *,
    batch_size: int,
    event_values: Mapping[str, Any],
) -> StoredDetector:
    """Load a detector, which depends on nothing but its checkpoint.

    The file may be a stranger's: it is read without running anything in it, and its values are checked.

    Parameters
    ----------
    path : Path
        A checkpoint.
    weights : {"student", "teacher"}
        Whose weights in it.
    compute : Compute
        Where and how precisely the model computes.
    batch_size : int
        Clips in one forward pass.
    event_values : mapping
        Of `EventSettings`: values that replace those of the checkpoint, as how probabilities become events
        can be chosen anew.

    Raises
    ------
    SedError
        If the file is not a valid checkpoint, lacks something, or holds values that fit no model.
    """
    content = read_checkpoint(path, compute.device)
    if weights == TEACHER and WEIGHTS_KEYS[TEACHER] not in content:
        raise SedError(f"{path}: has no teacher; leave out --weights, or train with --loss_type mean_teacher")
    for key in (*TYPES, WEIGHTS_KEYS[weights]):
        if key not in content:
            raise SedError(f"{path}: has no '{key}', as it is of an earlier version; train again")
    for key, expected in TYPES.items():
        if type(content[key]) is not expected:
            raise SedError(f"{path}: '{key}' is not valid; take another file, or train again")
    model_type, loss_type = content["model_type"], content["loss_type"]
    for value, known in ((model_type, DESIGNS), (loss_type, LOSSES)):
        if value not in known:
            raise SedError(f"{path}: '{value}' is not known, as it is of another version; train again")
    features = FeatureSettings.of(content["features"], str(path))
    chosen_events = {name: event_values[name] for name in names_of(EventSettings) if name in event_values}
    events = EventSettings.of(content["events"] | chosen_events, str(path))
    standardize = standardizer_in(content["scalar"], features.mel_bins, path)
    model = create_model(
        model_type,
        features.classes_num,
        LOSSES[loss_type].clip_output_from,
        outputs_in_float32=content["outputs_in_float32"],
        mel_bins=features.mel_bins,
    )
    require_size(model, features, path)
    try:
        require_tensors(content[WEIGHTS_KEYS[weights]], model.state_dict())
    except ValueError as error:
        raise SedError(
            f"{path}: its weights are not those of a {model_type}: {error}; train again"
        ) from error
    model.load_state_dict(content[WEIGHTS_KEYS[weights]])
    return StoredDetector(
        model.to(compute.device),
        model_type,
        standardize,
        features,
        events,
        compute,
        batch_size,
        content["iteration"],
        content["training_id"],
    )


def standardizer_in(content: Mapping[str, Any], mel_bins: int, path: Path) -> Standardizer:
    """Return the scalar in a checkpoint: a finite mean and a positive standard deviation of each mel band."""
    values = []
    for key in ("mean", "std"):
        value = content.get(key)
        try:
            require_tensor(key, value, (mel_bins,), torch.float64)
        except ValueError as error:
            raise SedError(
                f"{path}: its scalar has no valid {key} of {mel_bins} mel bands: {error}; train again"
            ) from error
        if key == "std" and (value <= 0).any():
            raise SedError(f"{path}: a standard deviation in its scalar is not positive; train again")
        values.append(value)
    return Standardizer(*values)


def tuned_post_processing(detector: StoredDetector, checkpoint: Path, weights: str) -> PostProcessing:
    """Return the post-processing that was tuned for some weights of the detector's checkpoint.

    Raises
    ------
    SedError
        If there is none, or it is not valid for this detector.
    """
    with made_by("pytorch/inference.py tune, with the options of this run"):
        return read_tuned(
            tuned_beside(checkpoint, weights), detector.post_processing, detector.events, detector.training_id
        )
