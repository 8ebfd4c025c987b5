"""Training of Cnn_9layers_MaxPooling: plain float32, and as pytorch/main.py does it; on a GPU if any."""

import time
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from pytorch.compute import choose_compute, make_repeatable
from pytorch.data_generator import Standardizer, hold, training_batches
from pytorch.distributed import ALONE
from pytorch.training import new_training, training_step
from tests.benchmarks.measure import SETTINGS, compare, peak_operations_per_second, some_features
from tests.benchmarks.plain_model import PlainCnn, operations_per_clip
from utils.audio.feature_file import Scalar
from utils.system.memory import keep_freed_memory
from utils.workspace.run import Run

HAS_GPU = torch.cuda.is_available()
BATCH_SIZE = 32 if HAS_GPU else 16
DEFAULT_STEPS = 200 if HAS_GPU else 3
WARM_UP_STEPS = 20 if HAS_GPU else 1
DATA_SET_CLIPS = 512
MODEL_TYPE = "Cnn_9layers_MaxPooling"
RUN = Run("train_weak", "1", MODEL_TYPE, "clipwise_binary_crossentropy", BATCH_SIZE, seed=0)
MEL_BINS, CLASSES = SETTINGS.features.mel_bins, SETTINGS.features.classes_num
SCALAR = Scalar(np.full(MEL_BINS, 0.5), np.full(MEL_BINS, 2.0), "")
DEVICE = torch.device("cuda" if HAS_GPU else "cpu")


def wait_for_gpu() -> None:
    if HAS_GPU:
        torch.cuda.synchronize()


def seconds_of_steps(step: Callable[[], None], clips: int) -> float:
    """Return the seconds that steps over so many clips take, after a few that do not count."""
    for _ in range(WARM_UP_STEPS):
        step()
    wait_for_gpu()
    start = time.perf_counter()
    for _ in range(clips // BATCH_SIZE):
        step()
    wait_for_gpu()
    return time.perf_counter() - start


def plain(clips: int) -> float:
    """Gather and standardize with numpy, copy, compute in float32."""
    torch.manual_seed(0)
    model = PlainCnn(CLASSES).to(DEVICE)
    optimizer = torch.optim.Adam(model.parameters(), amsgrad=True)
    features = some_features(DATA_SET_CLIPS)
    generator = np.random.default_rng(0)

    def step() -> None:
        rows = generator.choice(DATA_SET_CLIPS, BATCH_SIZE, replace=False)
        logmel = ((features.logmel[rows] - SCALAR.mean) / SCALAR.std).astype(np.float32)
        target = features.weak_target[rows].astype(np.float32)
        logmel, target = torch.from_numpy(logmel).to(DEVICE), torch.from_numpy(target).to(DEVICE)
        loss = F.binary_cross_entropy(model(logmel), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return seconds_of_steps(step, clips)


def pipeline(clips: int) -> float:
    """Do as the loop of pytorch/main.py does."""
    make_repeatable(RUN.seed, gpu_repeatable=False)
    keep_freed_memory()
    compute = choose_compute(cuda=HAS_GPU, precision="auto")
    standardize = Standardizer.of(SCALAR, compute.device)
    held = hold(some_features(DATA_SET_CLIPS), standardize, SETTINGS.loop.gpu_data_fraction)
    batches = training_batches(held, batch_size=BATCH_SIZE, seed=RUN.seed)
    training = new_training(
        RUN, SETTINGS.features, iterations=1, standardize=standardize, compute=compute, ranks=ALONE
    )
    return seconds_of_steps(lambda: training_step(training, next(batches)), clips)


if __name__ == "__main__":
    dtype = choose_compute(cuda=HAS_GPU, precision="auto").dtype
    compare(
        f"training ({MODEL_TYPE}, batch {BATCH_SIZE}, {DEVICE.type}, {str(dtype).removeprefix('torch.')})",
        plain,
        pipeline,
        "a large matrix product's operations a second",
        peak_operations_per_second(dtype, DEVICE),
        operations_per_clip(SETTINGS.features, training=True),
        default_clips=DEFAULT_STEPS * BATCH_SIZE,
    )
