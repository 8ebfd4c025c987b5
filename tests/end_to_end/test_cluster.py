"""Features computed on a real Dask cluster: a scheduler and two workers, each a process of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.commands import PROJECT, assert_user_error, run_command, run_well

pytest.importorskip("distributed", reason="needs requirements-cluster.txt")
EXTRACT = ("utils/features.py", "calculate_feature_for_all_audio_files", "--data_type", "validation")
START_SECONDS = 60
pytestmark = pytest.mark.xdist_group("cluster")  # one process runs all these tests, as they share a cluster


def start(stack: ExitStack, *command: object, **environment: str) -> None:
    process = stack.enter_context(
        subprocess.Popen(
            [sys.executable, "-m", *map(str, command)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": str(PROJECT)} | environment,
        )
    )
    stack.callback(process.terminate)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler with two workers."""
    from distributed import Client

    scheduler_file = tmp_path_factory.mktemp("cluster") / "scheduler.json"
    with ExitStack() as stack:
        quiet = ("--no-dashboard", "--scheduler-file", scheduler_file)
        start(stack, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", 0, *quiet)
        for _ in range(2):
            start(stack, "distributed.cli.dask_worker", "--nthreads", 1, *quiet)
        deadline = time.monotonic() + START_SECONDS
        while not scheduler_file.exists():
            assert time.monotonic() < deadline, "the scheduler did not start"
            time.sleep(0.1)
        with Client(scheduler_file=str(scheduler_file), timeout=START_SECONDS) as client:
            client.wait_for_workers(2, timeout=START_SECONDS)
            address = client.scheduler.address
        yield address


def features(path: Path) -> np.ndarray:
    with h5py.File(path / "features/logmel_64frames_64melbins/validation.h5") as file:
        return file["feature"][:]


def test_cluster_gives_the_features_that_this_machine_gives(cluster, tiny_dataset, tmp_path):
    place = ("--dataset_dir", tiny_dataset, "--workspace")
    run_well(*EXTRACT, *place, tmp_path / "here")
    run_well(*EXTRACT, *place, tmp_path / "there", "--dask_scheduler", cluster)
    np.testing.assert_array_equal(features(tmp_path / "there"), features(tmp_path / "here"))


def test_workers_with_another_configuration_are_refused(cluster, tiny_dataset, tmp_path):
    (tmp_path / "config.py").write_text("hop_size = 640")
    place = ("--dataset_dir", tiny_dataset, "--workspace", tmp_path, "--dask_scheduler", cluster)
    result = run_command(*EXTRACT, *place, SED_CONFIG=str(tmp_path / "config.py"))
    assert_user_error(result, "has hop_size = 500, and here it is 640; start the workers with the same SED_C")


def test_absent_scheduler_is_a_user_error(tiny_dataset, tmp_path):
    place = ("--dataset_dir", tiny_dataset, "--workspace", tmp_path)
    result = run_command(*EXTRACT, *place, "--dask_scheduler", "tcp://127.0.0.1:9")
    assert_user_error(result, "--dask_scheduler tcp://127.0.0.1:9: no Dask scheduler answers there")
