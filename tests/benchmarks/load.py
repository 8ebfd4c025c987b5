"""Extraction and inference of as many clips as the challenge's largest subset has: time and peak memory.

The recordings are short and made on the spot. Training is one iteration, as inference needs a checkpoint.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile

from tests.benchmarks.measure import RESULTS, machine_name
from utils.config import SETTINGS
from utils.dataset.subsets import SUBSETS
from utils.dataset.tables import Clip, Event, write_strong_table, write_weak_table
from utils.system.files import make_folder
from utils.system.progress import progress

PROJECT = Path(__file__).resolve().parents[2]
TRAINING_CLIPS = 16
SOURCE_RATE, SOURCE_SECONDS = 16000, 1.0  # of the recordings
SECONDS_BETWEEN_SAMPLES = 0.25  # of memory


@dataclass(frozen=True)
class Load:
    """What a stage took for many clips.

    Attributes
    ----------
    stage, machine : str
    clips : int
    seconds : float
    peak_bytes : int
        Of all processes of the stage together; shared memory is counted once.
    """

    stage: str
    machine: str
    clips: int
    seconds: float
    peak_bytes: int


def make_data_set(folder: Path, clips: int) -> None:
    """Write short recordings of noise, as validation clips with events and as a few weak clips."""
    generator = np.random.default_rng(0)
    labels = SETTINGS.features.labels
    for data_type, count in (("validation", clips), ("train_weak", TRAINING_CLIPS)):
        subset = SUBSETS[data_type]
        audio_folder = make_folder(folder / subset.audio_folder)
        annotated = []
        for index in progress(range(count), f"Recordings of {data_type}", count):
            label = labels[index % len(labels)]
            noise = generator.standard_normal(round(SOURCE_SECONDS * SOURCE_RATE)) / 10
            soundfile.write(audio_folder / f"{index:05d}.wav", noise, SOURCE_RATE)
            events = (Event(0.0, SOURCE_SECONDS / 2, label),)
            annotated.append(Clip(f"{index:05d}.wav", frozenset([label]), events))
        write = write_weak_table if subset.annotation == "weak" else write_strong_table
        write(folder / f"{subset.table}.csv", annotated)


def group_bytes(group: int) -> int:
    """Return the memory of all processes of a group, in which what they share is counted once."""
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(process.name)) == group:
                lines = (process / "smaps_rollup").read_text().splitlines()
                total += sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except (OSError, ProcessLookupError):
            continue  # it has ended meanwhile
    return total


def run(stage: str, clips: int, *command: object) -> Load:
    """Run a command, and watch the time it takes and its memory."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, PROJECT / str(command[0]), *map(str, command[1:])],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    peak = 0
    while process.poll() is None:
        peak = max(peak, group_bytes(process.pid))
        time.sleep(SECONDS_BETWEEN_SAMPLES)
    if process.returncode != 0:
        raise SystemExit(f"{stage} failed with exit code {process.returncode}")
    load = Load(stage, machine_name(), clips, time.perf_counter() - start, peak)
    print(
        f"{stage}: {clips} clips in {load.seconds:.0f} s ({clips / load.seconds:.1f} clips/s), "
        f"peak memory {peak / 1e9:.2f} GB"
    )
    return load


def main() -> None:
    largest = max(subset.clips for subset in SUBSETS.values())
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=largest, help=f"default {largest}")
    model_type = SETTINGS.defaults.model_type
    parser.add_argument("--model_type", default=model_type, help=f"default {model_type}")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_data_set(folder / "data", arguments.clips)
        workspace = ["--workspace", folder / "workspace"]
        place = ["--dataset_dir", folder / "data", *workspace]
        extract = ["utils/features.py", "calculate_feature_for_all_audio_files", *place, "--data_type"]
        settings = ["--data_type", "train_weak", "--model_type", arguments.model_type, "--batch_size", 8]
        run("extraction", TRAINING_CLIPS, *extract, "train_weak")
        loads = [run("extraction", arguments.clips, *extract, "validation")]
        run("scalar", TRAINING_CLIPS, "utils/features.py", "calculate_scalar", *workspace, *settings[:2])
        train = ["pytorch/main.py", "train", *place, *settings, "--holdout_fold", "none", "--iterations", 1]
        run("training", TRAINING_CLIPS + arguments.clips, *train)
        inference = ["pytorch/inference.py", "inference_validation", *place, *settings]
        loads.append(
            run("inference", arguments.clips, *inference, "--holdout_fold", "none", "--iteration", 1)
        )
    make_folder(RESULTS.parent)
    with RESULTS.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(load)) + "\n" for load in loads)


if __name__ == "__main__":
    main()
