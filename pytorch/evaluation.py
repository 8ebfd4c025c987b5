"""Scores a model while it trains: the forward passes here, the scoring in a process beside the training."""

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
import torch
from loky import ProcessPoolExecutor

from pytorch.compute import Compute
from pytorch.data_generator import Batch, Standardizer, evaluation_batches, evenly_chosen
from pytorch.interruption import ignore_interrupts
from pytorch.models import DESIGNS, Cnn, Crnn, CrnnDesign
from pytorch.tensorboard_log import TensorBoardLog
from utils import config
from utils.audio.feature_file import Features
from utils.audio.logmel import decibels
from utils.events.post_processing import PostProcessing, post_processing_named
from utils.results.statistics import append_record, validation_key
from utils.scoring.validation import (
    Probabilities,
    Scored,
    ValidationReference,
    score_probabilities_in_worker,
    score_tags_in_worker,
)
from utils.system.log import logger
from utils.workspace.paths import STUDENT, Run, Workspace


@dataclass(frozen=True)
class ValidationSet:
    """Clips to validate or to tune on: their features, and their annotation in the same order."""

    features: Features
    reference: ValidationReference


def scoring_workers() -> int:
    """Return how many processes score: one, or more where there are processors that training leaves idle."""
    return min(max(1, joblib.cpu_count() // 2), config.scoring_workers)


def post_processing_of(model_type: str) -> PostProcessing:
    """Return the post-processing that `config` says for models of that type."""
    is_crnn = isinstance(DESIGNS[model_type], CrnnDesign)
    return post_processing_named(config.crnn_post_processing if is_crnn else config.cnn_post_processing)


def predict_batches(
    model: Cnn | Crnn, features: Features, standardize: Standardizer, compute: Compute
) -> Iterator[tuple[Batch, Probabilities]]:
    """Run the model over all clips in their order, a batch at a time; it hears nothing in digital silence."""
    model.eval()
    silence = standardize(torch.from_numpy(decibels(np.zeros(config.mel_bins))))
    for batch in evaluation_batches(features, standardize, batch_size=config.evaluation_batch_size):
        with torch.inference_mode(), compute.autocast():
            output = model(batch.logmel)
            is_silent = (batch.logmel == silence).flatten(1).all(dim=1)
            for probability in output:
                probability[is_silent] = 0
        framewise, clipwise = (probability.cpu().numpy() for probability in output)
        yield batch, Probabilities(framewise, clipwise, model.stride_frames)


def predict(
    model: Cnn | Crnn, features: Features, standardize: Standardizer, compute: Compute
) -> Probabilities:
    """Run the model over all clips, in their order."""
    parts = [probabilities for _, probabilities in predict_batches(model, features, standardize, compute)]
    return Probabilities(
        np.concatenate([part.framewise for part in parts]),
        np.concatenate([part.clipwise for part in parts]),
        model.stride_frames,
    )


def probabilities_state(probabilities: Probabilities) -> dict[str, Any]:
    """Return probabilities as a checkpoint holds them: one value for frames that share it."""
    stride = probabilities.stride_frames
    return {
        "framewise": torch.from_numpy(probabilities.framewise[:, ::stride].copy()),
        "clipwise": torch.from_numpy(probabilities.clipwise),
        "stride_frames": stride,
    }


def probabilities_of(state: dict[str, Any]) -> Probabilities:
    """Return the probabilities in a checkpoint."""
    stride = state["stride_frames"]
    framewise = np.repeat(state["framewise"].numpy(), stride, axis=1)[:, : config.clip_frames]
    return Probabilities(framewise, state["clipwise"].numpy(), stride)


@dataclass(frozen=True)
class PendingEvaluation:
    """An evaluation whose scores may still be on their way.

    Attributes
    ----------
    iteration : int
    loss : float
        Mean training loss since the evaluation before.
    train_seconds, forward_seconds : float
        Spent on training since then, and on the forward passes of the evaluation.
    tags : np.ndarray, shape (clips, classes)
        Clip probabilities of training clips.
    probabilities : dict of Probabilities
        Of the validation clips, by whose weights they are of.
    training : Future of Scored
        The mAP on training clips.
    validation : dict of Future of Scored
        The scores on the validation clips, by whose weights they are of.
    """

    iteration: int
    loss: float
    train_seconds: float
    forward_seconds: float
    tags: np.ndarray
    probabilities: dict[str, Probabilities]
    training: Future[Scored]
    validation: dict[str, Future[Scored]]

    def is_done(self) -> bool:
        return all(future.done() for future in (self.training, *self.validation.values()))


class Evaluation:
    """Scores a run's models now and then, into its log and its statistics, while training goes on.

    Parameters
    ----------
    workspace, run
        Where submissions and statistics go to.
    training : Features
        Training clips with labels; the training mAP is that of `config.train_eval_clips` of them.
    validation : ValidationSet
        Clips to validate on, unless the run trains on them.
    standardize, compute
        How the models are run.
    board : TensorBoardLog
        Where scores go to besides.
    """

    def __init__(
        self,
        workspace: Workspace,
        run: Run,
        training: Features,
        validation: ValidationSet,
        standardize: Standardizer,
        compute: Compute,
        board: TensorBoardLog,
    ) -> None:
        self.workspace, self.run = workspace, run
        self.training = evenly_chosen(training, config.train_eval_clips)
        self.validation = validation
        self.standardize, self.compute = standardize, compute
        self.workers = ProcessPoolExecutor(scoring_workers(), initializer=ignore_interrupts)
        self.board = board
        self.pending: deque[PendingEvaluation] = deque()

    def evaluate(
        self, models: dict[str, Cnn | Crnn], iteration: int, loss: float, train_seconds: float
    ) -> None:
        """Run the models as they are, and let a worker score what they say.

        Parameters
        ----------
        models : dict
            The student, and the teacher where there is one.
        iteration, loss, train_seconds
            What to log with the scores.
        """
        start = time.perf_counter()
        tags = predict(models[STUDENT], self.training, self.standardize, self.compute).clipwise
        probabilities = {
            weights: predict(model, self.validation.features, self.standardize, self.compute)
            for weights, model in (models.items() if self.run.holdout_fold != "none" else ())
        }
        self.submit(iteration, loss, train_seconds, time.perf_counter() - start, tags, probabilities)
        self.report(wait=False)

    def submit(
        self,
        iteration: int,
        loss: float,
        train_seconds: float,
        forward_seconds: float,
        tags: np.ndarray,
        probabilities: dict[str, Probabilities],
    ) -> None:
        """Let a worker score; the parameters are those of `PendingEvaluation`."""
        training = self.workers.submit(score_tags_in_worker, self.training.weak_target, tags)
        validation = {
            weights: self.workers.submit(
                score_probabilities_in_worker,
                of_weights,
                self.validation.reference,
                self.workspace.submission(self.run, iteration, weights),
                post_processing_of(self.run.model_type),
            )
            for weights, of_weights in probabilities.items()
        }
        times = (loss, train_seconds, forward_seconds)
        self.pending.append(PendingEvaluation(iteration, *times, tags, probabilities, training, validation))

    def pending_state(self) -> list[dict[str, Any]]:
        """Return what `restore_pending` takes up again: the evaluations whose scores are on their way."""
        return [
            {
                "iteration": pending.iteration,
                "loss": pending.loss,
                "train_seconds": pending.train_seconds,
                "forward_seconds": pending.forward_seconds,
                "tags": torch.from_numpy(pending.tags),
                "probabilities": {
                    weights: probabilities_state(of_weights)
                    for weights, of_weights in pending.probabilities.items()
                },
            }
            for pending in self.pending
        ]

    def restore_pending(self, states: list[dict[str, Any]]) -> None:
        """Let the workers score what an earlier process has not logged any more."""
        for state in states:
            by_weights = state["probabilities"].items()
            probabilities = {weights: probabilities_of(saved) for weights, saved in by_weights}
            self.submit(**(state | {"tags": state["tags"].numpy(), "probabilities": probabilities}))

    def report(self, *, wait: bool) -> None:
        """Log and keep the scores that have arrived, in the order of their iterations.

        Parameters
        ----------
        wait : bool
            Whether to wait for all that are on their way.
        """
        while self.pending and (wait or self.pending[0].is_done()):
            self.keep(self.pending.popleft())

    def keep(self, done: PendingEvaluation) -> None:
        """Log an evaluation and append it to the statistics. An error of the worker is raised here."""
        training = done.training.result()
        validation = {weights: future.result() for weights, future in done.validation.items()}
        seconds = done.forward_seconds + sum(scored.seconds for scored in (training, *validation.values()))
        lines = ["------------------------------------", f"iteration: {done.iteration}"]
        lines += ["train statistics:", f"    Loss: {done.loss:.4f}", *training.lines]
        for weights, scored in validation.items():
            lines += ["validate statistics:" if weights == STUDENT else f"validate statistics, {weights}:"]
            lines += scored.lines
        for line in lines:
            logger.info(line)
        logger.info(f"train time: {done.train_seconds:.3f} s, validate time: {seconds:.3f} s")
        record = {
            "iteration": done.iteration,
            "loss": done.loss,
            "train_seconds": done.train_seconds,
            "train_mean_average_precision": training.scores,
            **{validation_key(weights): scored.scores.to_json() for weights, scored in validation.items()},
            "validate_seconds": seconds,
        }
        append_record(self.workspace.training_statistics(self.run), record)
        self.board.add_scores(record)

    def end(self, *, wait: bool = True) -> None:
        """End the workers, and unless `wait` is False, wait for all scores before."""
        if wait:
            self.report(wait=True)
        self.workers.shutdown(kill_workers=not wait)
