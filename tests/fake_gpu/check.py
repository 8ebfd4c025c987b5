"""Trains, predicts, saves, resumes and trains on with every model and loss on the fake GPU.

Run in a process of its own: `python -m tests.fake_gpu.check`. An operation that mixes devices, copies to the
processor in a step, or has no CUDA implementation under autocast ends it with torch's own error.
"""

from tests.fake_gpu.device import GPU, FakeTensorMode, on_gpu, torch  # first: before torch

# isort: split
from dataclasses import replace
from unittest import mock

import numpy as np
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch.utils._pytree import tree_map_only

import pytorch.training
from pytorch.checkpoint import restore_training, training_state
from pytorch.compute import Compute
from pytorch.data_generator import Standardizer
from pytorch.detector import Detector
from pytorch.distributed import ALONE
from pytorch.losses import LOSSES
from pytorch.meter import Meter
from pytorch.models import DESIGNS, create_model
from pytorch.training import Training, new_training, training_step
from pytorch.training_data import batches_of
from tests.settings_for_tests import SETTINGS
from utils.audio.feature_file import Features, Scalar
from utils.dataset.subsets import SYNTHETIC, UNLABELLED, WEAK
from utils.workspace.run import Run, join_data_types

FEATURES = replace(SETTINGS.features, clip_seconds=1.0)  # as a GRU takes one call a frame
COMPUTE = Compute(GPU, torch.bfloat16)
MEL_BINS, CLASSES, FRAMES = FEATURES.mel_bins, FEATURES.classes_num, FEATURES.clip_frames
CLIPS, BATCH_SIZE, ITERATIONS = 6, 8, 9
ALL_LOSSES_WITH = ("Cnn_5layers_AvgPooling", "Crnn_8layers_AttentionPooling")
HELD, UNHELD = 0.3, 0.0  # fraction of the GPU's memory that the features may take
# How batches come does not depend on the model that takes them.
UNHELD_WITH = [(ALL_LOSSES_WITH[0], loss_type) for loss_type in ("recipe", "mean_teacher")]


def some_features(data_type: str) -> Features:
    """Clips with the targets that the subset has."""
    shape = (CLIPS, FRAMES)
    return Features(
        [str(index) for index in range(CLIPS)],
        np.zeros((*shape, MEL_BINS), np.float32),
        None if data_type == UNLABELLED else np.zeros((CLIPS, CLASSES), bool),
        np.zeros((*shape, CLASSES), bool) if data_type == SYNTHETIC else None,
        CLIPS,
    )


def training_on_gpu(run: Run, standardize: Standardizer, mode: FakeTensorMode) -> Training:
    """A new training whose model was moved as fake tensors can be."""
    with unset_fake_temporarily():
        model = create_model(
            run.model_type,
            CLASSES,
            LOSSES[run.loss_type].clip_output_from,
            outputs_in_float32=True,
            mel_bins=MEL_BINS,
        )
    on_gpu(model, mode)
    with (
        mock.patch.object(pytorch.training, "create_model", lambda *_, **__: model),
        mock.patch.object(model, "to", lambda device: model),
    ):
        return new_training(
            run,
            FEATURES,
            iterations=ITERATIONS,
            standardize=standardize,
            compute=COMPUTE,
            ranks=ALONE,
        )


def check(model_type: str, loss_type: str, gpu_data_fraction: float) -> None:
    """Go the way of a training with one model and loss."""
    fractions = LOSSES[loss_type].batch_fractions
    recipe = LOSSES[loss_type].is_recipe
    run = Run(
        join_data_types([WEAK, SYNTHETIC, UNLABELLED] if recipe else fractions or [SYNTHETIC]),
        "1",
        model_type,
        loss_type,
        BATCH_SIZE,
        1,
        training=SETTINGS.recipe if recipe else SETTINGS.training,
    )
    mode = FakeTensorMode()
    with mode:
        standardize = Standardizer.of(Scalar(np.zeros(MEL_BINS), np.ones(MEL_BINS), ""), GPU)
        batches = batches_of(
            run,
            {name: some_features(name) for name in run.data_types},
            standardize,
            gpu_data_fraction=gpu_data_fraction,
            ranks=ALONE,
            skip=0,
        )
        training, meter = training_on_gpu(run, standardize, mode), Meter(ITERATIONS, 2, ALONE, GPU)

        def step() -> None:
            batch = next(batches)
            meter.add(*training_step(training, batch), batch.names)

        step()
        step()  # the second batch of a pass may be smaller
        detector = Detector(training.model, model_type, standardize, FEATURES, SETTINGS.events, COMPUTE, 4)
        with mock.patch.object(torch.Tensor, "numpy", lambda self: np.zeros(tuple(self.shape))):
            detector.probabilities(some_features(SYNTHETIC).logmel)

        state = training_state(training, meter, ALONE)
        state = tree_map_only(torch.Tensor, lambda tensor: tensor.detach().cpu(), state)
        # As if it had been saved by a training on a processor
        state["device_type"] = "cpu"
        for group in state["optimizer"]["param_groups"]:
            group["fused"] = False
        training, meter = training_on_gpu(run, standardize, mode), Meter(ITERATIONS, 2, ALONE, GPU)
        with mock.patch("pytorch.checkpoint.require_tensor"):  # fake tensors have no values to check
            restore_training(state, training, meter, ALONE)
        step()
        kept = [
            value for of_parameter in training.optimizer.state.values() for value in of_parameter.values()
        ]
        for tensor in [*kept, *meter.losses, *(term for terms in meter.terms for term in terms.values())]:
            assert tensor.device == GPU, f"a tensor of the state is on {tensor.device}"
        torch.stack(meter.losses)


def main() -> None:
    for model_type in DESIGNS:
        for loss_type in LOSSES if model_type in ALL_LOSSES_WITH else ["mean_teacher"]:
            for fraction in (HELD, UNHELD) if (model_type, loss_type) in UNHELD_WITH else (HELD,):
                check(model_type, loss_type, fraction)
                print(f"{model_type}, {loss_type}, {'held' if fraction else 'not held'}: passed", flush=True)


if __name__ == "__main__":
    main()
