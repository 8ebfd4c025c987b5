"""The curves for TensorBoard, read back as TensorBoard reads them."""

import json
import shutil
from dataclasses import replace
from functools import reduce
from operator import getitem

import pytest

from pytorch.tensorboard_log import TensorBoardLog
from tests.commands import assert_user_error, run_command
from tests.conftest import copy_inputs
from tests.small import CNN, new_workspace
from utils.settings.groups import PUBLISHED_TRAINING
from utils.system.log import start_logging
from utils.workspace.paths import RunPaths

SETTINGS = "log_interval = 1\nevaluation_interval = 2\nlearning_rate_decay_interval = 2\n"


def curves(paths: RunPaths) -> dict[str, list[tuple[int, float]]]:
    """All curves of a run by name, as (iteration, value)."""
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="needs requirements-tensorboard.txt"
    )
    accumulator = event_accumulator.EventAccumulator(str(paths.tensorboard)).Reload()
    return {
        name: [(event.step, event.value) for event in accumulator.Scalars(name)]
        for name in accumulator.Tags()["scalars"]
    }


def test_curves_hold_what_the_statistics_hold(small, finished, tmp_path):
    pytest.importorskip("tensorboard", reason="needs requirements-tensorboard.txt")
    workspace = new_workspace(finished, tmp_path, "features", "scalars")
    small = small.with_settings(tmp_path, SETTINGS)
    small.run(*small.train(tmp_path, CNN, 5), "--tensorboard")
    small.run(*small.train(tmp_path, CNN, 4), "--tensorboard")  # takes the place of the first one

    run = replace(CNN, training=replace(PUBLISHED_TRAINING, learning_rate_decay_interval=2))
    paths = workspace.run_paths(run)
    found = curves(paths)
    losses = [json.loads(line) for line in paths.loss_statistics.read_text().splitlines()]
    assert found["training/loss"] == [(p["iteration"], pytest.approx(p["loss"])) for p in losses]
    assert [iteration for iteration, _ in found["training/loss"]] == [1, 2, 3, 4]
    assert found["training/learning_rate"] == [
        (iteration, pytest.approx(rate)) for iteration, rate in ((1, 1e-3), (2, 9e-4), (3, 9e-4), (4, 8.1e-4))
    ]
    assert [iteration for iteration, _ in found["training/ms_per_iteration"]] == [1, 2, 3, 4]
    assert all(milliseconds > 0 for _, milliseconds in found["training/ms_per_iteration"])

    lines = paths.training_statistics.read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["iteration"] for record in records] == [2, 4]
    for name, *keys in (
        ("training/mean_average_precision", "train_mean_average_precision"),
        ("validation/mean_average_precision", "validation", "mean_average_precision"),
        ("validation/event_f1_macro", "validation", "event", "macro", "f1"),
        ("validation/segment_0.2s_f1_micro", "validation", "segment", "0.2s", "micro", "f1"),
        ("validation/segment_1s_f1_macro", "validation", "segment", "1s", "macro", "f1"),
    ):
        expected = [(record["iteration"], pytest.approx(reduce(getitem, keys, record))) for record in records]
        assert found[name] == expected, name


def test_nothing_is_written_unless_asked_for(trained):
    assert not trained.paths.tensorboard.exists()


def test_absent_package_is_a_user_error_that_leaves_an_earlier_training_as_it_is(trained, tmp_path):
    workspace = copy_inputs(trained, tmp_path)
    statistics = workspace.run_paths(trained.run).statistics
    shutil.copytree(trained.paths.statistics, statistics)
    (tmp_path / "tensorboard.py").write_text("raise ImportError('not installed')")
    arguments = [*trained.run_arguments(workspace=tmp_path), "--iterations", 1, "--tensorboard"]
    result = run_command("pytorch/main.py", "train", *arguments, PYTHONPATH=str(tmp_path))
    assert_user_error(
        result, "--tensorboard needs TensorBoard", "pip install -r requirements-tensorboard.txt"
    )
    for path in trained.paths.statistics.iterdir():
        assert (statistics / path.name).read_bytes() == path.read_bytes()


def test_curves_that_cannot_be_written_end_with_one_line(tmp_path, capsys):
    pytest.importorskip("tensorboard", reason="needs requirements-tensorboard.txt")
    start_logging()
    board = TensorBoardLog(tmp_path / "curves", first_iteration=1)
    (file,) = board.folder.iterdir()
    file.unlink()
    file.mkdir()  # which nobody can write to
    for iteration in range(1, 5000):
        board.add("training", {"loss": 0.5}, iteration)
    board.close()
    output = capsys.readouterr()
    assert output.out == f"{board.folder}: cannot be written: Is a directory; the curves end here\n"
    assert output.err == ""
