"""Random changes of training clips and their targets, on the device, drawn from torch's random numbers.

Nothing here waits for a GPU, and the same seed gives the same changes, also after resuming.
"""

import math
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from utils.settings.groups import RecipeSettings

HAS_CLASS = 0.5  # a clip has the classes whose target is above this; of unlabelled clips it is a probability
DECIBELS_PER_NEPER = 10 / math.log(10)  # of power: dB = this times the natural logarithm


@dataclass(frozen=True)
class AugmentedClips:
    """Clips and the targets that change with them.

    Attributes
    ----------
    logmel : Tensor, shape (clips, frames, mel_bins), dB
    framewise : Tensor, shape (clips, outputs, classes), 0 to 1
    clipwise : Tensor, shape (clips, classes), 0 to 1
    """

    logmel: Tensor
    framewise: Tensor
    clipwise: Tensor

    def mixed(self, partners: Tensor, weight: Tensor) -> Self:
        """Return weight · clips + (1 - weight) · the clips at `partners`; `weight` is of shape (clips,)."""

        def mix(x: Tensor) -> Tensor:
            return torch.lerp(x[partners], x, weight.view(-1, *[1] * (x.dim() - 1)))

        return replace(
            self, logmel=mix(self.logmel), framewise=mix(self.framewise), clipwise=mix(self.clipwise)
        )


def rolled(x: Tensor, steps: Tensor) -> Tensor:
    """Shift x (clips, time, ...) in a circle, each clip by its number of steps, shape (clips,), int."""
    time = x.shape[1]
    sources = (torch.arange(time, device=x.device) - steps[:, None]) % time
    return x.gather(1, sources[:, :, None].expand_as(x))


def time_shift(clips: AugmentedClips, *, deviation_outputs: float) -> AugmentedClips:
    """Shift each clip in a circle, by a normally distributed number of outputs, with its frame targets."""
    outputs = clips.framewise.shape[1]
    stride_frames = clips.logmel.shape[1] // outputs
    drawn = torch.randn(len(clips.logmel), device=clips.logmel.device)
    steps = (drawn * deviation_outputs).round().long()
    return replace(
        clips,
        logmel=rolled(clips.logmel, steps * stride_frames),
        framewise=rolled(clips.framewise, steps),
    )


def partners_in_parts(parts: list[slice], device: torch.device) -> Tensor:
    """Return for each row another one of its part of the batch, or the row itself."""
    return torch.cat([part.start + torch.randperm(part.stop - part.start, device=device) for part in parts])


def add_sounds(clips: AugmentedClips, parts: list[slice], *, gain_decibels: float) -> AugmentedClips:
    """Add to each clip another one of its part of the batch, as if both had sounded at once.

    Powers add up, and a class is where it is in either clip. Clips that share a class are left alone: their
    sum would teach that events of one class run into one another.

    Parameters
    ----------
    clips : AugmentedClips
    parts : list of slice
        The rows whose clips have targets of one kind; together all rows.
    gain_decibels : float
        The other clip's gain is uniform within ± this.
    """
    device = clips.logmel.device
    partners = partners_in_parts(parts, device)
    has_class = clips.clipwise > HAS_CLASS
    shares_class = (has_class & has_class[partners]).any(dim=1)
    partners = torch.where(shares_class, torch.arange(len(partners), device=device), partners)
    gain = (2 * torch.rand(len(partners), device=device) - 1) * gain_decibels
    gain = torch.where(shares_class, -torch.inf, gain)[:, None, None]
    added = (clips.logmel / DECIBELS_PER_NEPER, (clips.logmel[partners] + gain) / DECIBELS_PER_NEPER)
    return AugmentedClips(
        DECIBELS_PER_NEPER * torch.logaddexp(*added),
        torch.maximum(clips.framewise, clips.framewise[partners]),
        torch.maximum(clips.clipwise, clips.clipwise[partners]),
    )


def mixup(clips: AugmentedClips, parts: list[slice], *, probability: float, alpha: float) -> AugmentedClips:
    """Mix clips with others of their part of the batch, and their targets likewise.

    Zhang et al.: mixup: Beyond empirical risk minimization, ICLR 2018. A clip stays the stronger one of its
    mixture.

    Parameters
    ----------
    clips : AugmentedClips
    parts : list of slice
        The rows whose clips have targets of one kind; together all rows.
    probability : float
        That a batch is mixed.
    alpha : float
        The weights are of the Beta(alpha, alpha) distribution.
    """
    device = clips.logmel.device
    count = len(clips.logmel)
    partners = partners_in_parts(parts, device)
    concentration = torch.full((count,), alpha, device=device)
    # Not validated, as that would wait for a GPU.
    weight = torch.distributions.Beta(concentration, concentration, validate_args=False).sample()
    weight = torch.maximum(weight, 1 - weight)
    is_mixed = torch.rand((), device=device) < probability
    return clips.mixed(partners, torch.where(is_mixed, weight, 1.0))


def augment(
    clips: AugmentedClips,
    parts: list[slice],
    settings: RecipeSettings,
    *,
    outputs_per_second: float,
    adds_sounds: bool,
) -> AugmentedClips:
    """Change clips as the recipe does: with sounds added at first, which mixup follows."""
    clips = time_shift(clips, deviation_outputs=settings.time_shift_deviation * outputs_per_second)
    if adds_sounds:
        return add_sounds(clips, parts, gain_decibels=settings.added_sound_gain)
    return mixup(clips, parts, probability=settings.mixup_probability, alpha=settings.mixup_alpha)
