"""A training step of Cnn_9layers_MaxPooling: plain float32, and as pytorch/main.py does it."""

import time

import torch
from torch.nn import functional as F

from pytorch.compute import choose_compute
from pytorch.models import create_model
from tests.benchmarks.measure import compare, peak_operations_per_second
from tests.benchmarks.plain_model import PlainCnn, operations_per_clip
from utils import config
from utils.memory import keep_freed_memory

BATCH_SIZE = 16
MODEL_TYPE = "Cnn_9layers_MaxPooling"


def new_batch() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    logmel = torch.randn(BATCH_SIZE, config.clip_frames, config.mel_bins)
    return logmel, torch.randint(0, 2, (BATCH_SIZE, config.classes_num)).float()


def seconds_of_steps(step, clips: int) -> float:
    """Return the seconds that steps over so many clips take, after one that does not count."""
    step()
    start = time.perf_counter()
    for _ in range(clips // BATCH_SIZE):
        step()
    return time.perf_counter() - start


def plain(clips: int) -> float:
    model = PlainCnn(config.classes_num)
    optimizer = torch.optim.Adam(model.parameters(), amsgrad=True)
    logmel, target = new_batch()

    def step() -> None:
        loss = F.binary_cross_entropy(model(logmel), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return seconds_of_steps(step, clips)


def pipeline(clips: int) -> float:
    keep_freed_memory()
    compute = choose_compute(cuda=False, precision="auto")
    model = create_model(MODEL_TYPE, config.classes_num, "frame_vectors")
    optimizer = torch.optim.Adam(model.parameters(), amsgrad=True)
    logmel, target = new_batch()

    def step() -> None:
        with compute.autocast():
            output = model(logmel)
        loss = F.binary_cross_entropy(output.clipwise_output, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return seconds_of_steps(step, clips)


if __name__ == "__main__":
    dtype = choose_compute(cuda=False, precision="auto").dtype
    compare(
        f"training ({MODEL_TYPE}, batch {BATCH_SIZE}, {str(dtype).removeprefix('torch.')})",
        plain,
        pipeline,
        "a large matrix product's operations a second",
        peak_operations_per_second(dtype),
        operations_per_clip(training=True),
        default_clips=3 * BATCH_SIZE,
    )
