"""What is printed is short, and can be typed as it stands."""

import sys
from pathlib import Path

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
