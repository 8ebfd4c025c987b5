"""SED_CONFIG replaces values before the derived ones are computed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import PROJECT, assert_user_error, run_command
from tests.conftest import shared_path


def value_of(expression: str, config_path: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", f"from utils import config; print({expression})"],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        env=os.environ | {"SED_CONFIG": str(config_path)},
    )


def test_derived_values_follow_the_overrides(tmp_path):
    path = tmp_path / "task.py"
    path.write_text("import math\nlabels = ['a', 'b']\nhop_size = 320\nclip_seconds = math.floor(5.5)\n")
    derived = "config.classes_num, config.frames_per_second, config.clip_frames"
    assert value_of(derived, path).stdout.strip() == "2 100.0 500"


def test_the_homemix_labels_are_taken():
    result = value_of("config.labels[3]", shared_path("homemix/config.py"))
    assert result.stdout.strip() == "Bird"


def test_the_committed_homemix_settings_are_valid():
    assert value_of("config.iterations", PROJECT / "appendixes/homemix_config.py").stdout.strip() == "400"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("mel_bin = 64", "unknown name 'mel_bin'; the known ones are"),
        ("clip_frames = 640", "unknown name 'clip_frames'"),
        ("mel_bins = '64'", "mel_bins must be int"),
        ("labels = []", "labels must be distinct and at least one"),
        ("labels = ['a', 'a']", "labels must be distinct"),
        ("labels = ['a,b']", "'a,b' is no label"),
        ("import no_such_module", "cannot be run as Python"),
    ],
)
def test_wrong_overrides_are_a_user_error(tmp_path, content, message):
    path = tmp_path / "task.py"
    path.write_text(content)
    command = ("utils/metadata.py", "check", "--dataset_dir", "/nowhere")
    assert_user_error(run_command(*command, SED_CONFIG=str(path)), message)


def test_missing_override_file_is_a_user_error():
    command = ("utils/metadata.py", "check", "--dataset_dir", "/nowhere")
    assert_user_error(run_command(*command, SED_CONFIG="/no/such.py"), "/no/such.py", "no such file")
