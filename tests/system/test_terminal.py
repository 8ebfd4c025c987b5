"""What is printed is short, and can be typed as it stands."""

import logging
import sys
from pathlib import Path

from utils.results.table_text import wrap
from utils.system.progress import progress
from utils.system.terminal import aligned, command_to_type, short_path


def test_paths_are_printed_from_the_current_directory_where_they_lie_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert short_path(tmp_path / "workspace/report.html") == "workspace/report.html"
    assert short_path(Path("workspace")) == "workspace"
    assert short_path(tmp_path) == "."
    assert short_path(tmp_path.parent / "beside") == str(tmp_path.parent / "beside")
    assert short_path(Path("../beside")) == "../beside"
    monkeypatch.chdir("/")
    assert short_path(tmp_path) == str(tmp_path)


def test_commands_name_the_running_python_where_the_shell_would_take_another_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    python = tmp_path / "bin/python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setenv("PATH", "/nowhere")
    command = command_to_type(tmp_path / "a.py", "make", Path("my events"))
    assert command == "bin/python a.py make 'my events'"
    monkeypatch.setenv("PATH", str(python.parent))
    assert command_to_type(tmp_path / "a.py") == "python a.py"


def test_columns_are_aligned_and_no_line_ends_in_spaces():
    assert aligned([["name", "a", "bb"], ["x", "1.00", ""]]) == ["name     a  bb", "x     1.00"]


def lines_of_progress(caplog, monkeypatch, seconds: float, items: int) -> list[str]:
    """Return the lines about a loop whose items take so many seconds each, where there is no terminal."""
    now = [0.0]
    monkeypatch.setattr("utils.system.progress.on_terminal", lambda: False)
    monkeypatch.setattr("utils.system.progress.time.monotonic", lambda: now[0])
    caplog.set_level(logging.INFO, "sed")
    for _ in progress(range(items), "Features", items):
        now[0] += seconds
    return caplog.messages


def test_progress_has_a_line_now_and_then_and_one_at_the_end(caplog, monkeypatch):
    lines = lines_of_progress(caplog, monkeypatch, seconds=6.0, items=5)
    assert lines == ["Features: 2/5 clips", "Features: 4/5 clips", "Features: 5/5 clips"]


def test_short_loop_has_no_line_of_progress(caplog, monkeypatch):
    assert lines_of_progress(caplog, monkeypatch, seconds=1.0, items=5) == []


def test_line_of_a_table_does_not_end_between_a_number_and_its_noun():
    text = "recipe: weak and synthetic (batch 24, 3 seeds: 1, 2, 3)"
    for width in range(16, len(text)):
        lines = wrap(text, width, "")
        assert " ".join(lines) == text
        assert not any(line.endswith(" 3") for line in lines)
