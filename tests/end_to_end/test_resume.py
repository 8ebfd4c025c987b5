"""A training that is stopped or killed goes on as if nothing had been, and nothing is lost or doubled."""

import json
import os
import random
import re
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from tests.commands import assert_user_error, run_command
from tests.small import CNN, CRNN, FEATURES_FOLDER, ITERATIONS, Finished, Small, new_workspace
from utils.workspace.paths import RunPaths, Workspace
from utils.workspace.run import Run

pytestmark = pytest.mark.xdist_group("small")
KILLS = 20  # of each stage, in the slow run


def assert_equal(one: object, other: object, where: str = "") -> None:
    """Assert that two checkpoints' contents are the same to the bit, but for seconds and ID."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one.keys() - {"seconds", "training_id"}:
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


def assert_same_training(one: Workspace, other: Workspace, run: Run) -> None:
    """Assert that two trainings ended with the same checkpoint and the same statistics."""
    paths: list[RunPaths] = [workspace.run_paths(run) for workspace in (one, other)]
    assert_equal(*(torch.load(of_one.checkpoint(ITERATIONS), weights_only=True) for of_one in paths))
    for kind in ("training_statistics", "loss_statistics"):
        expected, found = (records(getattr(of_one, kind)) for of_one in paths)
        assert expected
        assert found == expected


def kill_after(process: subprocess.Popen, seconds: float) -> bool:
    """Kill a process and its children after some time; tell whether it was still running."""
    time.sleep(seconds)
    was_running = process.poll() is None
    with suppress(ProcessLookupError):  # where it has ended already
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
    undisturbed = finished.workspace
    if run is CRNN:
        undisturbed = new_workspace(finished, tmp_path / "undisturbed", "features", "scalars")
        small.run(*small.train(undisturbed.root, run, ITERATIONS))
    workspace = new_workspace(finished, tmp_path / "workspace", "features", "scalars")
    command = [*small.train(workspace.root, run, ITERATIONS), "--resume"]
    for words in ("iteration 4:", "iteration 8:"):
        process = small.start(*command)
        wait_for(process, words)
        assert kill_after(process, random.uniform(0, 0.1))
    assert "Resuming after iteration" in small.run(*command)
    assert_same_training(undisturbed, workspace, run)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stop_signal_saves_a_checkpoint_and_says_how_to_go_on(small, finished, tmp_path, number):
    workspace = new_workspace(finished, tmp_path / "workspace", "features", "scalars")
    process = small.start(*small.train(workspace.root, CNN, ITERATIONS))
    wait_for(process, "iteration 2:")
    os.killpg(process.pid, number)  # as Ctrl-C in a terminal, to all of its processes
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 128 + number, output
    stopped_at, command = re.search(
        rf"Stopped by {number.name} after iteration (\d+); go on with: SED_CONFIG={small.config} "
        r"\S*python\S* (.*) --resume",
        output,
    ).groups()
    assert workspace.run_paths(CNN).saved_iterations()[-1] == int(stopped_at) < ITERATIONS
    assert command.split()[-1] == str(ITERATIONS)
    small.run(*small.train(workspace.root, CNN, ITERATIONS), "--resume")
    assert_same_training(finished.workspace, workspace, CNN)


def test_resume_takes_no_checkpoint_of_an_earlier_training(small, finished, tmp_path):
    workspace = new_workspace(finished, tmp_path / "workspace", "features", "scalars")
    assert "Resuming" not in small.run(*small.train(workspace.root, CNN, 3), "--resume")
    process = small.start(*small.train(workspace.root, CNN, 1000))
    wait_for(process, "iteration 2:")
    kill_after(process, 0)
    paths = workspace.run_paths(CNN)
    for iteration in paths.saved_iterations():
        if iteration != 3:
            paths.checkpoint(iteration).unlink()
    is_new = paths.checkpoint(3).stat().st_mtime > paths.settings.stat().st_mtime
    output = small.run(*small.train(workspace.root, CNN, 4), "--resume")
    assert ("Resuming" in output) == is_new


def test_a_training_that_is_extended_keeps_the_scores_of_its_former_end(small, finished, tmp_path):
    workspace = new_workspace(finished, tmp_path, "features", "scalars")
    small.run(*small.train(workspace.root, CNN, 2))
    small.run(*small.train(workspace.root, CNN, 5), "--resume")
    evaluations = records(workspace.run_paths(CNN).training_statistics)
    assert [record["iteration"] for record in evaluations] == [2, 4, 5]


def test_scores_of_an_earlier_trainings_checkpoint_are_refused(small, finished, tmp_path):
    workspace = new_workspace(finished, tmp_path, "features", "scalars")
    small.run(*small.train(workspace.root, CNN, 2))
    small.run(*small.train(workspace.root, CNN, 1))
    result = run_command(*small.inference(workspace.root, CNN, 2), **small.environment)
    assert_user_error(result, "md_2_iters.pth: is of another training of this run than ")


@pytest.mark.parametrize(("run", "says"), [(CNN, False), (CRNN, True)], ids=["Cnn", "Crnn with mean teacher"])
def test_resume_to_another_number_of_iterations_says_that_the_schedule_was_another(
    small, finished, tmp_path, run, says
):
    workspace = new_workspace(finished, tmp_path, "features", "scalars")
    small.run(*small.train(workspace.root, run, 1))
    output = small.run(*small.train(workspace.root, run, 2), "--resume")
    assert "Resuming after iteration 1" in output
    assert ("began as a training of 1 iteration," in output) == says


def arrays(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        return {name: file[name][:] for name in file} | {name: file.attrs[name] for name in file.attrs}


NEEDED = {
    "extraction": (),
    "scalar": ("features",),
    "training": ("features", "scalars"),
    "inference": ("features", "scalars", "checkpoints"),
}


def kill_and_finish(small: Small, finished: Finished, workspace: Workspace, stage: str, kills: int) -> None:
    """Kill a stage at random moments, then let it come to its end, and compare what it made."""
    command = {
        "extraction": small.extract(workspace.root, "train_weak"),
        "scalar": small.scalar(workspace.root),
        "training": [*small.train(workspace.root, CNN, ITERATIONS), "--resume"],
        "inference": small.inference(workspace.root, CNN, ITERATIONS),
    }[stage]
    for _ in range(kills):
        kill_after(small.start(*command), random.uniform(0, finished.seconds[stage]))
    small.run(*command)
    relative = Path(FEATURES_FOLDER, "train/weak.h5")
    if stage == "training":
        assert_same_training(finished.workspace, workspace, CNN)
    elif stage == "inference":
        places = (finished.workspace, workspace)
        one, other = (place.run_paths(CNN).submission(ITERATIONS) for place in places)
        assert one.read_text() == other.read_text()
    else:
        kind = "features" if stage == "extraction" else "scalars"
        one, other = (arrays(place.root / kind / relative) for place in (finished.workspace, workspace))
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[name], other[name]) for name in one)
    assert not list(workspace.root.rglob(".*.unfinished"))


@pytest.mark.parametrize("stage", ["scalar", "inference"])
def test_stage_killed_twice_ends_as_an_undisturbed_one(small, finished, tmp_path, stage):
    workspace = new_workspace(finished, tmp_path / "workspace", *NEEDED[stage])
    kill_and_finish(small, finished, workspace, stage, 2)


@pytest.mark.slow
@pytest.mark.parametrize("stage", NEEDED)
def test_stage_killed_many_times_ends_as_an_undisturbed_one(small, finished, tmp_path, stage):
    """The training evaluates every 4 iterations and saves every 3, so that it is killed there too."""
    workspace = new_workspace(finished, tmp_path / "workspace", *NEEDED[stage])
    kill_and_finish(small, finished, workspace, stage, KILLS)


def extraction_killed_twice(small: Small, workspace: Path) -> Path:
    """Kill an extraction after 3 clips, and again after 7; return its list of finished clips."""
    list_path = workspace / "features" / FEATURES_FOLDER / "train/.weak.h5.journal/clips.jsonl"
    for kept in (3, 7):
        process = small.start(*small.extract(workspace, "train_weak"))
        while not list_path.is_file() or len(list_path.read_bytes().splitlines()) < kept:
            if process.poll() is not None:
                break
        kill_after(process, 0)
    return list_path


def test_killed_extraction_does_not_compute_again_what_it_had(small, finished, tmp_path):
    relative = Path("features", FEATURES_FOLDER, "train/weak.h5")
    for attempt in range(5):  # on a busy machine, it may end before it is killed
        workspace = tmp_path / f"workspace_{attempt}"
        list_path = extraction_killed_twice(small, workspace)
        if not (workspace / relative).exists():
            break
    command = small.extract(workspace, "train_weak")
    computed = len(list_path.read_text().splitlines())
    assert computed >= 7
    assert f"Features of {computed} clips are there from an earlier call" in small.run(*command)
    one, other = arrays(finished.workspace.root / relative), arrays(workspace / relative)
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert not list_path.parent.exists()
    assert "are there already" in small.run(*command)


def test_second_process_that_writes_the_same_is_refused_at_once(small, finished, tmp_path):
    workspace = new_workspace(finished, tmp_path / "workspace", "features", "scalars")
    process = small.start(*small.train(workspace.root, CNN, 100_000))
    wait_for(process, "iteration 2:")
    result = run_command(*small.train(workspace.root, CNN, 2), **small.environment)
    assert_user_error(result, "another process writes here", "batch_size=4/seed=1")
    kill_after(process, 0)
    small.run(*small.train(workspace.root, CNN, 2))
    assert workspace.run_paths(CNN).saved_iterations()[0] == 2
