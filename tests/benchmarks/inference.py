"""Probabilities of clips: plain float32, and as pytorch/inference.py computes them."""

import time

import torch

from pytorch.compute import choose_compute
from pytorch.data_generator import Standardizer
from pytorch.detector import Detector
from pytorch.models import create_model
from tests.benchmarks.measure import SETTINGS, compare, peak_operations_per_second, some_features
from tests.benchmarks.plain_model import PlainCnn, operations_per_clip
from utils.system.memory import keep_freed_memory

MODEL_TYPE = "Cnn_9layers_MaxPooling"
BATCH_SIZE = SETTINGS.loop.evaluation_batch_size
NO_SCALING = Standardizer(torch.zeros(SETTINGS.features.mel_bins), torch.ones(SETTINGS.features.mel_bins))


def plain(clips: int) -> float:
    model = PlainCnn(SETTINGS.features.classes_num).eval()
    logmel = torch.from_numpy(some_features(clips).logmel)
    with torch.no_grad():
        model(logmel[:BATCH_SIZE])
        start = time.perf_counter()
        for batch in logmel.split(BATCH_SIZE):
            model(batch)
        return time.perf_counter() - start


def pipeline(clips: int) -> float:
    keep_freed_memory()
    compute = choose_compute(cuda=False, precision="auto")
    model = create_model(
        MODEL_TYPE, SETTINGS.features.classes_num, "frame_vectors", outputs_in_float32=True, mel_bins=64
    )
    detector = Detector(
        model, MODEL_TYPE, NO_SCALING, SETTINGS.features, SETTINGS.events, compute, BATCH_SIZE
    )
    logmel = some_features(clips).logmel
    detector.probabilities(logmel[:BATCH_SIZE])
    start = time.perf_counter()
    detector.probabilities(logmel)
    return time.perf_counter() - start


if __name__ == "__main__":
    dtype = choose_compute(cuda=False, precision="auto").dtype
    compare(
        f"inference ({MODEL_TYPE}, {str(dtype).removeprefix('torch.')})",
        plain,
        pipeline,
        "a large matrix product's operations a second",
        peak_operations_per_second(dtype, torch.device("cpu")),
        operations_per_clip(SETTINGS.features, training=False),
        default_clips=4 * BATCH_SIZE,
    )
