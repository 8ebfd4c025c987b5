"""What an evaluation costs training: predicting and sed_eval in turn, and as the pipeline does."""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from pytorch.compute import choose_compute
from pytorch.data_generator import Standardizer
from pytorch.evaluation import Evaluation, ValidationSet, post_processing_of, predict
from pytorch.models import create_model
from pytorch.tensorboard_log import TensorBoardLog
from tests.benchmarks.measure import compare, peak_operations_per_second, some_features
from tests.benchmarks.plain_model import PlainCnn, operations_per_clip
from utils import config
from utils.audio.feature_file import Features
from utils.dataset.tables import Clip, Event
from utils.scoring.sed_eval_scores import score_events
from utils.scoring.validation import Probabilities, ValidationReference, predicted_clips
from utils.system.memory import keep_freed_memory
from utils.workspace.paths import STUDENT, Run, Workspace

HAS_GPU = torch.cuda.is_available()
RUN = Run("train_weak", "1", "Cnn_9layers_MaxPooling", "clipwise_binary_crossentropy", 32, 1234)
TRAINING_SHARE = 0.4  # of the clips: about that of 500 training clips beside 1168 validation clips
EVENTS_OF_CLIP = 3
NO_SCALING = Standardizer(torch.zeros(config.mel_bins), torch.ones(config.mel_bins))


def some_events(generator: np.random.Generator) -> tuple[Event, ...]:
    onsets = generator.uniform(0, config.clip_seconds / 2, EVENTS_OF_CLIP)
    labels = generator.choice(config.labels, EVENTS_OF_CLIP)
    return tuple(Event(float(t), float(t) + 1, str(label)) for t, label in zip(onsets, labels, strict=True))


def some_validation_set(clips: int) -> tuple[Features, ValidationSet]:
    """Return training clips, and validation clips with events; together as many as asked for."""
    training_clips = round(TRAINING_SHARE * clips)
    features = some_features(clips - training_clips)
    generator = np.random.default_rng(0)
    annotated = [Clip(name, events=some_events(generator)) for name in features.names]
    reference = ValidationReference(annotated, features.weak_target, len(features.names))
    return some_features(training_clips), ValidationSet(features, reference)


def plain(clips: int) -> float:
    """Predict in float32 and score, with training at rest."""
    training, validation = some_validation_set(clips)
    model = PlainCnn(config.classes_num).eval()
    own_model = create_model(RUN.model_type, config.classes_num, "frame_vectors")
    few = some_features(config.evaluation_batch_size)
    probabilities = predict(own_model, few, NO_SCALING, choose_compute(cuda=False, precision="fp32"))
    start = time.perf_counter()
    with torch.no_grad():
        for features in (training, validation.features):
            for batch in torch.from_numpy(features.logmel).split(config.evaluation_batch_size):
                model(batch)
    repeats = -(-len(validation.features.names) // len(few.names))
    framewise, clipwise = (
        np.concatenate([array] * repeats)[: len(validation.features.names)]
        for array in (probabilities.framewise, probabilities.clipwise)
    )
    submission = predicted_clips(
        validation.features.names,
        Probabilities(framewise, clipwise, probabilities.stride_frames),
        post_processing_of(RUN.model_type),
    )
    score_events(validation.reference.clips, submission, show_progress=False)
    return time.perf_counter() - start


def pipeline(clips: int) -> float:
    """Return the seconds that training waits for an evaluation."""
    keep_freed_memory()
    training, validation = some_validation_set(clips)
    compute = choose_compute(cuda=HAS_GPU, precision="auto")
    model = create_model(RUN.model_type, config.classes_num, "frame_vectors").to(compute.device)
    standardize = Standardizer(NO_SCALING.mean.to(compute.device), NO_SCALING.std.to(compute.device))
    with tempfile.TemporaryDirectory() as folder:
        no_board = TensorBoardLog(None, 1)
        evaluation = Evaluation(
            Workspace(Path(folder)), RUN, training, validation, standardize, compute, no_board
        )
        predict(model, some_features(config.evaluation_batch_size), standardize, compute)
        start = time.perf_counter()
        evaluation.evaluate({STUDENT: model}, iteration=1, loss=0.0, train_seconds=0.0)
        seconds = time.perf_counter() - start
        evaluation.end()
    return seconds


if __name__ == "__main__":
    dtype = choose_compute(cuda=HAS_GPU, precision="auto").dtype
    device = torch.device("cuda" if HAS_GPU else "cpu")
    compare(
        f"evaluation ({RUN.model_type}, {device.type}, {str(dtype).removeprefix('torch.')})",
        plain,
        pipeline,
        "a large matrix product's operations a second",
        peak_operations_per_second(dtype, device),
        operations_per_clip(training=False),
        default_clips=4 * config.evaluation_batch_size,
    )
