"""The detector: the forward pass over clips, and what it takes from a checkpoint."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pytorch.compute import Compute
from pytorch.data_generator import Standardizer
from pytorch.detector import Detector
from pytorch.models import DESIGNS, ModelOutput
from tests.settings_for_tests import SETTINGS
from utils.events.post_processing import DoubleThreshold, EventBoxes, MedianFilter

FEATURES = SETTINGS.features
CPU = Compute(torch.device("cpu"), torch.float32)
SILENCE = 10 * np.log10(FEATURES.log_floor)  # dB


class NumberModel(nn.Module):
    """Says what it was given: its probabilities are the clip's first value, at a stride of 8 frames."""

    stride_frames = 8

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[Tensor] = []
        self.was_training: list[bool] = []

    def forward(self, logmel: Tensor) -> ModelOutput:
        self.batches.append(logmel)
        self.was_training.append(self.training)
        clipwise = logmel[:, 0, :1].expand(-1, FEATURES.classes_num).clone()
        framewise = clipwise[:, None].repeat(1, logmel.shape[1] // 8, 1)
        return ModelOutput(framewise, clipwise, self.stride_frames)


def new_detector(model: nn.Module, batch_size: int, model_type: str = "Cnn_9layers_MaxPooling") -> Detector:
    bands = torch.arange(FEATURES.mel_bins).double()
    standardize = Standardizer(bands - 50, torch.full((FEATURES.mel_bins,), 10.0).double())
    return Detector(model, model_type, standardize, FEATURES, SETTINGS.events, CPU, batch_size)


def numbered_clips(clips: int) -> np.ndarray:
    """Clips of which the first value tells their number, once they are standardized: 1, 2 and so on."""
    bands = np.arange(FEATURES.mel_bins)
    values = 10 * (1.0 + np.arange(clips))[:, None] - 50 + bands
    return np.repeat(values[:, None], FEATURES.clip_frames, axis=1).astype(np.float32)


@pytest.mark.parametrize("batch_size", [1, 4, 10, 100])
def test_clips_are_standardized_and_detected_in_their_order(batch_size):
    model = NumberModel().train()
    probabilities = new_detector(model, batch_size).probabilities(numbered_clips(10))
    sizes = [len(batch) for batch in model.batches]
    assert sizes == [min(batch_size, 10 - start) for start in range(0, 10, batch_size)]
    assert not any(model.was_training)
    numbers = np.arange(1, 11)
    for index, clip in enumerate(torch.cat(model.batches)):
        np.testing.assert_allclose(clip, numbers[index], rtol=1e-5)
    assert probabilities.clipwise.dtype == probabilities.framewise.dtype == np.float32
    np.testing.assert_allclose(probabilities.clipwise, np.repeat(numbers[:, None], 10, axis=1), rtol=1e-5)
    assert probabilities.framewise.shape == (10, 80, 10)
    np.testing.assert_allclose(probabilities.framewise[:, 3], probabilities.clipwise)
    assert (probabilities.stride_frames, probabilities.frames) == (8, 640)


def test_nothing_is_detected_in_digital_silence_only():
    logmel = np.full((4, FEATURES.clip_frames, FEATURES.mel_bins), SILENCE, np.float32)
    logmel[1, 300, 20] += 0.5  # hardly a sound, but one
    logmel[3] = numbered_clips(1)
    probabilities = new_detector(NumberModel(), 3).probabilities(logmel)
    assert (probabilities.clipwise != 0).all(axis=1).tolist() == [False, True, False, True]
    assert (probabilities.framewise != 0).all(axis=(1, 2)).tolist() == [False, True, False, True]


@pytest.mark.parametrize("model_type", DESIGNS)
def test_each_kind_of_model_has_its_post_processing(model_type):
    kinds = {"Crnn": MedianFilter, "Crnn_8layers_AttentionPooling": EventBoxes}
    kind = kinds.get(model_type, DoubleThreshold)
    post_processing = new_detector(NumberModel(), 1, model_type).post_processing
    assert post_processing.labels == FEATURES.labels
    assert [type(of_class) for of_class in post_processing.of_classes] == [kind] * FEATURES.classes_num
