"""Probabilities of clips: plain float32, and as pytorch/inference.py computes them."""

import time

import torch

from pytorch.compute import choose_compute
from pytorch.data_generator import Standardizer
from pytorch.evaluation import predict_batches
from pytorch.models import create_model
from tests.benchmarks.measure import compare, peak_operations_per_second, some_features
from tests.benchmarks.plain_model import PlainCnn, operations_per_clip
from utils import config
from utils.system.memory import keep_freed_memory

MODEL_TYPE = "Cnn_9layers_MaxPooling"
NO_SCALING = Standardizer(torch.zeros(config.mel_bins), torch.ones(config.mel_bins))


def plain(clips: int) -> float:
    model = PlainCnn(config.classes_num).eval()
    logmel = torch.from_numpy(some_features(clips).logmel)
    with torch.no_grad():
        model(logmel[: config.evaluation_batch_size])
        start = time.perf_counter()
        for batch in logmel.split(config.evaluation_batch_size):
            model(batch)
        return time.perf_counter() - start


def pipeline(clips: int) -> float:
    keep_freed_memory()
    compute = choose_compute(cuda=False, precision="auto")
    model = create_model(MODEL_TYPE, config.classes_num, "frame_vectors")
    features = some_features(clips)
    list(predict_batches(model, some_features(config.evaluation_batch_size), NO_SCALING, compute))
    start = time.perf_counter()
    list(predict_batches(model, features, NO_SCALING, compute))
    return time.perf_counter() - start


if __name__ == "__main__":
    dtype = choose_compute(cuda=False, precision="auto").dtype
    compare(
        f"inference ({MODEL_TYPE}, {str(dtype).removeprefix('torch.')})",
        plain,
        pipeline,
        "a large matrix product's operations a second",
        peak_operations_per_second(dtype, torch.device("cpu")),
        operations_per_clip(training=False),
        default_clips=4 * config.evaluation_batch_size,
    )
