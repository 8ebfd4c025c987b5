"""What tells one training from another, and what its models are called."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from utils.dataset.subsets import SUBSETS
from utils.dataset.tables import cell_problem
from utils.settings.groups import PUBLISHED_TRAINING, TrainingSettings

DATA_TYPE_SEPARATOR = "+"
STUDENT, TEACHER = "student", "teacher"  # whose weights: of the model that learns, or of its moving average


def join_data_types(data_types: Iterable[str]) -> str:
    """Return the name of several subsets together, in the challenge's order: `train_weak+train_synthetic`."""
    return DATA_TYPE_SEPARATOR.join(sorted(data_types, key=list(SUBSETS).index))


def variant(weights: str, tuned: bool) -> str:
    """Return what tells the file names of the teacher, or of tuned post-processing, from the others."""
    return f"_{weights}" * (weights != STUDENT) + "_tuned" * tuned


@dataclass(frozen=True)
class Run:
    """A training: its flags, and its settings beyond them."""

    data_type: str
    holdout_fold: str
    model_type: str
    loss_type: str
    batch_size: int
    seed: int
    mini_data: bool = False
    training: TrainingSettings = PUBLISHED_TRAINING

    @property
    def data_types(self) -> list[str]:
        """The subsets that the run is trained on."""
        return self.data_type.split(DATA_TYPE_SEPARATOR)

    @property
    def folder(self) -> Path:
        """Path of the run below a folder of one kind of features; names what the published runs have not."""
        differences = self.training.differences(PUBLISHED_TRAINING)
        return Path(
            self.data_type,
            f"holdout_fold={self.holdout_fold}",
            self.model_type,
            self.loss_type,
            f"batch_size={self.batch_size}",
            *[",".join(differences)] * bool(differences),
            f"seed={self.seed}",
        )

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
        run = cls(**{**content, "training": TrainingSettings.of(content["training"], "training")})
        for one in fields(cls):
            value = getattr(run, one.name)
            if type(value) is not one.type or (one.type is str and cell_problem(value)):
                raise TypeError(f"{one.name} is not valid")
        if unknown := {*run.data_types} - {*SUBSETS}:
            raise LookupError(f"there are no subsets {', '.join(sorted(unknown))}")
        return run
