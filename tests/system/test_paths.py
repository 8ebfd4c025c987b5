"""Paths below a workspace."""

from pathlib import Path

from utils.workspace.paths import RunPaths


def test_new_log_is_after_the_last_one_whatever_was_removed(tmp_path):
    paths = RunPaths(tmp_path, Path("run"))
    first = paths.new_log("train")
    assert first.name == "0000_train.log"
    first.parent.mkdir(parents=True)
    for name in ("0003_tune.log", "0001_train.log", "notes_of_mine.log"):
        (first.parent / name).touch()
    assert paths.new_log("train").name == "0004_train.log"
