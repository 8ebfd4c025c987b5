"""A data set and settings so small that a whole training takes seconds, for tests that run many of them."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from tests.commands import PROJECT, run_well
from utils.synthesis.demo_clips import make_demo_dataset
from utils.workspace.paths import Workspace
from utils.workspace.run import Run

CLIPS = {"train_weak": 12, "train_synthetic": 8, "train_unlabel_in_domain": 8, "validation": 6}
CONFIG = """
sample_rate = 8000
clip_seconds = 2.0
window_size = 256
hop_size = 250
mel_bins = 16
mel_max_frequency = 4000
log_interval = 2
evaluation_interval = 4
checkpoint_interval = 3
"""
ALL_SUBSETS = "train_weak+train_synthetic+train_unlabel_in_domain"
CNN = Run("train_weak", "1", "Cnn_5layers_AvgPooling", "clipwise_binary_crossentropy", 4, 1)
CRNN = Run(ALL_SUBSETS, "1", "Crnn", "mean_teacher", 4, 1)
ITERATIONS = 11
FEATURES_FOLDER = "logmel_32frames_16melbins"
EXTRACT = ("utils/features.py", "calculate_feature_for_all_audio_files", "--num_workers", 1)
SCALAR = ("utils/features.py", "calculate_scalar", "--data_type", "train_weak")


def heed_ctrl_c() -> None:
    """Undo what a shell does to its background jobs, which the tests may be one of."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass(frozen=True)
class Small:
    """The small data set, and the commands that run on it."""

    dataset_dir: Path
    config: Path

    @property
    def environment(self) -> dict[str, str]:
        return {"SED_CONFIG": str(self.config), "OMP_NUM_THREADS": "1"}

    def with_settings(self, folder: Path, settings: str) -> Self:
        """Return the same with further settings, whose file is in `folder`."""
        config = folder / "config.py"
        config.write_text(self.config.read_text() + settings)
        return replace(self, config=config)

    def run(self, *arguments: object) -> str:
        """Run a command that must succeed; return what it printed."""
        return run_well(*arguments, **self.environment)

    def start(self, *arguments: object) -> subprocess.Popen:
        """Start a command in a process group of its own, which Ctrl-C stops, even if the tests ignore it."""
        return subprocess.Popen(
            [sys.executable, PROJECT / str(arguments[0]), *map(str, arguments[1:])],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | self.environment,
            start_new_session=True,
            preexec_fn=heed_ctrl_c,
        )

    def extract(self, workspace: Path, data_type: str) -> list[object]:
        place = ["--dataset_dir", self.dataset_dir, "--workspace", workspace]
        return [*EXTRACT, *place, "--data_type", data_type]

    def scalar(self, workspace: Path) -> list[object]:
        return [*SCALAR, "--workspace", workspace]

    def of_run(self, workspace: Path, run: Run) -> list[object]:
        """Return the arguments that tell a run."""
        values = vars(run) | {"dataset_dir": self.dataset_dir, "workspace": workspace}
        del values["mini_data"], values["training"], values["initial_checkpoint"]
        return [word for name, value in values.items() for word in (f"--{name}", value)]

    def train(self, workspace: Path, run: Run, iterations: int) -> list[object]:
        return ["pytorch/main.py", "train", *self.of_run(workspace, run), "--iterations", iterations]

    def inference(self, workspace: Path, run: Run, iteration: int) -> list[object]:
        command = ["pytorch/inference.py", "inference_validation"]
        return [*command, *self.of_run(workspace, run), "--iteration", iteration]


def make_small(folder: Path) -> Small:
    """Make the data set and the settings file in a folder."""
    make_demo_dataset(folder / "data", clips=CLIPS, seed=1)
    (folder / "config.py").write_text(CONFIG)
    return Small(folder / "data", folder / "config.py")


@dataclass(frozen=True)
class Finished:
    """A workspace in which every stage came to its end undisturbed, and the seconds that each took."""

    workspace: Workspace
    seconds: dict[str, float]


def finish_all_stages(small: Small, folder: Path) -> Finished:
    """Run every stage on the small data set."""

    def seconds_of(*command: object) -> float:
        began = time.monotonic()
        small.run(*command)
        return time.monotonic() - began

    seconds = {"extraction": seconds_of(*small.extract(folder, "train_weak"))}
    for data_type in ("train_synthetic", "train_unlabel_in_domain", "validation"):
        small.run(*small.extract(folder, data_type))
    seconds["scalar"] = seconds_of(*small.scalar(folder))
    seconds["training"] = seconds_of(*small.train(folder, CNN, ITERATIONS))
    seconds["inference"] = seconds_of(*small.inference(folder, CNN, ITERATIONS))
    return Finished(Workspace(folder, FEATURES_FOLDER), seconds)


def new_workspace(finished: Finished, folder: Path, *kinds: str) -> Workspace:
    """Make a workspace that has some of what the finished one has."""
    folder.mkdir(exist_ok=True)
    for kind in kinds:
        (folder / kind).symlink_to(finished.workspace.root / kind)
    return Workspace(folder, FEATURES_FOLDER)
