"""Edited and truncated statistics: one clear line with file and line, and the other runs are still shown."""

import json
from typing import Any

import pytest

from tests.commands import assert_user_error, run_command
from tests.conftest import workspace_at
from tests.results.test_results import FRAMEWISE, WEAK, add_run, rows_of
from utils.results.runs import read_runs
from utils.system.errors import SedError
from utils.workspace.paths import Workspace

GONE = object()
NUMBERLESS = [GONE, "x", [1], {}, True, 10**400]
BROKEN = {
    ("validation",): [None, [1], "x", 5, {}],
    ("validation", "event"): [GONE, None, [1]],
    ("validation", "event", "macro"): [GONE, None, 3],
    ("validation", "event", "macro", "f1"): NUMBERLESS,
    ("validation", "event", "micro", "f1"): NUMBERLESS,
    ("validation", "event", "classwise"): [GONE, None, [1], {"Dog": 1}],
    ("validation", "segment"): [GONE, None, [1], {"1s": None}],
    ("validation", "segment", "1s", "macro", "f1"): NUMBERLESS,
    ("validation", "mean_average_precision"): NUMBERLESS,
    ("validation", "clips"): [GONE, "many"],
    ("validation", "clips_listed"): [GONE, "many"],
    ("validation", "psds"): [None, [1], {"psds1": "x"}],
    ("iteration",): [GONE, None, "x", 1.5, True, -1, 10**400],
}


def changed(record: dict[str, Any], keys: tuple[str, ...], value: Any) -> dict[str, Any]:
    """A copy of a record with one value changed, or without it."""
    copy = json.loads(json.dumps(record))
    place = copy
    for key in keys[:-1]:
        place = place[key]
    if value is GONE:
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    return copy


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    """With a right run, and one whose statistics the tests break."""
    workspace = workspace_at(tmp_path)
    add_run(workspace, FRAMEWISE, 0.25, 60)
    add_run(workspace, WEAK, 0.5, 60)
    return workspace


@pytest.mark.parametrize("keys", BROKEN, ids="/".join)
def test_run_of_broken_statistics_is_left_out_by_file_and_line(workspace, capsys, keys):
    path = workspace.run_paths(WEAK).training_statistics
    right = json.loads(path.read_text())
    assert len(rows_of(workspace)) == 3
    for value in BROKEN[keys]:
        path.write_text("".join(json.dumps(one) + "\n" for one in (right, changed(right, keys, value))))
        assert [row[0].split()[0] for row in rows_of(workspace)] == ["training", "Synthetic"]
        assert f"left out: {path}, line 2: " in capsys.readouterr().err


@pytest.mark.parametrize("line", ["null", "[1]", "[" * 100_000, '{"iteration": 4}', "\x00", '"\ud800"'])
def test_loss_curve_of_broken_lines_is_left_out_by_file_and_line(workspace, capsys, line):
    path = workspace.run_paths(WEAK).loss_statistics
    path.write_bytes(f"{line}\n".encode(errors="surrogatepass"))
    assert len(rows_of(workspace)) == 2
    assert f"left out: {path}, line 1: " in capsys.readouterr().err


def test_extra_keys_and_missing_scores_do_no_harm(workspace, capsys):
    path = workspace.run_paths(WEAK).training_statistics
    record = json.loads(path.read_text())
    before = rows_of(workspace)
    path.write_text(json.dumps(changed(record, ("validation", "event", "mine"), [None])) + "\n")
    assert rows_of(workspace) == before
    path.write_text(json.dumps(changed(record, ("validation", "event", "macro", "f1"), None)) + "\n")
    assert rows_of(workspace)[1][4] == "-"
    assert capsys.readouterr().err == ""


RUN_CHANGES = {
    ("run", "data_type"): [5, None, "train_weak\ud800", "of another subset", ""],
    ("run", "batch_size"): ["32", None, 1.5, True],
    ("run", "seed"): [None, "x"],
    ("run", "mini_data"): [0, None],
    ("run", "model_type"): [None, "a\tb", "\ud800"],
    ("run", "training"): [GONE, None, [1]],
    ("run", "mine"): [1],
    ("run",): [GONE, None, [1]],
    ("features",): [GONE, None, {}],
    ("training_id",): [GONE, None, 5],
    ("inputs",): [None, [1]],
}


@pytest.mark.parametrize("keys", RUN_CHANGES, ids="/".join)
def test_run_of_broken_settings_is_left_out_by_its_file(workspace, capsys, keys):
    path = workspace.run_paths(WEAK).settings
    right = json.loads(path.read_text())
    for value in RUN_CHANGES[keys]:
        path.write_text(json.dumps(changed(right, keys, value)))
        assert len(rows_of(workspace)) == 2
        assert f"left out: {path}: not a valid settings file of a run" in capsys.readouterr().err
    path.write_text("[" * 100_000)
    assert len(rows_of(workspace)) == 2


def test_workspace_of_broken_statistics_only_is_an_error(workspace):
    for run in (WEAK, FRAMEWISE):
        workspace.run_paths(run).training_statistics.write_text("null\n")
    with pytest.raises(SedError, match=r"training\.jsonl, line 1: "):
        read_runs(workspace)
    for command in ("table", "training_curves"):
        result = run_command("utils/plot_results.py", command, "--workspace", workspace.root)
        assert_user_error(result, "training.jsonl, line 1: ")
