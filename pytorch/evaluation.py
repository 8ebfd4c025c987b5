"""Scores a model while it trains: the forward passes here, the scoring in a process beside the training."""

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
import torch
from loky import ProcessPoolExecutor

from pytorch.compute import Compute
from pytorch.models import DESIGNS, Cnn, Crnn, CrnnDesign
from utils import config
from utils.data_generator import Batch, evaluation_batches, evenly_chosen
from utils.feature_file import Features, Scalar
from utils.log import logger
from utils.run_statistics import append_record, validation_key
from utils.vad import PostProcessing, post_processing_named
from utils.validation import (
    Probabilities,
    Scored,
    ValidationReference,
    score_probabilities_in_worker,
    score_tags_in_worker,
)
from utils.workspace import STUDENT, Run, Workspace


@dataclass(frozen=True)
class ValidationSet:
    """Clips to validate or to tune on: their features, and their annotation in the same order."""

    features: Features
    reference: ValidationReference


def post_processing_of(model_type: str) -> PostProcessing:
    """Return the post-processing that `config` says for models of that type."""
    is_crnn = isinstance(DESIGNS[model_type], CrnnDesign)
    return post_processing_named(config.crnn_post_processing if is_crnn else config.cnn_post_processing)


def predict_batches(
    model: Cnn | Crnn, features: Features, scalar: Scalar, compute: Compute
) -> Iterator[tuple[Batch, Probabilities]]:
    """Run the model over all clips, in their order, a batch at a time."""
    model.eval()
    for batch in evaluation_batches(features, scalar, batch_size=config.evaluation_batch_size):
        with torch.inference_mode(), compute.autocast():
            output = model(compute.tensor(batch.logmel))
        framewise, clipwise = (probability.cpu().numpy() for probability in output)
        yield batch, Probabilities(framewise, clipwise, model.stride_frames)


def predict(model: Cnn | Crnn, features: Features, scalar: Scalar, compute: Compute) -> Probabilities:
    """Run the model over all clips, in their order."""
    parts = [probabilities for _, probabilities in predict_batches(model, features, scalar, compute)]
    return Probabilities(
        np.concatenate([part.framewise for part in parts]),
        np.concatenate([part.clipwise for part in parts]),
        model.stride_frames,
    )


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
    training : Future of Scored
        The mAP on training clips.
    validation : dict of Future of Scored
        The scores on the validation clips, by whose weights they are of.
    """

    iteration: int
    loss: float
    train_seconds: float
    forward_seconds: float
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
    scalar, compute
        How the models are run.
    """

    def __init__(
        self,
        workspace: Workspace,
        run: Run,
        training: Features,
        validation: ValidationSet,
        scalar: Scalar,
        compute: Compute,
    ) -> None:
        self.workspace, self.run = workspace, run
        self.training = evenly_chosen(training, config.train_eval_clips)
        self.validation = validation
        self.scalar, self.compute = scalar, compute
        self.worker = ProcessPoolExecutor(max_workers=1)
        self.pending: deque[PendingEvaluation] = deque()

    def evaluate(
        self, models: dict[str, Cnn | Crnn], iteration: int, loss: float, train_seconds: float
    ) -> None:
        """Run the models as they are, and let the worker score what they say.

        Parameters
        ----------
        models : dict
            The student, and the teacher where there is one.
        iteration, loss, train_seconds
            What to log with the scores.
        """
        start = time.perf_counter()
        tags = predict(models[STUDENT], self.training, self.scalar, self.compute).clipwise
        training = self.worker.submit(score_tags_in_worker, self.training.weak_target, tags)
        validation = {}
        for weights, model in models.items() if self.run.holdout_fold != "none" else ():
            probabilities = predict(model, self.validation.features, self.scalar, self.compute)
            validation[weights] = self.worker.submit(
                score_probabilities_in_worker,
                probabilities,
                self.validation.reference,
                self.workspace.submission(self.run, iteration, weights),
                post_processing_of(self.run.model_type),
            )
        forward_seconds = time.perf_counter() - start
        self.pending.append(
            PendingEvaluation(iteration, loss, train_seconds, forward_seconds, training, validation)
        )
        self.report(wait=False)

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

    def finish(self) -> None:
        """Wait for all scores, and end the worker."""
        self.report(wait=True)
        self.worker.shutdown()
