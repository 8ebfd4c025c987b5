"""Cnn_9layers_MaxPooling as one writes it down: float32, torch's default memory layout."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from utils.settings.groups import FeatureSettings

CHANNELS = (64, 128, 256, 512)


class PlainCnn(nn.Module):
    """The same layers as the pipeline's model; its only output is the clip's."""

    def __init__(self, classes_num: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for index, channels in enumerate(CHANNELS):
            layers += [nn.MaxPool2d(2)] if index > 0 else []
            for _ in range(2):
                layers += [nn.Conv2d(before, channels, 3, padding=1, bias=False)]
                layers += [nn.BatchNorm2d(channels), nn.ReLU()]
                before = channels
        self.layers = nn.Sequential(*layers)
        self.classifier = nn.Linear(before, classes_num)

    def forward(self, logmel: torch.Tensor) -> torch.Tensor:
        vectors = self.layers(logmel[:, None]).amax(dim=3)
        return torch.sigmoid(self.classifier(vectors.amax(dim=2)))


def operations_per_clip(features: FeatureSettings, *, training: bool) -> float:
    """Count the additions and multiplications of a clip: of the forward pass, in training of both passes."""
    model = PlainCnn(features.classes_num)
    logmel = torch.randn(1, features.clip_frames, features.mel_bins)
    with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(training):
        output = model(logmel)
        if training:
            output.sum().backward()
    return counter.get_total_flops()
