"""Files are written whole, and by one process at a time."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.commands import PROJECT
from utils.results.statistics import append_record, read_records
from utils.system import files
from utils.system.errors import SedError
from utils.system.files import claimed, make_folder, written_whole

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


def test_second_writer_of_a_file_is_refused_and_the_old_file_stays(tmp_path, writer, monkeypatch):
    monkeypatch.setattr(files, "LONGEST_WAIT_SECONDS", 0.1)
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


def test_many_writers_of_one_file_all_succeed_and_leave_one_whole_file(tmp_path):
    """As `predict` does that runs several times at once with the same --output_dir."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda index: write(tmp_path / "file", f"{index} " * 1000), range(80)))
    assert len(set((tmp_path / "file").read_text().split())) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_records_of_many_processes_at_once_are_all_kept(tmp_path):
    """As those of several `inference_validation` of one run, of which one was killed before."""
    path = tmp_path / "inference.jsonl"
    path.write_text('{"iteration": 0}\n{"iterat')
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(lambda index: append_record(path, {"iteration": index, "x": "x" * 5000}), range(1, 200))
        )
    assert sorted(record["iteration"] for record in read_records(path)) == [*range(200)]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL])
def test_file_system_without_locks_is_refused_in_one_line(tmp_path, monkeypatch, number):
    def no_flock(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", no_flock)
    with pytest.raises(SedError, match=r"file: its file system cannot lock files \(flock: .*\)"):
        write(tmp_path / "file", "new")
    with pytest.raises(SedError, match="cannot lock files"):
        append_record(tmp_path / "statistics.jsonl", {"iteration": 1})


def test_name_as_long_as_the_system_allows_is_written(tmp_path):
    name = "n" * 251 + ".csv"
    write(tmp_path / name, "text")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_stands_where_a_folder_should_be_is_named(tmp_path):
    """As a workspace that is a link to a disk which is not there."""
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    (tmp_path / "file").touch()
    for name, what in (("link", "a link to what is not there"), ("file", "not a folder")):
        for path in (tmp_path / name, tmp_path / name / "below" / "it"):
            with pytest.raises(SedError, match=f"^{tmp_path / name}: is {what}; "):
                make_folder(path)
