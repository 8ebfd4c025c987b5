"""The recipe: augmented clips, a moving average of the weights, and its probabilities as targets."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pytorch.augmentation import AugmentedClips, augment
from pytorch.compute import Compute
from pytorch.data_generator import NO_ROWS, Batch, Standardizer
from pytorch.losses import binary_crossentropy, mean_over_clips
from pytorch.mean_teacher import averaging_copy, ramp_up
from pytorch.models import ModelOutput
from utils.settings.groups import PUBLISHED_TRAINING, RecipeSettings


class MovingAverage:
    """The moving average of a model's weights and batch norm statistics, which is the model that detects.

    Parameters
    ----------
    model : nn.Module
        The model that learns.
    memory_steps : float
        How many optimizer steps the average remembers; at first, all.
    """

    def __init__(self, model: nn.Module, memory_steps: float) -> None:
        self.model = averaging_copy(model).eval()
        self.memory_steps = memory_steps
        self.step = 0

    def follow(self, model: nn.Module) -> None:
        """Move towards the model, after an optimizer step."""
        self.step += 1
        decay = min(1 - 1 / (self.step + 1), 1 - 1 / max(self.memory_steps, 1))
        pairs = zip(self.model.state_dict().values(), model.state_dict().values(), strict=True)
        floats = [pair for pair in pairs if pair[0].is_floating_point()]
        with torch.no_grad():
            torch._foreach_lerp_([own for own, _ in floats], [new for _, new in floats], 1 - decay)


@dataclass(frozen=True)
class Recipe:
    """How a model learns by the recipe.

    Attributes
    ----------
    settings : RecipeSettings
    average : MovingAverage
    iterations : int
        Of the whole training.
    standardize : Standardizer
    compute : Compute
    outputs_per_second : float
        Of the model.
    classes_num : int
    """

    settings: RecipeSettings
    average: MovingAverage
    iterations: int
    standardize: Standardizer
    compute: Compute
    outputs_per_second: float
    classes_num: int

    @property
    def teacher_weight(self) -> float:
        """Weight of the losses against the average's probabilities; ramps up as the baseline's does."""
        ramp_steps = self.settings.teacher_ramp_fraction * self.iterations
        steepness = PUBLISHED_TRAINING.consistency_ramp_steepness
        return self.settings.teacher_loss_weight * ramp_up(self.average.step, ramp_steps, steepness)

    def terms(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the weighted terms of the loss of a batch, whose sum is minimized.

        Clips with events teach frames and classes, clips with labels teach classes. What they do not say is
        learned from the moving average's probabilities of the clips before they are augmented: these targets
        move and mix along with the clips, which makes them consistent under shift and mixing.
        """
        parts = [r for r in (batch.weak_rows, batch.strong_rows, batch.unlabelled_rows) if r != NO_ROWS]
        taught = [rows for rows in parts if rows != batch.strong_rows and self.settings.teacher_loss_weight]
        clips = self.clips_with_targets(batch, taught)
        clips = augment(
            clips,
            parts,
            self.settings,
            outputs_per_second=self.outputs_per_second,
            adds_sounds=self.average.step < self.settings.added_sounds_fraction * self.iterations,
        )
        with self.compute.autocast():
            output: ModelOutput = model(self.standardize(clips.logmel))
        framewise = binary_crossentropy(output.framewise_output, clips.framewise)
        clipwise = binary_crossentropy(output.clipwise_output, clips.clipwise)
        count, clip_weight = batch.clips_counted, self.settings.clipwise_loss_weight
        terms = {}
        if batch.strong_rows != NO_ROWS:
            terms["framewise"] = mean_over_clips(framewise[batch.strong_rows], count.strong)
            terms["strong_clipwise"] = clip_weight * mean_over_clips(
                clipwise[batch.strong_rows], count.strong
            )
        if batch.weak_rows != NO_ROWS:
            terms["clipwise"] = clip_weight * mean_over_clips(clipwise[batch.weak_rows], count.weak)
        if taught:
            weight = self.teacher_weight
            of_taught = torch.cat([framewise[rows] for rows in taught])
            terms["teacher_framewise"] = weight * mean_over_clips(of_taught, count.all - count.strong)
        if taught and batch.unlabelled_rows != NO_ROWS:
            unlabelled = mean_over_clips(
                clipwise[batch.unlabelled_rows], count.all - count.strong - count.weak
            )
            terms["teacher_clipwise"] = weight * clip_weight * unlabelled
        return terms

    def clips_with_targets(self, batch: Batch, taught_rows: list[slice]) -> AugmentedClips:
        """Return the clips with what is known of each: its annotation, else the average's probabilities."""
        stride_frames = self.average.model.stride_frames
        outputs, classes = batch.logmel.shape[1] // stride_frames, self.classes_num
        logmel = self.standardize.undone(batch.logmel[:, : outputs * stride_frames])
        count = len(logmel)
        framewise, clipwise = logmel.new_zeros(count, outputs, classes), logmel.new_zeros(count, classes)
        if taught_rows:
            clips = torch.cat([logmel[rows] for rows in taught_rows])
            with torch.no_grad(), self.compute.autocast():
                output = self.average.model(self.standardize(clips))
            first = 0
            for rows in taught_rows:
                after = first + rows.stop - rows.start
                framewise[rows] = output.framewise_output[first:after]
                clipwise[rows] = output.clipwise_output[first:after]
                first = after
        if batch.weak_rows != NO_ROWS:
            labels = batch.weak_target
            framewise[batch.weak_rows] *= labels[:, None]  # a class that is not in the clip is in no frame
            clipwise[batch.weak_rows] = labels
        if batch.strong_rows != NO_ROWS:
            targets = batch.strong_target[:, : outputs * stride_frames]
            framewise[batch.strong_rows] = targets.unflatten(1, (outputs, stride_frames)).mean(dim=2)
            clipwise[batch.strong_rows] = batch.strong_target.amax(dim=1)
        return AugmentedClips(logmel, framewise, clipwise)
