"""Saving and loading what a run has learned, and all else that it needs to go on."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pytorch.compute import Compute
from pytorch.data_generator import Standardizer
from pytorch.evaluation import Evaluation
from pytorch.losses import LOSSES
from pytorch.mean_teacher import MeanTeacher
from pytorch.meter import Meter
from pytorch.models import Cnn, Crnn, create_model
from pytorch.ranks import Ranks
from utils import config
from utils.settings.detector_settings import detector_settings
from utils.system.errors import SedError
from utils.system.files import written_whole
from utils.workspace.paths import STUDENT, TEACHER, Run, Workspace

WEIGHTS_KEYS = {STUDENT: "model", TEACHER: "teacher"}  # in a checkpoint


@dataclass(frozen=True)
class Training:
    """All that changes while a model is trained.

    Attributes
    ----------
    start : str
        Tells this training from an earlier one of the same run.
    model, optimizer, scheduler
        Of the student.
    teacher : MeanTeacher or None
    meter : Meter
    evaluation : Evaluation or None
        None in a process that does not evaluate.
    compute, ranks
        Where the random numbers come from.
    """

    start: str
    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    teacher: MeanTeacher | None
    meter: Meter
    evaluation: Evaluation | None
    compute: Compute
    ranks: Ranks

    def save(self, path: Path, run: Run, iteration: int) -> None:
        """Save the state, with the settings that tell what it is of. All processes of the training take part.

        Raises
        ------
        SedError
            If the file cannot be written.
        """
        random_states = self.ranks.gather(self.compute.random_state())
        if self.evaluation is None:
            return
        content = {
            "iteration": iteration,
            "model_type": run.model_type,
            "loss_type": run.loss_type,
            "labels": list(config.labels),
            WEIGHTS_KEYS[STUDENT]: self.model.state_dict(),
            "start": self.start,
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "meter": self.meter.state(),
            "pending_evaluations": self.evaluation.pending_state(),
            "random_states": random_states,
            **what_detects(self.evaluation.standardize),
        }
        if self.teacher is not None:
            content[WEIGHTS_KEYS[TEACHER]] = self.teacher.model.state_dict()
            content["teacher_step"] = self.teacher.step
        try:
            with written_whole(path) as unfinished:
                torch.save(content, unfinished)
        except RuntimeError as error:  # what torch raises where the operating system refuses to write
            raise SedError(f"{path}: cannot be written: {error}") from error

    def restore(self, content: dict[str, Any]) -> None:
        """Take up the state that `save` has saved."""
        self.model.load_state_dict(content[WEIGHTS_KEYS[STUDENT]])
        self.optimizer.load_state_dict(content["optimizer"])
        self.scheduler.load_state_dict(content["scheduler"])
        if self.teacher is not None:
            self.teacher.model.load_state_dict(content[WEIGHTS_KEYS[TEACHER]])
            self.teacher.step = content["teacher_step"]
        self.meter.restore(content["meter"])
        if self.evaluation is not None:
            self.evaluation.restore_pending(content["pending_evaluations"])
        if self.ranks.rank < len(content["random_states"]):
            self.compute.set_random_state(content["random_states"][self.ranks.rank])


def what_detects(standardize: Standardizer) -> dict[str, Any]:
    """Return what it takes besides the model to detect events by a checkpoint elsewhere."""
    return {
        "scalar": {"mean": standardize.mean, "std": standardize.std},
        "settings": detector_settings(),
    }


def read_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """Read a checkpoint, of which nothing is run.

    Raises
    ------
    SedError
        If it is none.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # those of a strange file are said below
            content = torch.load(path, map_location=device, weights_only=True)
        if not isinstance(content, dict):
            raise TypeError("its content has no names")
    except Exception as error:  # torch.load raises many kinds, whatever the file holds
        raise SedError(
            f"{path}: is no checkpoint, or a damaged one; remove it and take another one, or train again"
        ) from error
    return content


def last_state(workspace: Workspace, run: Run, start: str, iterations: int) -> dict[str, Any] | None:
    """Return the last state that this training has saved; None where it has saved none.

    Parameters
    ----------
    workspace, run
        Which run.
    start : str
        Which training of that run.
    iterations : int
        A state after more iterations does not count.
    """
    for iteration in reversed(workspace.saved_iterations(run)):
        if iteration <= iterations:
            content = read_checkpoint(workspace.checkpoint(run, iteration), torch.device("cpu"))
            if content.get("start") == start:
                return content
    return None


def first_unscored(content: dict[str, Any]) -> int:
    """Return from which iteration on a training that takes up this state will score its evaluations anew.

    Those under way when it was saved, and that of its own iteration.
    """
    pending = [evaluation["iteration"] for evaluation in content["pending_evaluations"]]
    return min([*pending, content["iteration"]])


def load_model(
    workspace: Workspace, run: Run, iteration: int, weights: str, device: torch.device
) -> Cnn | Crnn:
    """Load the model that a run had at an iteration.

    Parameters
    ----------
    workspace, run, iteration
        Which checkpoint.
    weights : {"student", "teacher"}
        Whose weights in it.
    device : torch.device
        Where the model goes to.

    Raises
    ------
    SedError
        If that iteration was never saved, the run had no teacher, or the file is no checkpoint of such a
        model and these labels.
    """
    path = workspace.checkpoint(run, iteration)
    if not path.is_file():
        saved = ", ".join(map(str, workspace.saved_iterations(run))) or "none"
        raise SedError(f"{path}: iteration {iteration} was never saved; the saved ones are: {saved}")
    content = read_checkpoint(path, device)
    for name, expected in (("model_type", run.model_type), ("labels", config.labels)):
        if content.get(name) != expected:
            raise SedError(f"{path}: is of {name} {content.get(name)}, not of {expected}")
    if weights == TEACHER and WEIGHTS_KEYS[TEACHER] not in content:
        raise SedError(f"{path}: has no teacher; leave out --weights, or train with --loss_type mean_teacher")
    model = create_model(run.model_type, config.classes_num, LOSSES[run.loss_type].clip_output_from)
    try:
        model.load_state_dict(content[WEIGHTS_KEYS[weights]])
    except (LookupError, TypeError, AttributeError, RuntimeError) as error:
        raise SedError(
            f"{path}: does not hold the weights of {run.model_type}; train again, or take another --iteration"
        ) from error
    return model.to(device)
