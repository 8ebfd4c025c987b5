"""Times the plain way and the pipeline's way of a stage in turn, each run in a fresh process of its own."""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from utils.audio.feature_file import Features
from utils.config import SETTINGS
from utils.system.files import make_folder

RESULTS = Path(__file__).resolve().parents[2] / "workspace" / "benchmarks.jsonl"
MATRIX_SIZE = 4096  # rows and columns of the matrix product that measures the peak of arithmetic
COPY_BYTES = 2**28  # of the copy that measures the peak of memory
PEAK_RUNS = 5


@dataclass(frozen=True)
class Comparison:
    """What was measured of a stage.

    Attributes
    ----------
    stage : str
    machine : str
    clips : int
        In each run.
    plain_seconds, pipeline_seconds : list of float
        Of each run, in the order they were made.
    peak_name : str
        What the machine's peak is one of.
    peak_fraction : float
        Fraction of the measured peak that the pipeline's way reaches.
    """

    stage: str
    machine: str
    clips: int
    plain_seconds: list[float]
    pipeline_seconds: list[float]
    peak_name: str
    peak_fraction: float

    @property
    def ratios(self) -> list[float]:
        """How many times as fast the pipeline's way was, in each pair of runs."""
        pairs = zip(self.plain_seconds, self.pipeline_seconds, strict=True)
        return [plain / pipeline for plain, pipeline in pairs]

    def describe(self) -> str:
        """Return a few lines for a person."""
        lines = [f"{self.stage}: {self.clips} clips a run, {len(self.ratios)} pairs of runs, {self.machine}"]
        for name, seconds in (("plain", self.plain_seconds), ("pipeline", self.pipeline_seconds)):
            clip_seconds = statistics.median(seconds) / self.clips
            lines.append(
                f"{name:>9}: median {1000 * clip_seconds:.2f} ms a clip, {1 / clip_seconds:.1f} clips/s"
            )
        ratio = statistics.median(self.ratios)
        lines.append(f"    ratio: median {ratio:.2f} (from {min(self.ratios):.2f} to {max(self.ratios):.2f})")
        lines.append(f"     peak: {100 * self.peak_fraction:.1f} % of {self.peak_name}")
        return "\n".join(lines)


def some_features(clips: int) -> Features:
    """Return noise as the features of clips with random labels."""
    generator = np.random.default_rng(0)
    shape = (clips, SETTINGS.features.clip_frames, SETTINGS.features.mel_bins)
    logmel = generator.standard_normal(shape, np.float32)
    weak_target = generator.integers(0, 2, (clips, SETTINGS.features.classes_num)).astype(bool)
    return Features([f"{index}.wav" for index in range(clips)], logmel, weak_target, None, clips)


def seconds_in_fresh_process(function: Callable[[int], float], clips: int) -> float:
    """Return what the function returns in a process that has done nothing before."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, clips).result()


def machine_name() -> str:
    """Return what the figures were measured on: processor, threads, and GPU if there is one."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.machine()
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{processor}, {torch.get_num_threads()} threads{gpu}"


def best_seconds(work: Callable[[], object]) -> float:
    """Return the shortest of a few runs, after one that does not count."""
    work()
    times = []
    for _ in range(PEAK_RUNS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def peak_operations_per_second(dtype: torch.dtype, device: torch.device) -> float:
    """Measure a large matrix product."""
    left, right = torch.randn(2, MATRIX_SIZE, MATRIX_SIZE).to(device, dtype)

    def multiply() -> None:
        left @ right
        if device.type == "cuda":
            torch.cuda.synchronize()

    return 2 * MATRIX_SIZE**3 / best_seconds(multiply)


def peak_bytes_per_second() -> float:
    """Measure a large copy, whose bytes are both read and written."""
    source = np.ones(COPY_BYTES, np.uint8)
    target = np.empty_like(source)
    return 2 * COPY_BYTES / best_seconds(lambda: np.copyto(target, source))


def compare(
    stage: str,
    plain: Callable[[int], float],
    pipeline: Callable[[int], float],
    peak_name: str,
    peak: float,
    work_per_clip: float,
    default_clips: int,
) -> None:
    """Run both ways in turn, as the command line says; print the comparison and append it to `RESULTS`.

    Parameters
    ----------
    stage : str
    plain, pipeline : callable
        Take a number of clips and return the seconds these took, without imports and warm-up.
    peak_name, peak : str, float
        What limits the machine, a second.
    work_per_clip : float
        Of what the peak counts.
    default_clips : int
        In each run.
    """
    parser = argparse.ArgumentParser(description=f"Times {stage}, the plain way and the pipeline's, in turn.")
    parser.add_argument("--clips", type=int, default=default_clips, help=f"in a run; default {default_clips}")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of runs; default 5")
    arguments = parser.parse_args()
    seconds: dict[Callable, list[float]] = {plain: [], pipeline: []}
    for _ in range(arguments.rounds):
        for way, runs in seconds.items():
            runs.append(seconds_in_fresh_process(way, arguments.clips))
    fraction = work_per_clip * arguments.clips / statistics.median(seconds[pipeline]) / peak
    comparison = Comparison(
        stage, machine_name(), arguments.clips, seconds[plain], seconds[pipeline], peak_name, fraction
    )
    print(comparison.describe())
    make_folder(RESULTS.parent)
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(comparison)) + "\n")
