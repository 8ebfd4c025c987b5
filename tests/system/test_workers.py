"""Worker processes end with the process that they work for, also where only that one is killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import PROJECT
from tests.small import CNN, new_workspace

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
LONGEST_SECONDS = 30.0
POOL = """
import time, joblib
from utils.system.workers import ending_with_parent
joblib.Parallel(n_jobs=2, **ending_with_parent())(joblib.delayed(time.sleep)(0.1) for _ in range(4))
print("worked", flush=True)
time.sleep(60)
"""


def processes_of_session(session: int) -> list[int]:
    """The processes that a command has started, and itself, without those that have ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, of_process = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:  # it has just ended
            continue
        if int(of_process) == session and state != "Z":
            found.append(int(path.parent.name))
    return found


def wait_until(condition) -> None:
    end = time.monotonic() + LONGEST_SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen]]:
    """Processes, which do not outlive the test."""
    processes: list[subprocess.Popen] = []
    yield processes
    for process in processes:
        for one in processes_of_session(process.pid):
            os.kill(one, signal.SIGKILL)
        process.communicate()


def assert_workers_end_with(process: subprocess.Popen) -> None:
    assert len(processes_of_session(process.pid)) > 1
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wait_until(lambda: not processes_of_session(process.pid))


def test_workers_of_a_pool_end_with_a_process_that_is_killed_alone(started):
    process = subprocess.Popen(
        [sys.executable, "-c", POOL], stdout=subprocess.PIPE, text=True, cwd=PROJECT, start_new_session=True
    )
    started.append(process)
    assert process.stdout.readline() == "worked\n"
    assert_workers_end_with(process)


def test_scoring_workers_end_with_a_training_that_is_killed_alone(small, finished, tmp_path, started):
    workspace = new_workspace(finished, tmp_path / "workspace", "features", "scalars")
    process = small.start(*small.train(workspace.root, CNN, 100_000))
    started.append(process)
    statistics = workspace.run_paths(CNN).training_statistics
    wait_until(lambda: statistics.is_file() and statistics.stat().st_size > 0)
    assert_workers_end_with(process)
