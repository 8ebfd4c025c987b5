"""From a model and features to probabilities, events and scores."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pytorch.compute import Compute
from pytorch.models import DESIGNS, Cnn, Crnn, CrnnDesign
from utils import config
from utils.data_generator import evaluation_batches
from utils.errors import SedError
from utils.feature_file import Features, Scalar
from utils.log import logger
from utils.metadata import Clip, read_clips, write_strong_table
from utils.run_statistics import append_record, validation_key
from utils.score_report import log_lines
from utils.scoring import DetectionScores, mean_average_precision, score_events
from utils.vad import detect_events
from utils.workspace import STUDENT, Run, Workspace


@dataclass(frozen=True)
class Probabilities:
    """What a model says of clips.

    Attributes
    ----------
    framewise : np.ndarray, shape (clips, frames, classes)
    clipwise : np.ndarray, shape (clips, classes)
    stride_frames : int
        Frames that the model gave out one probability for.
    """

    framewise: np.ndarray
    clipwise: np.ndarray
    stride_frames: int


@dataclass(frozen=True)
class ValidationSet:
    """The validation clips: their features, and their reference in the same order."""

    features: Features
    reference: list[Clip]


@dataclass(frozen=True)
class ValidationScores:
    """The scores of a model on the validation clips."""

    mean_average_precision: float
    detection: DetectionScores
    clips_listed: int

    def to_json(self) -> dict[str, Any]:
        """Return the scores as nested dictionaries, for a line of statistics."""
        return {
            "mean_average_precision": self.mean_average_precision,
            "clips_listed": self.clips_listed,
            **self.detection.to_json(),
        }


def predict(model: Cnn | Crnn, features: Features, scalar: Scalar, compute: Compute) -> Probabilities:
    """Run the model over all clips, in their order."""
    framewise, clipwise = [], []
    model.eval()
    for batch in evaluation_batches(features, scalar, batch_size=config.evaluation_batch_size):
        with torch.inference_mode(), compute.autocast():
            output = model(compute.tensor(batch.logmel))
        framewise.append(output.framewise_output.cpu().numpy())
        clipwise.append(output.clipwise_output.cpu().numpy())
    return Probabilities(np.concatenate(framewise), np.concatenate(clipwise), model.stride_frames)


def post_processing_of(model_type: str) -> str:
    """Return the name of the post-processing that `config` says for models of that type."""
    is_crnn = isinstance(DESIGNS[model_type], CrnnDesign)
    return config.crnn_post_processing if is_crnn else config.cnn_post_processing


def predicted_clips(names: list[str], probabilities: Probabilities, model_type: str) -> list[Clip]:
    """Turn probabilities into clips with events."""
    options = {
        "post_processing": post_processing_of(model_type),
        "stride_frames": probabilities.stride_frames,
    }
    return [
        Clip(name, events=detect_events(framewise, clipwise, **options))
        for name, framewise, clipwise in zip(
            names, probabilities.framewise, probabilities.clipwise, strict=True
        )
    ]


def read_reference(dataset_dir: Path, names: list[str]) -> list[Clip]:
    """Read the validation clips that there are features of."""
    by_name = {clip.name: clip for clip in read_clips(dataset_dir, "validation")}
    for name in names:
        if name not in by_name:
            raise SedError(
                f"{name}: there are features of this clip, but the validation table of {dataset_dir} does "
                "not list it; make the features again from this data set"
            )
    return [by_name[name] for name in names]


def score_probabilities(
    probabilities: Probabilities, validation: ValidationSet, submission_path: Path, model_type: str
) -> ValidationScores:
    """Turn probabilities into a submission, score it, and log the scores."""
    features = validation.features
    mean_ap = mean_average_precision(features.weak_target, probabilities.clipwise)
    logger.info(f"    Audio tagging mAP: {mean_ap:.3f}")
    submission = predicted_clips(features.names, probabilities, model_type)
    write_strong_table(submission_path, submission, list_eventless=False)
    logger.info(f"    Write submission file to {submission_path}")
    scores = score_events(validation.reference, submission)
    for line in log_lines(scores):
        logger.info(f"    {line}")
    return ValidationScores(mean_ap, scores, features.clips_listed)


@dataclass(frozen=True)
class Evaluation:
    """Scores a run's model now and then, into its log and its statistics.

    Attributes
    ----------
    workspace, run
        Where submissions and statistics go to.
    training : Features
        Clips to compute the training mAP of.
    validation : ValidationSet
        Clips to validate on, unless the run trains on them.
    scalar, compute
        How the model is run.
    """

    workspace: Workspace
    run: Run
    training: Features
    validation: ValidationSet
    scalar: Scalar
    compute: Compute

    def evaluate(
        self, models: dict[str, Cnn | Crnn], iteration: int, loss: float, train_seconds: float
    ) -> None:
        """Score the models as they are, after `train_seconds` of training with a mean loss of `loss`.

        Parameters
        ----------
        models : dict
            The student, and the teacher where there is one.
        iteration, loss, train_seconds
            What to log with the scores.
        """
        start = time.perf_counter()
        logger.info("------------------------------------")
        logger.info(f"iteration: {iteration}")
        record: dict[str, Any] = {"iteration": iteration, "loss": loss, "train_seconds": train_seconds}
        record["train_mean_average_precision"] = self.score_training(models[STUDENT], loss)
        if self.run.holdout_fold != "none":
            for weights, model in models.items():
                probabilities = predict(model, self.validation.features, self.scalar, self.compute)
                path = self.workspace.submission(self.run, iteration, weights)
                logger.info(
                    "validate statistics:" if weights == STUDENT else f"validate statistics, {weights}:"
                )
                scores = score_probabilities(probabilities, self.validation, path, self.run.model_type)
                record[validation_key(weights)] = scores.to_json()
        record["validate_seconds"] = time.perf_counter() - start
        logger.info(f"train time: {train_seconds:.3f} s, validate time: {record['validate_seconds']:.3f} s")
        append_record(self.workspace.training_statistics(self.run), record)

    def score_training(self, model: Cnn | Crnn, loss: float) -> float:
        """Log the loss and the mAP on the training clips, and return the mAP."""
        logger.info("train statistics:")
        logger.info(f"    Loss: {loss:.4f}")
        probabilities = predict(model, self.training, self.scalar, self.compute)
        mean_ap = mean_average_precision(self.training.weak_target, probabilities.clipwise)
        logger.info(f"    Audio tagging mAP: {mean_ap:.3f}")
        return mean_ap
