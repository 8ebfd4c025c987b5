"""What an evaluation costs training: predicting and sed_eval in turn, and as the pipeline does."""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from pytorch.compute import choose_compute
from pytorch.data_generator import Standardizer
from pytorch.detector import Detector
from pytorch.evaluation import Evaluation
from pytorch.models import create_model
from pytorch.tensorboard_log import TensorBoardLog
from tests.benchmarks.measure import SETTINGS, compare, peak_operations_per_second, some_features
from tests.benchmarks.plain_model import PlainCnn, operations_per_clip
from utils.audio.feature_file import Features
from utils.dataset.tables import Clip, Event
from utils.events.probabilities import Probabilities
from utils.scoring.sed_eval_scores import score_events
from utils.scoring.validation import ValidationReference, ValidationSet
from utils.system.memory import keep_freed_memory
from utils.workspace.paths import Workspace
from utils.workspace.run import STUDENT, Run

HAS_GPU = torch.cuda.is_available()
FEATURES = SETTINGS.features
BATCH_SIZE = SETTINGS.loop.evaluation_batch_size
RUN = Run("train_weak", "1", "Cnn_9layers_MaxPooling", "clipwise_binary_crossentropy", 32, 1234)
TRAINING_FRACTION = 0.4  # of the clips: about that of 500 training clips beside 1168 validation clips
EVENTS_OF_CLIP = 3


def some_events(generator: np.random.Generator) -> tuple[Event, ...]:
    onsets = generator.uniform(0, FEATURES.clip_seconds / 2, EVENTS_OF_CLIP)
    labels = generator.choice(FEATURES.labels, EVENTS_OF_CLIP)
    return tuple(Event(float(t), float(t) + 1, str(label)) for t, label in zip(onsets, labels, strict=True))


def some_validation_set(clips: int) -> tuple[Features, ValidationSet]:
    """Return training clips, and validation clips with events; together as many as asked for."""
    training_clips = round(TRAINING_FRACTION * clips)
    features = some_features(clips - training_clips)
    generator = np.random.default_rng(0)
    annotated = [Clip(name, events=some_events(generator)) for name in features.names]
    reference = ValidationReference(annotated, features.weak_target, len(features.names))
    return some_features(training_clips), ValidationSet(features, reference)


def new_detector(*, cuda: bool, precision: str) -> Detector:
    compute = choose_compute(cuda=cuda, precision=precision)
    no_scaling = (torch.zeros(FEATURES.mel_bins), torch.ones(FEATURES.mel_bins))
    model = create_model(
        RUN.model_type, FEATURES.classes_num, "frame_vectors", outputs_in_float32=True, mel_bins=64
    )
    return Detector(
        model.to(compute.device),
        RUN.model_type,
        Standardizer(*(values.to(compute.device) for values in no_scaling)),
        FEATURES,
        SETTINGS.events,
        compute,
        BATCH_SIZE,
    )


def plain(clips: int) -> float:
    """Predict in float32 and score, with training at rest."""
    training, validation = some_validation_set(clips)
    model = PlainCnn(FEATURES.classes_num).eval()
    detector = new_detector(cuda=False, precision="fp32")
    few = detector.probabilities(some_features(BATCH_SIZE).logmel)
    start = time.perf_counter()
    with torch.no_grad():
        for features in (training, validation.features):
            for batch in torch.from_numpy(features.logmel).split(BATCH_SIZE):
                model(batch)
    clips_to_score = np.arange(len(validation.features.names)) % len(few)
    submission = detector.post_processing.submission(
        validation.features.names,
        Probabilities(
            few.framewise[clips_to_score], few.clipwise[clips_to_score], few.stride_frames, few.frames
        ),
    )
    score_events(
        validation.reference.clips,
        submission,
        labels=FEATURES.labels,
        scoring=SETTINGS.scoring,
        show_progress=False,
    )
    return time.perf_counter() - start


def pipeline(clips: int) -> float:
    """Return the seconds that training waits for an evaluation."""
    keep_freed_memory()
    training, validation = some_validation_set(clips)
    detector = new_detector(cuda=HAS_GPU, precision="auto")
    with tempfile.TemporaryDirectory() as folder:
        paths = Workspace(Path(folder), FEATURES.folder_name).run_paths(RUN)
        no_board = TensorBoardLog(None, 1)
        evaluation = Evaluation(
            paths, training, validation, detector, SETTINGS.scoring, SETTINGS.loop, no_board
        )
        detector.probabilities(some_features(BATCH_SIZE).logmel)
        start = time.perf_counter()
        evaluation.evaluate({STUDENT: detector.model}, iteration=1, loss=0.0, train_seconds=0.0)
        seconds = time.perf_counter() - start
        evaluation.end()
    return seconds


if __name__ == "__main__":
    compute = choose_compute(cuda=HAS_GPU, precision="auto")
    compare(
        f"evaluation ({RUN.model_type}, {compute.device.type}, {str(compute.dtype).removeprefix('torch.')})",
        plain,
        pipeline,
        "a large matrix product's operations a second",
        peak_operations_per_second(compute.dtype, compute.device),
        operations_per_clip(FEATURES, training=False),
        default_clips=4 * BATCH_SIZE,
    )
