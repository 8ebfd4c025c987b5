"""One step of a training, and all that changes in it."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pytorch.compute import Compute, compiled
from pytorch.data_generator import Batch, Standardizer
from pytorch.distributed import Ranks
from pytorch.losses import LOSSES, Loss
from pytorch.mean_teacher import MeanTeacher
from pytorch.models import Model, create_model, require_size
from pytorch.recipe import MovingAverage, Recipe
from utils.settings.groups import FeatureSettings
from utils.settings.overrides import settings_source
from utils.workspace.run import STUDENT, TEACHER, Run


@dataclass(frozen=True)
class Training:
    """A model that learns, and how.

    Attributes
    ----------
    model : nn.Module
        The student.
    parallel_model : nn.Module
        The same weights, run so that gradients are averaged over the ranks; perhaps compiled.
    loss : Loss
    teacher : MeanTeacher or None
    recipe : Recipe or None
        Where the training goes by the recipe.
    optimizer, scheduler
        Of the student.
    compute : Compute
    is_compiled : bool
    """

    model: nn.Module
    parallel_model: nn.Module
    loss: Loss
    teacher: MeanTeacher | None
    recipe: Recipe | None
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    compute: Compute
    is_compiled: bool

    @property
    def models(self) -> dict[str, nn.Module]:
        """The models that can be evaluated, by whose weights they have."""
        if self.recipe is not None:
            return {STUDENT: self.recipe.average.model}
        return {STUDENT: self.model} | ({TEACHER: self.teacher.model} if self.teacher is not None else {})


def new_training(
    run: Run,
    features: FeatureSettings,
    *,
    iterations: int,
    standardize: Standardizer,
    compute: Compute,
    ranks: Ranks,
    compile_model: bool = False,
) -> Training:
    """Create the model, the teacher, the optimizer and the schedule of a run."""
    settings, loss = run.training, LOSSES[run.loss_type]
    model = create_model(
        run.model_type,
        features.classes_num,
        loss.clip_output_from,
        outputs_in_float32=run.outputs_in_float32,
        mel_bins=features.mel_bins,
    ).to(compute.device)
    require_size(model, features, settings_source())
    parallel_model = ranks.distribute(model)
    if compile_model:
        parallel_model = compiled(parallel_model, compute.device)
    teacher = MeanTeacher(model, settings, iterations, standardize, compute) if loss.has_teacher else None
    recipe = None
    if loss.is_recipe:
        recipe = Recipe(
            settings,
            MovingAverage(model, settings.average_memory_fraction * iterations),
            iterations,
            standardize,
            compute,
            features.frames_per_second / model.stride_frames,
            features.classes_num,
        )
    optimizer, scheduler = optimizer_and_scheduler(model, run, loss, compute.device)
    return Training(
        model, parallel_model, loss, teacher, recipe, optimizer, scheduler, compute, is_compiled=compile_model
    )


def optimizer_and_scheduler(
    model: Model, run: Run, loss: Loss, device: torch.device
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Return Adam and its schedule, as the recipe and the two published systems each have them."""
    settings, is_gpu = run.training, device.type == "cuda"
    if loss.is_recipe:
        optimizer = torch.optim.Adam(model.parameters(), lr=settings.recipe_learning_rate, fused=is_gpu)
        return optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    optimizer = torch.optim.Adam(
        model.parameters(),
        lr=settings.learning_rate,
        betas=settings.adam_betas,
        eps=settings.adam_epsilon,
        weight_decay=settings.weight_decay,
        amsgrad=not loss.has_teacher,
        fused=is_gpu,
    )
    decay = 1.0 if loss.has_teacher else settings.learning_rate_decay
    return optimizer, torch.optim.lr_scheduler.StepLR(optimizer, settings.learning_rate_decay_interval, decay)


def training_step(training: Training, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """Let the model learn from a batch; return the loss and its terms, which stay on the device."""
    training.model.train()
    # The last batch of a pass may be smaller: a compiled model is not to be compiled again for it.
    if training.is_compiled:
        torch._dynamo.maybe_mark_dynamic(batch.logmel, 0)
    if training.recipe is not None:
        terms = training.recipe.terms(training.parallel_model, batch)
        loss = sum(terms.values())
    else:
        loss, terms = published_loss(training, batch)
    training.optimizer.zero_grad()
    loss.backward()
    training.optimizer.step()
    training.scheduler.step()
    if training.teacher is not None:
        training.teacher.follow(training.model)
    if training.recipe is not None:
        training.recipe.average.follow(training.model)
    return loss, terms


def published_loss(training: Training, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss of the published systems and its terms."""
    with training.compute.autocast():
        output = training.parallel_model(batch.logmel)
    if training.loss.compares_frames:
        output = output.stretched(batch.logmel.shape[1])
    terms = training.loss.compute_terms(output, batch)
    loss = sum(terms.values())
    if training.teacher is not None:
        consistency = training.teacher.consistency(batch, output)
        loss += training.teacher.weight * sum(consistency.values())
        terms |= consistency
    return loss, terms
