"""Features: a loop over librosa, and the stage of the pipeline."""

import tempfile
import time
from pathlib import Path

import h5py
import librosa
import numpy as np

from tests.benchmarks.measure import RESULTS, compare, peak_bytes_per_second
from utils.audio.extraction import extract_features
from utils.config import SETTINGS
from utils.synthesis.demo_clips import make_demo_dataset
from utils.system.workers import local_workers
from utils.workspace.paths import Workspace

FEW_CLIPS = 8  # of the warm-up
SUBSET = "train_unlabel_in_domain"
FEATURES = SETTINGS.features


def dataset_of(clips: int) -> Path:
    """Return a data set of so many recordings, made when it is missing."""
    path = RESULTS.parent / f"benchmark_{clips}_clips"
    if not path.is_dir():
        make_demo_dataset(path, clips={SUBSET: clips}, seed=0)
    return path


def plain_logmel(path: Path) -> np.ndarray:
    """The features of a recording, as one writes them down with librosa."""
    samples, _ = librosa.load(path, sr=FEATURES.sample_rate)
    samples = librosa.util.fix_length(samples, size=FEATURES.clip_samples)
    power = librosa.feature.melspectrogram(
        y=samples,
        sr=FEATURES.sample_rate,
        n_fft=FEATURES.window_size,
        hop_length=FEATURES.hop_size,
        window=np.hanning(FEATURES.window_size),
        pad_mode="reflect",
        n_mels=FEATURES.mel_bins,
        fmin=FEATURES.mel_min_frequency,
        fmax=FEATURES.mel_max_frequency,
    )
    return librosa.power_to_db(power, amin=FEATURES.log_floor, top_db=None).T[: FEATURES.clip_frames]


def plain(clips: int) -> float:
    paths = sorted(dataset_of(clips).rglob("*.wav"))
    with tempfile.TemporaryDirectory() as folder:
        for path in paths[:FEW_CLIPS]:
            plain_logmel(path)
        start = time.perf_counter()
        with h5py.File(Path(folder) / "features.h5", "w") as file:
            shape = (len(paths), FEATURES.clip_frames, FEATURES.mel_bins)
            data = file.create_dataset("feature", shape, np.float32, chunks=(1, *shape[1:]))
            for index, path in enumerate(paths):
                data[index] = plain_logmel(path)
        return time.perf_counter() - start


def pipeline(clips: int) -> float:
    with tempfile.TemporaryDirectory() as folder:

        def extract(mini_data: bool) -> float:
            workspace = Workspace(Path(folder), FEATURES.folder_name, mini_data)
            start = time.perf_counter()
            extract_features(
                dataset_of(clips),
                workspace,
                SUBSET,
                settings=SETTINGS,
                workers=local_workers(-1),
                strict=True,
            )
            return time.perf_counter() - start

        extract(mini_data=True)  # imports what is imported late
        return extract(mini_data=False)


if __name__ == "__main__":
    recording_bytes = 2 * 44100 * FEATURES.clip_seconds
    feature_bytes = 4 * FEATURES.clip_frames * FEATURES.mel_bins
    compare(
        "features",
        plain,
        pipeline,
        "a large copy's bytes a second",
        peak_bytes_per_second(),
        recording_bytes + feature_bytes,
        default_clips=400,
    )
