"""Runs the commands as a user does."""

import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


@functools.cache
def fork_server() -> subprocess.Popen:
    """Return the process whose forks run the commands; it ends with the tests, as its input does."""
    return subprocess.Popen(
        [sys.executable, Path(__file__).with_name("fork_server.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


PYTHON_THAT_FORKS = """\
#!{python} -SE
import json, os, sys
if sys.argv[1].startswith("-"):
    os.execv("{python}", ["{python}", *sys.argv[1:]])
request = {{
    "arguments": [os.path.abspath(sys.argv[1]), *sys.argv[2:]],
    "environment": dict(os.environ),
    "folder": os.getcwd(),
    "stdin": f"/proc/{{os.getpid()}}/fd/0",
    "stdout": f"/proc/{{os.getpid()}}/fd/1",
    "stderr": f"/proc/{{os.getpid()}}/fd/2",
}}
with open("{folder}/requests", "w") as file:
    print(json.dumps(request), file=file)
with open("{folder}/replies") as file:
    sys.exit(int(file.readline()))
"""


@contextmanager
def python_that_forks(folder: Path) -> Iterator[Path]:
    """Give a folder with a `python` for shell commands, which runs scripts in forks, one at a time."""
    program = folder / "python"
    program.write_text(PYTHON_THAT_FORKS.format(python=sys.executable, folder=folder))
    program.chmod(0o755)
    pipes = {}
    for name in ("requests", "replies"):
        os.mkfifo(folder / name)
        pipes[name] = os.open(folder / name, os.O_RDWR)  # held open here, so that it never ends
    server = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("fork_server.py")],
        stdin=pipes["requests"],
        stdout=pipes["replies"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    try:
        yield folder
    finally:
        server.kill()
        server.wait()
        for descriptor in pipes.values():
            os.close(descriptor)


def run_command(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
    """Run a stage command as a user would, from another directory than the project's."""
    script, *rest = map(str, arguments)
    with tempfile.NamedTemporaryFile("r") as output, tempfile.NamedTemporaryFile("r") as errors:
        request = {
            "arguments": [str(PROJECT / script), *rest],
            "environment": os.environ | environment,
            "stdout": output.name,
            "stderr": errors.name,
        }
        server = fork_server()
        print(json.dumps(request), file=server.stdin, flush=True)
        code = int(server.stdout.readline())
        return subprocess.CompletedProcess(request["arguments"], code, output.read(), errors.read())


def run_well(*arguments: object, **environment: str) -> str:
    """Run a stage command that must succeed, and return what it printed."""
    result = run_command(*arguments, **environment)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def assert_user_error(result: subprocess.CompletedProcess, *expected: object) -> None:
    """Assert that a command ended with one clear line that holds the expected words, and exit code 2."""
    assert result.returncode == 2, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    error_lines = result.stderr.strip().splitlines()
    assert len(error_lines) == 1, result.stderr
    assert error_lines[0].startswith("error: ")
    for words in expected:
        assert str(words) in error_lines[0]
