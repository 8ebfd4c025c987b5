"""Scores a model while it trains: the forward passes here, the scoring in a process beside the training."""

import os
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, replace

import joblib
import torch
from loky import ProcessPoolExecutor

from pytorch.data_generator import fits_on_gpu
from pytorch.detector import Detector
from pytorch.interruption import start_worker
from pytorch.models import Model
from pytorch.tensorboard_log import TensorBoardLog
from utils.audio.feature_file import Features
from utils.results.statistics import append_record
from utils.scoring.sed_eval_scores import mean_average_precision
from utils.scoring.text import describe_absent, percent, score_line
from utils.scoring.validation import ValidationScores, ValidationSet, score_probabilities
from utils.settings.groups import LoopSettings, ScoringSettings
from utils.system.log import logger
from utils.workspace.paths import RunPaths
from utils.workspace.run import STUDENT, Variant


def evaluation_lines(iteration: int, train_map: float, validation: dict[str, ValidationScores]) -> list[str]:
    """Return a line about an evaluation, and one more about the teacher, where there is one."""
    start = f"evaluation at {iteration}"
    lines = {STUDENT: f"{start}: train mAP {percent(train_map)}"}
    for weights, scores in validation.items():
        before = f"{lines[STUDENT]}, validation" if weights == STUDENT else f"{start}, {weights}:"
        lines[weights] = f"{before} {score_line(scores)}"
    return list(lines.values())


@dataclass(frozen=True)
class PendingEvaluation:
    """An evaluation whose scores may still be on their way.

    Attributes
    ----------
    iteration : int
    loss : float
        Mean training loss since the evaluation before.
    train_seconds : float
        Spent on training since then.
    train_map : Future of float
        The mAP on training clips.
    validation : dict of Future of ValidationScores
        The scores on the validation clips, by whose weights they are of.
    """

    iteration: int
    loss: float
    train_seconds: float
    train_map: Future[float]
    validation: dict[str, Future[ValidationScores]]

    def is_done(self) -> bool:
        return all(future.done() for future in (self.train_map, *self.validation.values()))


class Evaluation:
    """Scores a run's models now and then, into its log and its statistics, while training goes on.

    Parameters
    ----------
    paths : RunPaths
        Where submissions and statistics go to.
    training : Features
        Training clips with labels, which the training mAP is of.
    validation : ValidationSet or None
        Clips to validate on; None where the run trains on them.
    detector : Detector
        How the models are run, and how their probabilities become events.
    scoring, loop
        The settings of scores and evaluations.
    board : TensorBoardLog
        Where scores go to besides.
    """

    def __init__(
        self,
        paths: RunPaths,
        training: Features,
        validation: ValidationSet | None,
        detector: Detector,
        scoring: ScoringSettings,
        loop: LoopSettings,
        board: TensorBoardLog,
    ) -> None:
        self.paths = paths
        self.training_logmel, self.training_target = training.logmel, training.weak_target
        self.validation = validation
        self.detector = detector
        self.validation_logmel = None if validation is None else validation.features.logmel
        device, fraction = detector.compute.device, loop.gpu_data_fraction
        if validation is not None and fits_on_gpu(self.validation_logmel.nbytes, device, fraction):
            self.training_logmel, self.validation_logmel = (
                torch.from_numpy(logmel).to(device)
                for logmel in (self.training_logmel, self.validation_logmel)
            )
        self.scoring = scoring
        # One worker, or more where there are processors that training leaves idle.
        workers = min(max(1, joblib.cpu_count() // 2), loop.scoring_workers)
        self.workers = ProcessPoolExecutor(workers, initializer=start_worker, initargs=(os.getpid(),))
        self.board = board
        self.pending: deque[PendingEvaluation] = deque()
        for line in describe_absent(self.training_target, detector.labels, "training clip"):
            logger.info(line)
        if validation is not None:
            for line in describe_absent(validation.reference.weak_target, detector.labels, "validation clip"):
                logger.info(line)

    def evaluate(self, models: dict[str, Model], iteration: int, loss: float, train_seconds: float) -> None:
        """Run the models as they are, and let workers score their probabilities.

        Parameters
        ----------
        models : dict
            The student, and the teacher where there is one.
        iteration, loss, train_seconds
            What to log with the scores.
        """
        detectors = {weights: replace(self.detector, model=model) for weights, model in models.items()}
        tags = detectors[STUDENT].probabilities(self.training_logmel).clipwise
        train_map = self.workers.submit(mean_average_precision, self.training_target, tags)
        validation = {}
        for weights, detector in detectors.items() if self.validation is not None else ():
            validation[weights] = self.workers.submit(
                score_probabilities,
                detector.probabilities(self.validation_logmel),
                self.validation.reference,
                self.paths.submission(iteration, Variant(weights)),
                post_processing=detector.post_processing,
                scoring=self.scoring,
            )
        self.pending.append(PendingEvaluation(iteration, loss, train_seconds, train_map, validation))

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
        train_map = done.train_map.result()
        validation = {weights: future.result() for weights, future in done.validation.items()}
        for line in evaluation_lines(done.iteration, train_map, validation):
            logger.info(line)
        record = {
            "iteration": done.iteration,
            "loss": done.loss,
            "train_seconds": done.train_seconds,
            "train_mean_average_precision": train_map,
            **{Variant(weights).scores_key: scores.to_json() for weights, scores in validation.items()},
        }
        append_record(self.paths.training_statistics, record)
        self.board.add_scores(record)

    def end(self, *, wait: bool = True) -> None:
        """End the workers, and unless `wait` is False, wait for all scores before."""
        if wait:
            self.report(wait=True)
        self.workers.shutdown(kill_workers=not wait)
