"""A training that is stopped or killed goes on as if nothing had been, and nothing is lost or doubled."""

import json
import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from tests.conftest import assert_user_error, run_command
from tests.small import FEATURES_FOLDER, Small, make_small
from utils.metadata import SUBSETS
from utils.workspace import Run, Workspace

pytestmark = pytest.mark.xdist_group("small")
ALL_SUBSETS = "train_weak+train_synthetic+train_unlabel_in_domain"
CNN = Run("train_weak", "1", "Cnn_5layers_AvgPooling", "clipwise_binary_crossentropy", 4, 1)
CRNN = Run(ALL_SUBSETS, "1", "Crnn", "mean_teacher", 4, 1)
ITERATIONS = 11
KILLS = 20  # of each stage, in the slow run


@pytest.fixture(autouse=True)
def paths_of_small_features(monkeypatch) -> None:
    """Let `Workspace` build here the paths that it builds in the commands."""
    monkeypatch.setattr("utils.config.frames_per_second", 32)
    monkeypatch.setattr("utils.config.mel_bins", 16)


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Small:
    return make_small(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def finished(small, tmp_path_factory) -> Path:
    """A workspace in which every stage came to its end undisturbed."""
    workspace = tmp_path_factory.mktemp("finished")
    for data_type in SUBSETS:
        small.run(*small.extract(workspace, data_type))
    small.run(*small.scalar(workspace))
    for run in (CNN, CRNN):
        small.run(*small.train(workspace, run, ITERATIONS))
    small.run(*small.inference(workspace, CNN, ITERATIONS))
    return workspace


def new_workspace(finished: Path, folder: Path, *kinds: str) -> Path:
    """Make a workspace that has some of what the finished one has."""
    folder.mkdir()
    for kind in kinds:
        (folder / kind).symlink_to(finished / kind)
    return folder


def assert_equal(one: object, other: object, where: str = "") -> None:
    """Assert that two checkpoints' contents are the same to the bit, but for times and the start's name."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one.keys() - {"seconds", "start", "train_seconds", "forward_seconds"}:
            assert_equal(one[key], other[key], f"{where}/{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for index, pair in enumerate(zip(one, other, strict=True)):
            assert_equal(*pair, f"{where}/{index}")
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    else:
        assert one == other, where


def records(path: Path) -> list[dict]:
    """Read statistics, without the times."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [{key: value for key, value in line.items() if "seconds" not in key} for line in lines]


def assert_same_training(finished: Path, workspace: Path, run: Run) -> None:
    """Assert that the last checkpoint and the statistics are those of the undisturbed training."""
    one, other = Workspace(finished), Workspace(workspace)
    contents = [torch.load(place.checkpoint(run, ITERATIONS), weights_only=True) for place in (one, other)]
    for content in contents:
        del content["pending_evaluations"]  # depends on how fast scores come in
    assert_equal(*contents)
    for path_of in (Workspace.training_statistics, Workspace.loss_statistics):
        assert records(path_of(other, run)) == records(path_of(one, run))


def kill_after(process: subprocess.Popen, seconds: float) -> bool:
    """Kill a process and its children after some time; tell whether it was still running."""
    time.sleep(seconds)
    was_running = process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return was_running


def wait_for(process: subprocess.Popen, words: str) -> None:
    """Read what a process prints, up to a line that begins with the words."""
    for line in process.stdout:
        if line.startswith(words):
            return
    raise AssertionError(f"it ended before it printed: {words}")


@pytest.mark.parametrize("run", [CNN, CRNN], ids=["Cnn", "Crnn with mean teacher"])
def test_killed_training_ends_with_the_weights_of_an_undisturbed_one(small, finished, tmp_path, run):
    workspace = new_workspace(finished, tmp_path / "workspace", "features", "scalars")
    command = [*small.train(workspace, run, ITERATIONS), "--resume"]
    for words in ("iteration: 4,", "iteration: 8,"):
        process = small.start(*command)
        wait_for(process, words)
        assert kill_after(process, random.uniform(0, 0.1))
    output = small.run(*command)
    assert "Going on after iteration" in output
    assert_same_training(finished, workspace, run)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stop_signal_saves_a_checkpoint_and_says_how_to_go_on(small, finished, tmp_path, number):
    workspace = new_workspace(finished, tmp_path / "workspace", "features", "scalars")
    process = small.start(*small.train(workspace, CNN, ITERATIONS))
    wait_for(process, "iteration: 2,")
    os.killpg(process.pid, number)  # as Ctrl-C in a terminal, to all of its processes
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 128 + number, output
    stopped_at, command = re.search(
        rf"Stopped by {number.name} after iteration (\d+); go on with: python (.*) --resume", output
    ).groups()
    assert Workspace(workspace).saved_iterations(CNN)[-1] == int(stopped_at) < ITERATIONS
    assert command.split()[-1] == str(ITERATIONS)
    small.run(*small.train(workspace, CNN, ITERATIONS), "--resume")
    assert_same_training(finished, workspace, CNN)


def test_resume_without_a_checkpoint_begins_and_without_resume_begins_anew(small, finished, tmp_path):
    workspace = new_workspace(finished, tmp_path / "workspace", "features", "scalars")
    assert "Going on" not in small.run(*small.train(workspace, CNN, 3), "--resume")
    process = small.start(*small.train(workspace, CNN, 1000))
    wait_for(process, "iteration: 2,")
    kill_after(process, 0)
    for path in Workspace(workspace).checkpoint(CNN, 0).parent.glob("*.pth"):
        if path.name != "md_3_iters.pth":
            path.unlink()
    output = small.run(*small.train(workspace, CNN, 4), "--resume")
    assert "Going on" not in output, "the checkpoint is of an earlier training"


def kill_while(small: Small, command: list[object], kills: int, longest: float) -> None:
    """Kill a command at random moments, then let it come to its end."""
    for _ in range(kills):
        kill_after(small.start(*command), random.uniform(0, longest))
    small.run(*command)


def arrays(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        return {name: file[name][:] for name in file} | {name: file.attrs[name] for name in file.attrs}


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["extraction", "scalar", "training", "inference"])
def test_stage_killed_at_random_moments_ends_as_an_undisturbed_one(small, finished, tmp_path, stage):
    """The training evaluates every 4 iterations and saves every 3, so that it is killed there too."""
    needed = {
        "extraction": (),
        "scalar": ("features",),
        "training": ("features", "scalars"),
        "inference": ("features", "scalars", "checkpoints"),
    }
    workspace = new_workspace(finished, tmp_path / "workspace", *needed[stage])
    command = {
        "extraction": small.extract(workspace, "train_weak"),
        "scalar": small.scalar(workspace),
        "training": [*small.train(workspace, CNN, ITERATIONS), "--resume"],
        "inference": small.inference(workspace, CNN, ITERATIONS),
    }[stage]
    began = time.monotonic()
    small.run(*command)
    seconds = time.monotonic() - began
    for kind in {"features", "scalars", "checkpoints", "statistics", "submissions", "logs"} - {
        *needed[stage]
    }:
        subprocess.run(["rm", "-rf", workspace / kind], check=True)
    kill_while(small, command, KILLS, seconds)
    relative = Path(FEATURES_FOLDER, "train/weak.h5")
    if stage == "training":
        assert_same_training(finished, workspace, CNN)
    elif stage == "inference":
        of_both = [
            Workspace(place).submission(CNN, ITERATIONS).read_text() for place in (finished, workspace)
        ]
        assert of_both[0] == of_both[1]
    else:
        kind = "features" if stage == "extraction" else "scalars"
        one, other = (arrays(place / kind / relative) for place in (finished, workspace))
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[name], other[name]) for name in one)
    assert not [path for path in workspace.rglob(".*.unfinished") if not path.is_symlink()]


def test_killed_extraction_does_not_compute_again_what_it_had(small, finished, tmp_path):
    workspace = Workspace(tmp_path / "workspace")
    command = small.extract(workspace.root, "train_weak")
    list_path = workspace.root / "features" / FEATURES_FOLDER / "train/.weak.h5.journal/clips.jsonl"
    for kept in (3, 7):
        process = small.start(*command)
        while not list_path.is_file() or len(list_path.read_bytes().splitlines()) < kept:
            assert process.poll() is None
        kill_after(process, 0)
        assert not (workspace.root / "features" / FEATURES_FOLDER / "train/weak.h5").exists()
    computed = len(list_path.read_text().splitlines())
    assert f"Features of {computed} clips are there from an earlier call" in small.run(*command)
    relative = Path("features", FEATURES_FOLDER, "train/weak.h5")
    one, other = (arrays(place / relative) for place in (finished, workspace.root))
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert not list_path.parent.exists()
    assert "are there already" in small.run(*command)


def test_second_process_that_writes_the_same_is_refused_at_once(small, finished, tmp_path):
    workspace = new_workspace(finished, tmp_path / "workspace", "features", "scalars")
    process = small.start(*small.train(workspace, CNN, 100_000))
    wait_for(process, "iteration: 2,")
    result = run_command(*small.train(workspace, CNN, 2), **small.environment)
    assert_user_error(result, "another process writes here", "batch_size=4/seed=1")
    kill_after(process, 0)
    small.run(*small.train(workspace, CNN, 2))
    assert Workspace(workspace).saved_iterations(CNN)[0] == 2
