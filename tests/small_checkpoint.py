"""A checkpoint that no training made, for tests of what is done with one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from pytorch.checkpoint import detector_state, write_checkpoint
from pytorch.data_generator import Standardizer
from pytorch.losses import LOSSES
from pytorch.models import create_model
from tests.settings_for_tests import SETTINGS
from utils.workspace.run import Run

RATE = 8000  # Hz
FEATURES = replace(
    SETTINGS.features,
    sample_rate=RATE,
    clip_seconds=2.0,
    window_size=256,
    hop_size=250,
    mel_bins=16,
    mel_max_frequency=4000,
)
# The weights are random: thresholds in the middle of what they give.
EVENTS = replace(
    SETTINGS.events, clip_threshold=0.1, high_threshold=0.6, low_threshold=0.5, join_gap=0.0, drop_length=0.0
)
RUN = Run("train_synthetic", "1", "Cnn_5layers_AvgPooling", "framewise_binary_crossentropy", 4, 1234)


def small_checkpoint(path: Path) -> Path:
    """Write a small model with random weights, whose events come and go with the sound."""
    torch.manual_seed(0)
    model = create_model(
        RUN.model_type,
        FEATURES.classes_num,
        LOSSES[RUN.loss_type].clip_output_from,
        outputs_in_float32=True,
        mel_bins=FEATURES.mel_bins,
    )
    bands = torch.ones(FEATURES.mel_bins, dtype=torch.float64)
    content = detector_state(RUN, Standardizer(-50 * bands, 20 * bands), FEATURES, EVENTS)
    write_checkpoint(path, content | {"model": model.state_dict(), "iteration": 1, "training_id": "never"})
    return path


def small_sounds(count: int) -> list[np.ndarray]:
    """Recordings of 4 s at 8 kHz: noise that swells and fades."""
    generator = np.random.default_rng(0)
    time = np.arange(4 * RATE) / RATE
    return [
        0.3 * np.sin(np.pi * time * (1 + number % 3)) ** 8 * generator.uniform(-1, 1, len(time))
        for number in range(count)
    ]
