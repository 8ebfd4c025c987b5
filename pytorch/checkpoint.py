"""The checkpoints of a training: all it needs to resume, and all its models need to detect events."""

import math
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

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
    """Take up the state that `training_state` returned, perhaps on another kind of device.

    Raises
    ------
    ValueError, or another error
        If it is not such a state; see `valid_content`.
    """
    device_type = training.compute.device.type
    require_tensors(state[WEIGHTS_KEYS[STUDENT]], training.models[STUDENT].state_dict())
    training.models[STUDENT].load_state_dict(state[WEIGHTS_KEYS[STUDENT]])
    if training.recipe is not None:
        require_tensors(state["learning_model"], training.model.state_dict())
        training.model.load_state_dict(state["learning_model"])
        require_number(state["average_step"])
        training.recipe.average.step = state["average_step"]
    restore_optimizer(state["optimizer"], training.optimizer)
    schedule = {name: state["scheduler"][name] for name in ("last_epoch", "_step_count")}
    require_number(*schedule.values())
    rates = [group["lr"] for group in training.optimizer.param_groups]
    training.scheduler.load_state_dict(training.scheduler.state_dict() | schedule | {"_last_lr": rates})
    if training.teacher is not None:
        require_tensors(state[WEIGHTS_KEYS[TEACHER]], training.teacher.model.state_dict())
        training.teacher.model.load_state_dict(state[WEIGHTS_KEYS[TEACHER]])
        require_number(state["teacher_step"])
        training.teacher.step = state["teacher_step"]
    meter.restore(state["meter"])
    if state["device_type"] != device_type:
        logger.info(f"The checkpoint is of a training on {state['device_type']}: random numbers start anew")
    elif ranks.rank < len(state["random_states"]):
        training.compute.set_random_state(state["random_states"][ranks.rank])


def restore_optimizer(state: dict[str, Any], optimizer: torch.optim.Optimizer) -> None:
    """Restore the learning rate and Adam's averages; other options come from the run's settings."""
    for own, saved in zip(optimizer.param_groups, state["param_groups"], strict=True):
        require_number(saved["lr"], saved["initial_lr"])
        saved |= {name: value for name, value in own.items() if name not in ("params", "lr", "initial_lr")}
    parameters = [weights for group in optimizer.param_groups for weights in group["params"]]
    if not state["state"]:
        raise ValueError("the optimizer has no averages")
    for index, averages in state["state"].items():  # loading does not compare their shapes
        for name in ("exp_avg", "exp_avg_sq", *["max_exp_avg_sq"] * optimizer.defaults["amsgrad"]):
            require_tensor(name, averages[name], parameters[index].shape)
        require_tensor("step", averages["step"], ())
    optimizer.load_state_dict(state)


def require_number(*values: Any) -> None:
    """Raise ValueError unless the values are finite numbers."""
    for value in values:
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"{value!r} is not a finite number")


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
        require_stored(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a strange file's: the error below says it all
            content = torch.load(path, map_location=device, weights_only=True)
        if not isinstance(content, dict):
            raise TypeError("its content has no names")
    except Exception as error:  # torch.load raises many kinds, whatever the file holds
        raise SedError(f"{path}: is not a valid checkpoint; take another file, or train again") from error
    return content


def training_id_of(path: Path) -> Any:
    """Return what identifies the training that saved a checkpoint among those of its run."""
    return read_checkpoint(path, torch.device("cpu")).get("training_id")


def require_stored(path: Path) -> None:
    """Raise an error if the file is a zip archive, as torch writes it, with something compressed in it."""
    if not zipfile.is_zipfile(path):  # torch's format until 2020, which knows no compression
        return
    with zipfile.ZipFile(path) as archive:
        if sum(part.file_size for part in archive.infolist()) > path.stat().st_size:
            raise ValueError("its content is larger than the file")


def require_tensors(found: Any, expected: Mapping[str, Tensor]) -> None:
    """Raise ValueError unless these are valid weights, named, shaped and typed as the expected ones."""
    if not isinstance(found, Mapping) or found.keys() != expected.keys():
        raise ValueError("the weights have other names")
    for name, tensor in expected.items():
        require_tensor(name, found[name], tensor.shape, tensor.dtype)


def require_tensor(name: str, value: Any, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> None:
    """Raise ValueError unless the value is a dense tensor of finite numbers with that shape and type."""
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.is_meta:
        raise ValueError(f"{name} is not a dense tensor")
    if value.shape != shape or value.dtype != dtype:
        raise ValueError(f"{name} has another shape or type")
    if not value.isfinite().all():
        raise ValueError(f"{name} holds numbers that are NaN or infinite")


@contextmanager
def valid_content(path: Path) -> Iterator[None]:
    """Turn what `restore_training` raises for a checkpoint's content into a SedError that names the file."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise SedError(
            f"{path}: not a complete checkpoint of this training ({error}); remove it to resume from an "
            "earlier one"
        ) from error


def last_checkpoint(paths: RunPaths, training_id: str, iterations: int) -> tuple[dict[str, Any] | None, int]:
    """Return the last checkpoint of a training that may be resumed, and how far the training has come.

    Parameters
    ----------
    paths : RunPaths
    training_id : str
        What identifies this training among those of its run.
    iterations : int
        A checkpoint of more iterations is not resumed from.

    Returns
    -------
    content : dict or None
        None where there is none.
    furthest : int
        The iterations of the training's very last checkpoint, 0 without one.
    """
    furthest = 0
    for iteration in reversed(paths.saved_iterations()):
        content = read_checkpoint(paths.checkpoint(iteration), torch.device("cpu"))
        if content.get("training_id") == training_id:
            furthest = max(furthest, iteration)
            if iteration <= iterations:
                return content | {"iteration": iteration}, furthest
    return None, furthest
