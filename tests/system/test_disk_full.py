"""Where the disk is full, a stage stops with a clear error, and what was there before stays readable."""

import shlex
import subprocess
import sys

import h5py
import pytest
import torch

from tests.commands import PROJECT, assert_user_error
from tests.small import CNN, FEATURES_FOLDER, new_workspace

pytestmark = pytest.mark.xdist_group("small")
MOUNT = "mount -t tmpfs -o size={size} tmpfs {folder}"


@pytest.fixture
def run_on_small_disk(small, tmp_path):
    """Return a function that runs a command in a folder which is a small disk, and copies its files out."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def in_namespace(script: str) -> subprocess.CompletedProcess:
        command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    if in_namespace(MOUNT.format(size="1m", folder=disk)).returncode != 0:
        pytest.skip("needs to mount a file system in a namespace of its own")

    def run(size: str, before: str, *command: object) -> subprocess.CompletedProcess:
        words = [sys.executable, PROJECT / str(command[0]), *command[1:]]
        environment = " ".join(f"{name}={shlex.quote(value)}" for name, value in small.environment.items())
        script = (
            f"{MOUNT.format(size=size, folder=disk)} && {before}; {environment} "
            f"{shlex.join(map(str, words))}; code=$?; cp -r {disk} {tmp_path}/after; exit $code"
        )
        return in_namespace(script)

    return run


def test_extraction_stops_with_a_clear_error_and_keeps_the_old_features(
    small, finished, tmp_path, run_on_small_disk
):
    disk = tmp_path / "disk"
    folder = disk / "features" / FEATURES_FOLDER
    old = finished.workspace.root / "features" / FEATURES_FOLDER / "validation.h5"
    before = f"mkdir -p {folder} && cp {old} {folder}"
    result = run_on_small_disk("80k", before, *small.extract(disk, "train_weak"))
    assert_user_error(result, disk, "cannot be written", "No space left on device")
    with h5py.File(tmp_path / "after/features" / FEATURES_FOLDER / "validation.h5") as file:
        assert len(file["feature"][:]) == 6
    assert not (tmp_path / "after/features" / FEATURES_FOLDER / "train/weak.h5").exists()


def test_training_stops_with_a_clear_error_and_keeps_the_old_checkpoint(
    small, finished, tmp_path, run_on_small_disk
):
    disk = tmp_path / "disk"
    inputs = new_workspace(finished, tmp_path / "inputs", "features", "scalars").root
    before = f"cp -P {inputs}/* {disk}"
    result = run_on_small_disk("90m", before, *small.train(disk, CNN, 9))
    assert_user_error(result, disk, "cannot be written")
    saved = [path.name for path in (tmp_path / "after").rglob("*.pth")]
    assert saved, "the disk is too small for this test"
    assert "md_9_iters.pth" not in saved
    for path in (tmp_path / "after").rglob("md_*_iters.pth"):
        assert torch.load(path, weights_only=True)["iteration"] in (3, 6)
