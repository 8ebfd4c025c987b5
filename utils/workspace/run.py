"""What defines a training, and what its models are called."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from utils.dataset.subsets import SUBSETS
from utils.dataset.tables import cell_problem
from utils.settings.group import differences
from utils.settings.groups import MEASURED_RECIPE, PUBLISHED_TRAINING, RecipeSettings, TrainingSettings

DATA_TYPE_SEPARATOR = "+"
DIGEST_LENGTH = 12  # hexadecimal digits of a SHA-256 that identify settings or a file
LONGEST_FOLDER_NAME = 200  # characters; file systems allow 255
STUDENT, TEACHER = "student", "teacher"  # whose weights: of the model that learns, or of its moving average


def join_data_types(data_types: Iterable[str]) -> str:
    """Return the name of several subsets together, in the challenge's order: `train_weak+train_synthetic`."""
    return DATA_TYPE_SEPARATOR.join(sorted(data_types, key=list(SUBSETS).index))


@dataclass(frozen=True)
class Variant:
    """Which model of a training: with whose weights, and whether its post-processing is tuned."""

    weights: str = STUDENT
    tuned: bool = False

    @property
    def traits(self) -> list[str]:
        """What it differs in from the student with the settings' post-processing."""
        return [self.weights] * (self.weights != STUDENT) + ["tuned"] * self.tuned

    @property
    def name(self) -> str:
        """What `--run` takes behind the number of the run; empty where there is nothing."""
        return "_".join(self.traits)

    @property
    def suffix(self) -> str:
        """What the names of its files have more than others."""
        return "".join(f"_{trait}" for trait in self.traits)

    @property
    def scores_key(self) -> str:
        """The name that its scores have in a record of statistics."""
        return "_".join([*self.traits, "validation"])


UNTUNED_STUDENT = Variant()


@dataclass(frozen=True)
class Run:
    """A training: its flags, its settings beyond them, and what it starts from.

    `initial_checkpoint` is the digest of the file with the initial weights; without one they are random.
    """

    data_type: str
    holdout_fold: str
    model_type: str
    loss_type: str
    batch_size: int
    seed: int
    mini_data: bool = False
    training: TrainingSettings | RecipeSettings = PUBLISHED_TRAINING
    initial_checkpoint: str = ""

    @property
    def data_types(self) -> list[str]:
        """The subsets that the run is trained on."""
        return self.data_type.split(DATA_TYPE_SEPARATOR)

    @property
    def is_recipe(self) -> bool:
        return isinstance(self.training, RecipeSettings)

    @property
    def own_settings(self) -> list[str]:
        """The training settings in which the run differs from the published systems, or from the recipe."""
        return differences(self.training, MEASURED_RECIPE if self.is_recipe else PUBLISHED_TRAINING)

    @property
    def folder(self) -> Path:
        """Path of the run below a folder of one kind of features; names the settings that are its own."""
        own = ",".join(self.own_settings)
        if len(own) > LONGEST_FOLDER_NAME:
            digest = hashlib.sha256(own.encode()).hexdigest()
            own = f"{len(self.own_settings)}_settings_{digest[:DIGEST_LENGTH]}"
        return Path(
            self.data_type,
            f"holdout_fold={self.holdout_fold}",
            self.model_type,
            self.loss_type,
            f"batch_size={self.batch_size}",
            *[own] * bool(own),
            *[f"initial={self.initial_checkpoint}"] * bool(self.initial_checkpoint),
            f"seed={self.seed}",
        )

    @property
    def outputs_in_float32(self) -> bool:
        """Whether the output layers compute in float32 where the rest is in bfloat16."""
        return self.is_recipe or self.training.outputs_in_float32

    def to_json(self) -> dict[str, Any]:
        """Return the run as `from_json` reads it."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Return the run that `to_json` has written.

        Raises
        ------
        SedError, TypeError, LookupError
            If the content is another one.
        """
        kind = RecipeSettings if "recipe_learning_rate" in content["training"] else TrainingSettings
        run = cls(**{**content, "training": kind.of(content["training"], "training")})
        for one in fields(cls):
            value = getattr(run, one.name)
            if one.name != "training" and type(value) is not one.type:
                raise TypeError(f"{one.name} must be {one.type.__name__}")
            if isinstance(value, str) and (problem := cell_problem(value)):
                raise TypeError(f"{one.name} is not valid, as {problem}")
        if unknown := {*run.data_types} - {*SUBSETS}:
            raise LookupError(f"there are no subsets {', '.join(sorted(unknown))}")
        return run
