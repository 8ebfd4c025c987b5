"""runme.sh from end to end on a tiny data set."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import PROJECT, python_that_forks

EXPERIMENTS = (
    "1. Weak + synthetic + unlabelled audio, recipe (Crnn_8layers_AttentionPooling, batch 6)",
    "2. Weak + synthetic + unlabelled audio, mean teacher loss (Crnn, batch 4)",
    "3. Weak audio, clipwise loss (Cnn_5layers_AvgPooling, batch 3)",
    "4. Synthetic audio, clipwise loss (Cnn_5layers_AvgPooling, batch 3)",
    "5. Synthetic audio, framewise loss (Cnn_5layers_AvgPooling, batch 3)",
)
ALL_SUBSETS = "train_weak+train_synthetic+train_unlabel_in_domain"


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


def test_runme_runs_every_stage_and_ends_with_table_and_page(small, tmp_path):
    settings = small.environment | {
        "ITERATIONS": 1,
        "BATCH_SIZE": 3,
        "VISUALIZE": 1,
        "MODEL_TYPE": "Cnn_5layers_AvgPooling",
    }
    (tmp_path / "bin").mkdir()
    with python_that_forks(tmp_path / "bin") as folder:
        result = runme(
            PYTHON=folder / "python",
            DATASET_DIR=small.dataset_dir,
            WORKSPACE=tmp_path,
            MEAN_TEACHER_BATCH_SIZE=4,
            RECIPE_BATCH_SIZE=6,
            **settings,
        )
    assert result.returncode == 0, result.stdout + result.stderr
    stages = [line.removeprefix("=== ") for line in result.stdout.splitlines() if line.startswith("=== ")]
    assert stages == [
        "set-up",
        "check the data set",
        "features of train_weak",
        "features of train_synthetic",
        "features of validation",
        "features of train_unlabel_in_domain",
        "scalar",
        f"train: {ALL_SUBSETS}, recipe",
        f"validate: {ALL_SUBSETS}, recipe",
        "train: train_weak, clipwise_binary_crossentropy",
        "validate: train_weak, clipwise_binary_crossentropy",
        "train: train_synthetic, clipwise_binary_crossentropy",
        "validate: train_synthetic, clipwise_binary_crossentropy",
        "train: train_synthetic, framewise_binary_crossentropy",
        "validate: train_synthetic, framewise_binary_crossentropy",
        f"train: {ALL_SUBSETS}, mean_teacher",
        f"validate: {ALL_SUBSETS}, mean_teacher",
        "training curves",
        "results",
        "results page",
        stages[-1],
    ]
    assert re.fullmatch(r"done in \d+ s", stages[-1])
    _, table, end = result.stdout.split("=== results")
    assert [line for line in table.splitlines() if len(line) > 100 and str(tmp_path) not in line] == []
    names = " ".join(re.sub(r"  +[\d.–].*", "", line).strip() for line in table.splitlines())
    places = [names.index(name) for name in EXPERIMENTS]
    assert places == sorted(places)
    assert "All runs: seed 1234, 1 iteration, 6 validation clips." in table
    assert "All but the recipe: batch" not in table, "the baseline has another one"
    assert result.stdout.count("\n... ") == len(stages) - 1, "each stage says how many seconds it took"
    *_, best, checkpoint, command, page = end.splitlines()
    assert best.startswith("Best model: ")
    assert Path(checkpoint.removeprefix("Checkpoint: ")).is_file()
    assert f" predict --workspace {tmp_path} --run best RECORDINGS " in command
    assert page == f"Results page: {tmp_path / 'report.html'}"
    assert "validation_0000.wav" in (tmp_path / "report.html").read_text()
    assert len(list(tmp_path.rglob("1_iters_submission.csv"))) == 5
    assert len(list(tmp_path.rglob("1_iters_teacher_submission.csv"))) == 1
    assert len(list((tmp_path / "figures").rglob("validation_*.png"))) == 5


def idle_python(folder: Path, command: str = 'echo "$@"') -> Path:
    """A Python that does nothing but a shell command, except for `-c`."""
    path = folder / "python"
    path.write_text(f'#!/bin/sh\n[ "$1" != -c ] || exec {sys.executable} "$@"\n{command}\n')
    path.chmod(0o755)
    return path


def output_with_tables(tmp_path: Path, *names: str, **environment: str) -> str:
    """What runme.sh prints with a Python that shows its arguments only, where there are those tables."""
    folder = tmp_path / "data/metadata/train"
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch()
    result = runme(
        DATASET_DIR=tmp_path / "data", WORKSPACE=tmp_path, PYTHON=idle_python(tmp_path), **environment
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.parametrize("name", ["unlabel_in_domain.csv", "unlabel_in_domain.tsv"])
def test_runme_trains_a_mean_teacher_where_there_are_unlabelled_clips(tmp_path, name):
    output = output_with_tables(tmp_path, "weak.csv", "synthetic.tsv", name)
    assert "=== features of train_unlabel_in_domain" in output
    assert f"=== train: {ALL_SUBSETS}, mean_teacher" in output


def test_runme_leaves_mean_teacher_out_where_there_are_none(tmp_path):
    output = output_with_tables(tmp_path, "weak.csv", "synthetic.csv")
    assert "train_unlabel_in_domain: mean teacher is left out." in output
    assert "=== train: train_synthetic, framewise_binary_crossentropy" in output
    assert "=== features of train_unlabel_in_domain" not in output
    assert f"=== train: {ALL_SUBSETS}, mean_teacher" not in output


@pytest.mark.parametrize(("there", "absent"), [("weak", "synthetic"), ("synthetic", "weak")])
def test_runme_takes_one_table_of_training_clips(tmp_path, there, absent):
    output = output_with_tables(tmp_path, f"{there}.csv")
    assert f"(metadata/train/{absent}.csv): trainings on them are left out." in output
    assert f"=== train: train_{there}, clipwise_binary_crossentropy" in output
    assert f"=== features of train_{absent}" not in output
    assert f"=== train: train_{absent}" not in output


@pytest.mark.parametrize(("value", "resumes"), [("", False), ("1", True)])
def test_runme_goes_on_with_trainings_where_it_is_asked_to(tmp_path, value, resumes):
    output = output_with_tables(tmp_path, "weak.csv", RESUME=value)
    trainings = [line for line in output.splitlines() if "main.py train" in line]
    assert len(trainings) == 2
    assert all(training.endswith("--resume") == resumes for training in trainings)


def test_runme_prints_help_and_runs_nothing():
    result = subprocess.run(["bash", PROJECT / "runme.sh", "--help"], capture_output=True, text=True)
    assert result.returncode == 0
    assert "DATASET_DIR=birds bash runme.sh" in result.stdout
    assert "=== check" not in result.stdout
    result = subprocess.run(
        ["bash", PROJECT / "runme.sh", "--iterations", "3"], capture_output=True, text=True
    )
    assert result.returncode == 2
    assert "takes no arguments" in result.stderr


@pytest.mark.parametrize("is_named", [False, True])
def test_data_set_with_settings_of_its_own_is_trained_once_with_them_by_the_recipe(
    tmp_path, monkeypatch, is_named
):
    (tmp_path / "data").mkdir()
    settings = "labels = ['Wren']\nrecipe_iterations = 7\nrecipe_batch_size = 3\n"
    (tmp_path / "data/settings.py").write_text(settings)
    if is_named:
        monkeypatch.setenv("SED_CONFIG", str(tmp_path / "data/settings.py"))
    output = output_with_tables(tmp_path, "synthetic.csv")
    assert f"Settings of the data set: {tmp_path / 'data/settings.py'}" in output
    (training,) = [line for line in output.splitlines() if "main.py train" in line]
    assert "--data_type train_synthetic --loss_type recipe" in training
    assert training.endswith("--iterations 7")
    assert "--batch_size 3 " in training


def test_settings_named_by_a_relative_path_hold_in_every_stage(tmp_path, monkeypatch):
    (tmp_path / "task.py").write_text("labels = ['Wren']\niterations = 7\n")
    result = subprocess.run(
        ["bash", PROJECT / "runme.sh"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ
        | {
            "PYTHON": str(idle_python(tmp_path, "echo $SED_CONFIG")),
            "DATASET_DIR": "x",
            "SED_CONFIG": "task.py",
        },
    )
    stages = [line for line in result.stdout.splitlines() if line.endswith("task.py")]
    assert set(stages) == {str(tmp_path / "task.py")}


def test_runme_runs_every_experiment_once_with_each_seed(tmp_path):
    output = output_with_tables(tmp_path, "weak.csv", "synthetic.csv", SEEDS="1 22", RESUME="1")
    stages = [line for line in output.splitlines() if line.startswith("=== train: ")]
    assert stages == [
        f"=== train: {data_type}, {loss}, seed {seed}"
        for data_type, loss in (
            ("train_weak+train_synthetic", "recipe"),
            ("train_weak", "clipwise_binary_crossentropy"),
            ("train_synthetic", "clipwise_binary_crossentropy"),
            ("train_synthetic", "framewise_binary_crossentropy"),
        )
        for seed in (1, 22)
    ]
    commands = [line for line in output.splitlines() if " --seed " in line]
    assert [line.split(" --seed ")[1].split()[0] for line in commands] == ["1", "1", "22", "22"] * 4
    assert all(line.endswith("--resume") for line in commands if "main.py train" in line)


def test_runme_takes_one_seed_as_before(tmp_path):
    output = output_with_tables(tmp_path, "weak.csv", SEED="7")
    assert "=== train: train_weak, clipwise_binary_crossentropy\n" in output
    commands = [line for line in output.splitlines() if " --seed " in line]
    assert len(commands) == 4
    assert all(" --seed 7 " in line for line in commands)


@pytest.mark.parametrize(("value", "words"), [("0", ""), ("4", " --visualize 4")])
def test_runme_draws_as_many_figures_as_it_is_told_and_none_for_0(tmp_path, value, words):
    output = output_with_tables(tmp_path, "weak.csv", VISUALIZE=value)
    commands = [line for line in output.splitlines() if "inference_validation" in line]
    assert len(commands) == 2
    assert all(line.partition(" --iteration ")[2].partition(" ")[2] == words.strip() for line in commands)


def test_runme_stops_at_the_first_stage_that_fails_and_names_it(tmp_path):
    result = runme(DATASET_DIR=tmp_path / "nowhere", WORKSPACE=tmp_path)
    assert result.returncode == 2
    assert "runme.sh: stage 'check the data set' failed with exit code 2" in result.stderr
    assert "=== features" not in result.stdout


def test_runme_stops_before_the_first_stage_where_a_number_is_wrong(tmp_path):
    result = runme(DATASET_DIR=tmp_path, WORKSPACE=tmp_path, RECIPE_ITERATIONS="1o0")
    assert result.returncode == 2
    assert "error: RECIPE_ITERATIONS='1o0' is not a whole number of at least 1" in result.stderr
    assert "=== check" not in result.stdout


def test_runme_stops_where_there_is_no_such_python(tmp_path):
    result = runme(DATASET_DIR=tmp_path, WORKSPACE=tmp_path, PYTHON=tmp_path / "none")
    assert result.returncode == 2
    assert f"error: PYTHON={tmp_path / 'none'}: there is no such program" in result.stderr
    assert "=== check" not in result.stdout


def test_runme_stops_where_the_config_is_wrong(tmp_path):
    result = runme(DATASET_DIR=tmp_path, WORKSPACE=tmp_path, SED_CONFIG=tmp_path / "none.py")
    assert result.returncode == 2
    assert "there is no such file" in result.stderr
    assert "=== check" not in result.stdout
