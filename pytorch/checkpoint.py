"""The checkpoints of a training: all it needs to resume, and all its models need to detect events."""

import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from pytorch.data_generator import Standardizer
from pytorch.distributed import Ranks
from pytorch.meter import Meter
from pytorch.training import Training
from utils.settings.groups import EventSettings, FeatureSettings
from utils.system.errors import SedError
from utils.system.files import written_whole
from utils.system.log import logger
from utils.workspace.paths import RunPaths
from utils.workspace.run import STUDENT, TEACHER, Run

WEIGHTS_KEYS = {STUDENT: "model", TEACHER: "teacher"}  # in a checkpoint


def detector_state(
    run: Run, standardize: Standardizer, features: FeatureSettings, events: EventSettings
) -> dict[str, Any]:
    """Return what it takes besides weights to detect events with a checkpoint, anywhere."""
    return {
        "model_type": run.model_type,
        "loss_type": run.loss_type,
        "outputs_in_float32": run.outputs_in_float32,
        "features": asdict(features),
        "events": asdict(events),
        "scalar": {"mean": standardize.mean, "std": standardize.std},
    }


def training_state(training: Training, meter: Meter, ranks: Ranks) -> dict[str, Any]:
    """Return what `restore_training` takes up again. All ranks of a training take part."""
    state = {
        WEIGHTS_KEYS[STUDENT]: training.models[STUDENT].state_dict(),
        "optimizer": training.optimizer.state_dict(),
        "scheduler": training.scheduler.state_dict(),
        "meter": meter.state(),
        "device_type": training.compute.device.type,
        "random_states": ranks.gather(training.compute.random_state()),
    }
    if training.teacher is not None:
        state[WEIGHTS_KEYS[TEACHER]] = training.teacher.model.state_dict()
        state["teacher_step"] = training.teacher.step
    if training.recipe is not None:  # the weights that detect are the average
        state["learning_model"] = training.model.state_dict()
        state["average_step"] = training.recipe.average.step
    return state


def restore_training(state: dict[str, Any], training: Training, meter: Meter, ranks: Ranks) -> None:
    """Take up the state that `training_state` returned, perhaps on another kind of device."""
    device_type = training.compute.device.type
    training.models[STUDENT].load_state_dict(state[WEIGHTS_KEYS[STUDENT]])
    if training.recipe is not None:
        training.model.load_state_dict(state["learning_model"])
        training.recipe.average.step = state["average_step"]
    for group in state["optimizer"]["param_groups"]:  # loading takes over the saved choice otherwise
        group["fused"] = device_type == "cuda"
    training.optimizer.load_state_dict(state["optimizer"])
    training.scheduler.load_state_dict(state["scheduler"])
    if training.teacher is not None:
        training.teacher.model.load_state_dict(state[WEIGHTS_KEYS[TEACHER]])
        training.teacher.step = state["teacher_step"]
    meter.restore(state["meter"])
    if state["device_type"] != device_type:
        logger.info(f"The checkpoint is of a training on {state['device_type']}: random numbers start anew")
    elif ranks.rank < len(state["random_states"]):
        training.compute.set_random_state(state["random_states"][ranks.rank])


def write_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint, which appears at `path` only when it is whole.

    Raises
    ------
    SedError
        If the file cannot be written.
    """
    try:
        with written_whole(path) as unfinished:
            torch.save(content, unfinished)
    except RuntimeError as error:  # what torch raises where the operating system refuses to write
        raise SedError(f"{path}: cannot be written: {error}") from error


def read_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """Read a checkpoint without running anything in it.

    Raises
    ------
    SedError
        If there is no such file, or it is not a valid checkpoint.
    """
    if not path.is_file():
        raise SedError(f"{path}: there is no such checkpoint; train with pytorch/main.py first")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a strange file's: the error below says it all
            content = torch.load(path, map_location=device, weights_only=True)
        if not isinstance(content, dict):
            raise TypeError("its content has no names")
    except Exception as error:  # torch.load raises many kinds, whatever the file holds
        raise SedError(
            f"{path}: is not a valid checkpoint; remove it and take another one, or train again"
        ) from error
    return content


def last_checkpoint(paths: RunPaths, start: str, iterations: int) -> dict[str, Any] | None:
    """Return the content of the last checkpoint of a training; None where there is none.

    Parameters
    ----------
    paths : RunPaths
    start : str
        What tells this training from earlier ones of the same run.
    iterations : int
        A checkpoint of more iterations does not count.
    """
    for iteration in reversed(paths.saved_iterations()):
        if iteration <= iterations:
            content = read_checkpoint(paths.checkpoint(iteration), torch.device("cpu"))
            if content.get("start") == start:
                return content
    return None
