"""What holds on a GPU only; skipped where there is none."""

import numpy as np
import pytest
import torch

from pytorch.compute import choose_compute, make_repeatable
from pytorch.data_generator import Standardizer, hold, training_batches
from pytorch.distributed import ALONE
from pytorch.training import new_training, training_step
from tests.commands import run_well
from tests.conftest import copy_inputs
from tests.settings_for_tests import SETTINGS
from utils.audio.feature_file import Features, Scalar
from utils.workspace.run import Run

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
STEPS = 6
FEATURES = SETTINGS.features


def some_features(clips: int) -> Features:
    generator = np.random.default_rng(0)
    logmel = generator.standard_normal((clips, FEATURES.clip_frames, FEATURES.mel_bins), np.float32)
    weak_target = generator.integers(0, 2, (clips, FEATURES.classes_num)).astype(bool)
    return Features([f"{index}.wav" for index in range(clips)], logmel, weak_target, None, clips)


SCALAR = Scalar(np.full(FEATURES.mel_bins, 0.5), np.full(FEATURES.mel_bins, 2.0), "")


@pytest.mark.parametrize("gpu_data_fraction", [0.0, 0.3])
def test_batches_on_the_gpu_are_those_of_the_processor(gpu_data_fraction):
    features = some_features(10)
    on_device = []
    for device in (torch.device("cpu"), torch.device("cuda")):
        held = hold(features, Standardizer.of(SCALAR, device), gpu_data_fraction)
        assert held.logmel.device.type == (device.type if gpu_data_fraction else "cpu")
        batches = training_batches(held, batch_size=4, seed=1)
        on_device.append([next(batches) for _ in range(5)])
    for on_cpu, on_gpu in zip(*on_device, strict=True):
        assert on_gpu.logmel.device.type == "cuda"
        assert on_cpu.names == on_gpu.names
        torch.testing.assert_close(on_gpu.logmel.cpu(), on_cpu.logmel)
        assert torch.equal(on_gpu.weak_target.cpu(), on_cpu.weak_target)


@pytest.mark.parametrize("gpu_data_fraction", [0.0, 0.3])
def test_a_training_step_does_not_wait_for_the_gpu(gpu_data_fraction):
    compute = choose_compute(cuda=True, precision="auto")
    make_repeatable(1, gpu_repeatable=False)
    standardize = Standardizer.of(SCALAR, compute.device)
    training = new_training(
        Run("train_weak", "1", "Cnn_9layers_MaxPooling", "clipwise_binary_crossentropy", 8, 1),
        FEATURES,
        iterations=STEPS,
        standardize=standardize,
        compute=compute,
        ranks=ALONE,
    )
    held = hold(some_features(8 * STEPS), standardize, gpu_data_fraction)
    batches = training_batches(held, batch_size=8, seed=1)
    for step in range(STEPS):
        if step == 2:  # the first ones set up libraries and memory, and may wait
            torch.cuda.set_sync_debug_mode("error")
        try:
            loss, _ = training_step(training, next(batches))
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert torch.isfinite(loss)


def test_training_on_a_gpu_ends_near_that_of_the_processor(trained, tmp_path):
    losses = []
    for device in ("cpu", "cuda"):
        (tmp_path / device).mkdir()
        workspace = copy_inputs(trained, tmp_path / device)
        options = ["--iterations", 2, "--precision", "fp32", *(["--cuda"] if device == "cuda" else [])]
        arguments = trained.run_arguments(workspace=tmp_path / device)
        assert f"compute: {device}" in run_well("pytorch/main.py", "train", *arguments, *options)
        path = workspace.run_paths(trained.run).checkpoint(2)
        checkpoint = torch.load(path, weights_only=True, map_location="cpu")
        losses.append(checkpoint["model"]["classifier.weight"])
    torch.testing.assert_close(losses[0], losses[1], atol=3e-3, rtol=0)
