"""Features: a loop over librosa in one process, and the stage of the pipeline."""

import tempfile
import time
from pathlib import Path

import h5py
import librosa
import numpy as np
from joblib.externals.loky import get_reusable_executor

from tests.benchmarks.measure import RESULTS, compare, peak_bytes_per_second
from utils import config
from utils.dataset.demo_clips import make_demo_dataset
from utils.features import calculate_feature_for_all_audio_files
from utils.system.workers import local_workers
from utils.workspace.paths import Workspace

FEW_CLIPS = 8  # of the warm-up
SUBSET = "train_unlabel_in_domain"


def dataset_of(clips: int) -> Path:
    """Return a data set of so many recordings, made when it is missing."""
    path = RESULTS.parent / f"benchmark_{clips}_clips"
    if not path.is_dir():
        make_demo_dataset(path, clips={SUBSET: clips}, seed=0)
    return path


def plain_logmel(path: Path, filters: np.ndarray) -> np.ndarray:
    """The features of a recording, as one writes them down with librosa."""
    samples, _ = librosa.load(path, sr=config.sample_rate)
    samples = librosa.util.fix_length(samples, size=config.clip_samples)
    framing = {"n_fft": config.window_size, "hop_length": config.hop_size, "pad_mode": "reflect"}
    spectra = librosa.stft(samples, window=np.hanning(config.window_size), **framing)
    power = filters @ np.abs(spectra[:, : config.clip_frames]) ** 2
    return librosa.power_to_db(power, amin=config.log_floor, top_db=None).T


def plain(clips: int) -> float:
    paths = sorted(dataset_of(clips).rglob("*.wav"))
    with tempfile.TemporaryDirectory() as folder:
        filters = librosa.filters.mel(
            sr=config.sample_rate,
            n_fft=config.window_size,
            n_mels=config.mel_bins,
            fmin=config.mel_min_frequency,
            fmax=config.mel_max_frequency,
        )
        for path in paths[:FEW_CLIPS]:
            plain_logmel(path, filters)
        start = time.perf_counter()
        with h5py.File(Path(folder) / "features.h5", "w") as file:
            shape = (len(paths), config.clip_frames, config.mel_bins)
            data = file.create_dataset("feature", shape, np.float32, chunks=(1, *shape[1:]))
            for index, path in enumerate(paths):
                data[index] = plain_logmel(path, filters)
        return time.perf_counter() - start


def pipeline(clips: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))

        def extract(mini_data: bool) -> float:
            start = time.perf_counter()
            calculate_feature_for_all_audio_files(
                dataset_of(clips),
                workspace,
                SUBSET,
                mini_data=mini_data,
                workers=local_workers(-1),
                strict=True,
            )
            return time.perf_counter() - start

        extract(mini_data=True)  # starts the processes
        seconds = extract(mini_data=False)
        get_reusable_executor().shutdown()  # else this process waits for them to fall asleep
        return seconds


if __name__ == "__main__":
    recording_bytes = 2 * 44100 * config.clip_seconds
    feature_bytes = 4 * config.clip_frames * config.mel_bins
    compare(
        "features",
        plain,
        pipeline,
        "a large copy's bytes a second",
        peak_bytes_per_second(),
        recording_bytes + feature_bytes,
        default_clips=400,
    )
