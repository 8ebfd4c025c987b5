"""CUDA code paths on a GPU that computes nothing, so that they are tested where there is none."""

import os
import shutil
import subprocess
import sys

import pytest
import torch

from pytorch.models import DESIGNS
from tests.commands import PROJECT


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
@pytest.mark.skipif(torch.version.cuda is not None, reason="needs a build of torch without CUDA")
def test_training_prediction_and_resuming_run_on_a_fake_gpu():
    command = [sys.executable, "-W", "ignore", "-m", "tests.fake_gpu.check"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert all(model_type in result.stdout for model_type in DESIGNS)
