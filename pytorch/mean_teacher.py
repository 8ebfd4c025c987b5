"""Mean teacher: a student learns to agree with the moving average of itself, on clips without labels too."""

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pytorch.compute import Compute
from pytorch.data_generator import Batch, Standardizer
from pytorch.losses import mean_over_clips
from pytorch.models import ModelOutput
from utils.settings.groups import TrainingSettings


def averaging_copy(model: nn.Module) -> nn.Module:
    """Return a copy of a model that is not trained, but follows it."""
    own = copy.deepcopy(model).requires_grad_(False)
    for part in own.modules():
        if isinstance(part, nn.RNNBase):
            part.flatten_parameters()  # copying scatters them in GPU memory, which slows cuDNN down
    return own


def ramp_up(step: int, ramp_steps: float, steepness: float) -> float:
    """Return a weight that rises to 1 within `ramp_steps`: exp(-steepness · (1 - progress)²)."""
    progress = min(step / ramp_steps, 1.0) if ramp_steps > 0 else 1.0
    return math.exp(-steepness * (1 - progress) ** 2)


class MeanTeacher:
    """The teacher of a student, after A. Tarvainen and H. Valpola, NIPS 2017.

    Parameters
    ----------
    student : nn.Module
        The model that learns; the teacher begins as a copy of it.
    settings : TrainingSettings
        How long the teacher remembers, how noisy its input is, and how much consistency counts.
    iterations : int
        How many optimizer steps there will be.
    standardize : Standardizer
        What the log-mel is standardized by: the teacher's noise is one on the log-mel in dB.
    compute : Compute
        How the student is run.
    """

    def __init__(
        self,
        student: nn.Module,
        settings: TrainingSettings,
        iterations: int,
        standardize: Standardizer,
        compute: Compute,
    ) -> None:
        self.model = averaging_copy(student)
        self.settings = settings
        self.step = 0
        self.ramp_steps = settings.consistency_ramp_fraction * iterations
        self.compute = compute
        self.noise_deviation = (settings.teacher_noise / standardize.std).float()

    @property
    def weight(self) -> float:
        """Weight of the consistency losses at this step."""
        ramp = ramp_up(self.step, self.ramp_steps, self.settings.consistency_ramp_steepness)
        return self.settings.consistency_weight * ramp

    @property
    def decay(self) -> float:
        """The fraction of its weights that the teacher keeps at this step, counted from 1.

        At first the teacher is the plain average of all that the student has been, as early weights are worth
        nothing; from 1 / (1 - teacher_decay) steps on it forgets them.
        """
        return min(1 - 1 / (self.step + 1), self.settings.teacher_decay)

    def consistency(self, batch: Batch, student: ModelOutput) -> dict[str, Tensor]:
        """Return the mean squared differences of the student's outputs from the teacher's, not yet weighted.

        Parameters
        ----------
        batch : Batch
            As the student saw it.
        student : ModelOutput
            What the student made of it, stretched.
        """
        self.model.train()
        noise = torch.randn_like(batch.logmel) * self.noise_deviation
        with torch.no_grad(), self.compute.autocast():
            teacher = self.model(batch.logmel + noise).stretched(batch.logmel.shape[1])
        outputs = {
            "clipwise_consistency": (student.clipwise_output, teacher.clipwise_output),
            "framewise_consistency": (student.framewise_output, teacher.framewise_output),
        }
        return {
            name: mean_over_clips(F.mse_loss(*pair, reduction="none"), batch.clips_counted.all)
            for name, pair in outputs.items()
        }

    def follow(self, student: nn.Module) -> None:
        """Move the teacher's weights towards the student's, after an optimizer step of the student."""
        self.step += 1
        with torch.no_grad():
            torch._foreach_lerp_(list(self.model.parameters()), list(student.parameters()), 1 - self.decay)
