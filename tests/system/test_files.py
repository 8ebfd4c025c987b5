"""Files are written whole, and by one process at a time."""

import signal
import subprocess
import sys

import pytest

from tests.commands import PROJECT
from utils.system.errors import SedError
from utils.system.files import claimed, written_whole

HOLD = """
import sys, time
from pathlib import Path
from utils.system.files import written_whole
with written_whole(Path(sys.argv[1])) as unfinished:
    unfinished.write_text("half")
    print("holding", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def writer(tmp_path):
    """Another process that is writing `file`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "file"], stdout=subprocess.PIPE, text=True, cwd=PROJECT
    )
    assert process.stdout.readline() == "holding\n"
    yield process
    process.kill()
    process.communicate()


def write(path, text: str) -> None:
    with written_whole(path) as unfinished:
        unfinished.write_text(text)


def test_second_writer_of_a_file_is_refused_and_the_old_file_stays(tmp_path, writer):
    (tmp_path / "file").write_text("old")
    with pytest.raises(SedError, match=r"file: another process writes here"):
        write(tmp_path / "file", "second")
    assert (tmp_path / "file").read_text() == "old"
    write(tmp_path / "other", "other files can be written")


def test_killed_writer_leaves_the_old_file_and_no_lock(tmp_path, writer):
    (tmp_path / "file").write_text("old")
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert (tmp_path / "file").read_text() == "old"
    write(tmp_path / "file", "new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"file": "new"}


def test_failed_writing_leaves_the_old_file_and_no_rest(tmp_path):
    write(tmp_path / "file", "old")
    with pytest.raises(ZeroDivisionError), written_whole(tmp_path / "file") as unfinished:
        unfinished.write_text("half")
        raise ZeroDivisionError
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"file": "old"}


def test_lock_is_held_once_and_can_be_taken_again(tmp_path):
    lock = tmp_path / "lock"
    with (
        claimed(lock, "the run"),
        pytest.raises(SedError, match="the run: another process writes here"),
        claimed(lock, "the run"),
    ):
        pass
    with claimed(lock, "the run"):
        pass
