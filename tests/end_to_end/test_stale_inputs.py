"""Features and scalars of something else than the data set as it is now are noticed, not used."""

import os
import shutil
from pathlib import Path

import pytest

from tests.commands import assert_user_error, run_command
from tests.small import CNN, ITERATIONS, Small, new_workspace
from utils.workspace.paths import Workspace

pytestmark = pytest.mark.xdist_group("small")


@pytest.fixture
def changeable(small, tmp_path) -> Small:
    """The small data set, with the same times, and its settings; both may be changed."""
    shutil.copytree(small.dataset_dir, tmp_path / "data", copy_function=shutil.copy2)
    shutil.copy(small.config, tmp_path / "config.py")
    return Small(tmp_path / "data", tmp_path / "config.py")


@pytest.fixture
def workspace(finished, tmp_path) -> Workspace:
    return new_workspace(finished, tmp_path / "workspace", "features", "scalars")


def assert_refused(small: Small, workspace: Workspace, *expected: str) -> None:
    """Assert that training refuses, and that the command it names mends that."""
    result = run_command(*small.train(workspace.root, CNN, 1), **small.environment)
    assert_user_error(result, *expected, "make it")


def change_recording(small: Small) -> Path:
    recording = next((small.dataset_dir / "audio/train/weak").iterdir())
    recording.write_bytes(recording.read_bytes()[:-2])
    return recording


def touch_recording(small: Small) -> Path:
    recording = next((small.dataset_dir / "audio/train/weak").iterdir())
    os.utime(recording)
    return recording


@pytest.mark.parametrize("change", [change_recording, touch_recording])
def test_features_of_a_changed_recording_are_refused(changeable, workspace, change):
    recording = change(changeable)
    assert_refused(changeable, workspace, f"made before {recording.name} was changed")


def test_inference_refuses_features_of_a_changed_recording(changeable, finished, tmp_path):
    workspace = new_workspace(finished, tmp_path / "workspace", "features", "scalars", "checkpoints")
    recording = next((changeable.dataset_dir / "audio/validation").iterdir())
    os.utime(recording)
    command = changeable.inference(workspace.root, CNN, ITERATIONS)
    result = run_command(*command, **changeable.environment)
    assert_user_error(result, f"made before {recording.name} was changed; make it with: SED_CONFIG=")


def test_features_of_another_table_are_refused(changeable, workspace):
    table = changeable.dataset_dir / "metadata/train/weak.csv"
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(lines[:-1]))
    assert_refused(changeable, workspace, "train/weak.h5: made from another table of clips")


def test_features_of_a_table_that_says_the_same_are_used(changeable, workspace):
    table = changeable.dataset_dir / "metadata/train/weak.csv"
    header, *rows = table.read_text().splitlines()
    table.write_text("\r\n".join([header, *(f"{row} " for row in reversed(rows))]))
    changeable.run(*changeable.train(workspace.root, CNN, 1))


def test_features_whose_recordings_are_gone_are_used(changeable, workspace):
    shutil.rmtree(changeable.dataset_dir / "audio")
    changeable.run(*changeable.train(workspace.root, CNN, 1))


@pytest.mark.parametrize("setting", ["window_size = 512", "log_floor = 1e-8", "mel_min_frequency = 100"])
def test_features_of_other_settings_are_refused(changeable, workspace, setting):
    """These settings are not told by the folders' names."""
    changeable.config.write_text(f"{changeable.config.read_text()}\n{setting}\n")
    assert_refused(changeable, workspace, f"and now it is {setting.split()[-1].replace('1e-8', '1e-08')}")


def test_scalar_of_other_features_is_refused_and_the_named_commands_mend_it(changeable, finished, tmp_path):
    workspace = new_workspace(finished, tmp_path / "remade", "scalars")
    change_recording(changeable)
    for data_type in ("train_weak", "validation"):
        changeable.run(*changeable.extract(workspace.root, data_type))
    result = run_command(*changeable.train(workspace.root, CNN, 1), **changeable.environment)
    assert_user_error(result, "was computed from features other than those in", "calculate_scalar")
    (workspace.root / "scalars").unlink()
    changeable.run(*changeable.scalar(workspace.root))
    changeable.run(*changeable.train(workspace.root, CNN, 1))
