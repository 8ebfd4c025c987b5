"""Saving and loading what a run has learned."""

from pathlib import Path

import torch
from torch import nn

from pytorch.losses import LOSSES
from pytorch.mean_teacher import MeanTeacher
from pytorch.models import Cnn, Crnn, create_model
from utils import config
from utils.errors import SedError
from utils.files import written_whole
from utils.workspace import STUDENT, TEACHER, Run, Workspace

WEIGHTS_KEYS = {STUDENT: "model", TEACHER: "teacher"}  # in a checkpoint


def save_checkpoint(
    path: Path,
    run: Run,
    iteration: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    teacher: MeanTeacher | None,
) -> None:
    """Save model, optimizer and teacher with the settings that tell which they are."""
    content = {
        "iteration": iteration,
        "model_type": run.model_type,
        "loss_type": run.loss_type,
        "labels": list(config.labels),
        WEIGHTS_KEYS[STUDENT]: model.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    if teacher is not None:
        content[WEIGHTS_KEYS[TEACHER]] = teacher.model.state_dict()
    with written_whole(path) as unfinished:
        torch.save(content, unfinished)


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
    try:
        content = torch.load(path, map_location=device, weights_only=True)
        for name, expected in (("model_type", run.model_type), ("labels", config.labels)):
            if content[name] != expected:
                raise SedError(f"{path}: is of {name} {content[name]}, not of {expected}")
        if weights == TEACHER and WEIGHTS_KEYS[TEACHER] not in content:
            raise SedError(
                f"{path}: has no teacher; leave out --weights, or train with --loss_type mean_teacher"
            )
        model = create_model(run.model_type, config.classes_num, LOSSES[run.loss_type].clip_output_from)
        model.load_state_dict(content[WEIGHTS_KEYS[weights]])
    except SedError:
        raise
    except Exception as error:  # torch.load raises many kinds, whatever the file holds
        raise SedError(
            f"{path}: is no checkpoint of {run.model_type}, or a damaged one; train again, or take another "
            "--iteration"
        ) from error
    return model.to(device)
