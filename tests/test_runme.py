"""runme.sh from end to end on a tiny data set."""

import os
import subprocess
import sys

from tests.conftest import PROJECT

EXPERIMENTS = (
    "Weak audio, clipwise loss",
    "Synthetic audio, clipwise loss",
    "Synthetic audio, framewise loss",
)


def runme(**environment: object) -> subprocess.CompletedProcess:
    settings = {"PYTHON": sys.executable} | {name: str(value) for name, value in environment.items()}
    return subprocess.run(
        ["bash", PROJECT / "runme.sh"],
        capture_output=True,
        text=True,
        cwd="/",
        env=os.environ | settings,
        timeout=400,
    )


def test_runme_runs_every_stage_and_prints_the_table_last(tiny_dataset, tmp_path):
    settings = {"ITERATIONS": 1, "BATCH_SIZE": 3, "VISUALIZE": 1, "MODEL_TYPE": "Cnn_5layers_AvgPooling"}
    result = runme(DATASET_DIR=tiny_dataset, WORKSPACE=tmp_path, **settings)
    assert result.returncode == 0, result.stdout + result.stderr
    stages = [line.removeprefix("=== ") for line in result.stdout.splitlines() if line.startswith("=== ")]
    assert stages == [
        "set-up",
        "check the data set",
        "features of train_weak",
        "features of train_synthetic",
        "features of validation",
        "scalar",
        "train train_weak clipwise_binary_crossentropy",
        "inference train_weak clipwise_binary_crossentropy",
        "train train_synthetic clipwise_binary_crossentropy",
        "inference train_synthetic clipwise_binary_crossentropy",
        "train train_synthetic framewise_binary_crossentropy",
        "inference train_synthetic framewise_binary_crossentropy",
        "training curves",
        "results",
    ]
    table = result.stdout.split("=== results")[1]
    places = [table.index(f"{name} (Cnn_5layers_AvgPooling, batch 3, seed 1234)") for name in EXPERIMENTS]
    assert places == sorted(places)
    assert len(list(tmp_path.rglob("*_submission.csv"))) == 3
    assert len(list((tmp_path / "figures").rglob("validation_*.png"))) == 3


def test_runme_stops_at_the_first_stage_that_fails_and_names_it(tmp_path):
    result = runme(DATASET_DIR=tmp_path / "nowhere", WORKSPACE=tmp_path)
    assert result.returncode == 2
    assert "runme.sh: stage 'check the data set' failed with exit code 2" in result.stderr
    assert "=== features" not in result.stdout


def test_runme_stops_where_the_config_is_wrong(tmp_path):
    result = runme(DATASET_DIR=tmp_path, WORKSPACE=tmp_path, SED_CONFIG=tmp_path / "none.py")
    assert result.returncode == 2
    assert "there is no such file" in result.stderr
    assert "=== check" not in result.stdout
