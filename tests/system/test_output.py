"""A command whose output cannot be written says so in one line, and its work is not lost."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import PROJECT, run_command

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")

LOGGER = """
import sys
from pathlib import Path
from utils.system import command_line
from utils.system.log import logger, start_logging

def work(arguments):
    start_logging(Path(sys.argv[1]))
    for index in range(3):
        logger.info(f"line {index}")
    Path(sys.argv[2]).write_text("done")

parser = command_line.new_parser("")
parser.set_defaults(function=work)
parser.add_argument("rest", nargs="*")
command_line.run(parser)
"""


def run_with_output_to_full_disk(*arguments: object, unbuffered: str = "") -> subprocess.CompletedProcess:
    command = [sys.executable, *map(str, arguments)]
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("w") as output:
        return subprocess.run(
            command, stdout=output, stderr=subprocess.PIPE, text=True, cwd=PROJECT, env=environment
        )


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_table_that_cannot_be_printed_is_an_error_of_one_line(finished, unbuffered):
    arguments = ["utils/plot_results.py", "table", "--workspace", finished.workspace.root]
    result = run_with_output_to_full_disk(*arguments, unbuffered=unbuffered)
    assert result.returncode == 2
    assert result.stderr == "error: standard output: cannot be written: No space left on device\n"


def test_help_that_nobody_reads_to_its_end_is_no_traceback():
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as output:
        result = subprocess.run(
            [sys.executable, "utils/features.py", "--help"],
            stdout=output,
            stderr=subprocess.PIPE,
            cwd=PROJECT,
            env=os.environ | {"PYTHONUNBUFFERED": ""},
        )
    assert (result.returncode, result.stderr) == (141, b"")


@pytest.mark.parametrize(("log", "unbuffered"), [("log.txt", "1"), ("/dev/full", "")])
def test_work_goes_on_where_the_screen_and_the_log_are_full(tmp_path, log, unbuffered):
    done = tmp_path / "done"
    result = run_with_output_to_full_disk("-c", LOGGER, tmp_path / log, done, unbuffered=unbuffered)
    assert done.read_text() == "done"
    assert "Traceback" not in result.stderr
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("error: standard output: cannot be written")
    if log == "/dev/full":
        assert result.stderr.count("/dev/full: cannot be written: [Errno 28]") == 1
    else:
        assert (tmp_path / log).read_text() == "line 0\nline 1\nline 2\n"


def test_screen_and_log_take_any_file_name(tmp_path):
    program = LOGGER.replace('f"line {index}"', r"'\udcff.wav'")
    command = [sys.executable, "-c", program, tmp_path / "log.txt", tmp_path / "done"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == (tmp_path / "log.txt").read_text() == "\\udcff.wav\n" * 3


def test_table_is_printed_where_it_cannot_be_written(finished, tmp_path):
    shutil.copytree(finished.workspace.statistics, tmp_path / "statistics")
    (tmp_path / "statistics/.results.tsv.unfinished").mkdir()  # so that no file can be written there
    result = run_command("utils/plot_results.py", "table", "--workspace", tmp_path)
    assert result.returncode == 0, result.stderr
    assert "Weak audio" in result.stdout
    assert "The table is only printed" in result.stderr


@pytest.mark.parametrize(("is_ignored", "code"), [(True, 0), (False, 130)])
def test_training_stops_at_an_interrupt_only_where_its_starter_does_not_ignore_it(is_ignored, code):
    program = (
        "import os, signal, sys\n"
        "from pytorch.interruption import StopRequest\n"
        "stop = StopRequest()\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        "stop.listen_no_more()\n"
        "assert (stop.signal is None) == (signal.getsignal(signal.SIGINT) == signal.SIG_IGN)\n"
        "sys.exit(130 if stop.signal else 0)\n"
    )
    before = signal.signal(signal.SIGINT, signal.SIG_IGN if is_ignored else signal.default_int_handler)
    try:
        result = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True)
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.returncode == code, result.stderr
