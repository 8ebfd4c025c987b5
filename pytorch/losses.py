"""The supervised losses, by the names that the command line knows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from pytorch.data_generator import Batch
from pytorch.models import ModelOutput
from utils.dataset.subsets import SUBSETS, SYNTHETIC, UNLABELLED, WEAK
from utils.system.errors import SedError
from utils.workspace.run import Run, join_data_types

RECIPE = "recipe"


def mean_over_clips(losses: Tensor, clips_counted: float) -> Tensor:
    """Return the sum over the clips of the mean loss of each, divided by how many clips count.

    Not simply the mean: where several processes share a batch, this process may have none of its clips.
    """
    return losses.sum() / (clips_counted * losses.shape[1:].numel())


def binary_crossentropy(probability: Tensor, target: Tensor) -> Tensor:
    """Return the binary cross-entropy of each element; NaN where the probability is NaN.

    There torch's own raises an error that names no clip, and on a GPU ends all use of it.
    """
    losses = F.binary_cross_entropy(probability.nan_to_num(), target, reduction="none")
    return losses + 0 * probability


def clipwise_binary_crossentropy(output: ModelOutput, batch: Batch) -> Tensor:
    """Compare the clip probabilities with the clip labels, where the batch has them."""
    probability = output.clipwise_output[batch.weak_rows]
    losses = binary_crossentropy(probability, batch.weak_target)
    return mean_over_clips(losses, batch.clips_counted.weak)


def framewise_binary_crossentropy(output: ModelOutput, batch: Batch) -> Tensor:
    """Compare the frame probabilities, stretched, with the events, where the batch has their times."""
    probability = output.framewise_output[batch.strong_rows]
    losses = binary_crossentropy(probability, batch.strong_target)
    return mean_over_clips(losses, batch.clips_counted.strong)


@dataclass(frozen=True)
class Loss:
    """A loss: its terms, the clips it needs, and how a CNN derives the clip output for it.

    A model trained on clip labels must let the loss of a clip reach its strongest frame vector, so it
    classifies the maximum of the frame vectors; one trained on frames alone has reliable frame outputs.

    Attributes
    ----------
    terms : dict of callable
        What is added up, by the name in the log.
    clip_output_from : {"frame_vectors", "frame_outputs"}
        See `Cnn`.
    batch_fractions : dict of float, or None
        The fraction of a batch that is drawn from each subset, in the batch's order; None where the clips of
        any subsets are shuffled together.
    has_teacher : bool
        Whether consistency with a mean teacher is added.
    is_recipe : bool
        Whether the training goes by the recipe, which has losses of its own; see pytorch/recipe.py.
    """

    terms: dict[str, Callable[[ModelOutput, Batch], Tensor]]
    clip_output_from: Literal["frame_vectors", "frame_outputs"]
    batch_fractions: dict[str, float] | None = None
    has_teacher: bool = False
    is_recipe: bool = False

    @property
    def compares_frames(self) -> bool:
        """Whether a term needs the frame probabilities at the resolution of the targets."""
        return "framewise" in self.terms

    def require_fit(self, run: Run) -> None:
        """Raise SedError where the run's clips lack what the loss needs, or its batches are too small."""
        annotations = {data_type: SUBSETS[data_type].annotation for data_type in run.data_types}
        needed = f"--loss_type {run.loss_type} needs"
        if self.is_recipe:
            if set(annotations.values()) == {"none"}:
                raise SedError(f"{needed} labels, which {run.data_type} does not have; add other clips")
            if run.batch_size < len(annotations):
                raise SedError(f"{needed} a --batch_size of at least {len(annotations)}")
            return
        if self.batch_fractions is not None:
            if set(annotations) != set(self.batch_fractions):
                data_type = join_data_types(self.batch_fractions)
                raise SedError(f"{needed} --data_type {data_type}, but it is {run.data_type}")
            parts = round(1 / min(self.batch_fractions.values()))
            if run.batch_size % parts:
                raise SedError(f"{needed} a --batch_size that {parts} divides, but it is {run.batch_size}")
            return
        for data_type, annotation in annotations.items():
            if annotation == "none":
                raise SedError(f"{needed} labels, which {data_type} does not have; take other clips")
            if annotation == "weak" and self.compares_frames:
                raise SedError(
                    f"{needed} events with times, which {data_type} does not have; take --data_type "
                    f"{SYNTHETIC} or another loss"
                )

    def compute_terms(self, output: ModelOutput, batch: Batch) -> dict[str, Tensor]:
        """Return the value of each term."""
        return {name: term(output, batch) for name, term in self.terms.items()}


CLIPWISE = {"clipwise": clipwise_binary_crossentropy}
FRAMEWISE = {"framewise": framewise_binary_crossentropy}
LOSSES = {
    "clipwise_binary_crossentropy": Loss(CLIPWISE, "frame_vectors"),
    "framewise_binary_crossentropy": Loss(FRAMEWISE, "frame_outputs"),
    "weak_and_strong": Loss(
        CLIPWISE | FRAMEWISE, "frame_vectors", batch_fractions={WEAK: 1 / 2, SYNTHETIC: 1 / 2}
    ),
    "mean_teacher": Loss(
        CLIPWISE | FRAMEWISE,
        "frame_vectors",
        batch_fractions={WEAK: 1 / 4, UNLABELLED: 1 / 2, SYNTHETIC: 1 / 4},
        has_teacher=True,
    ),
    RECIPE: Loss({}, "frame_vectors", is_recipe=True),
}
