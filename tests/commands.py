"""Runs the commands as a user does."""

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


def run_command(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
    """Run a stage command as a user would, from another directory than the project's."""
    script, *rest = map(str, arguments)
    return subprocess.run(
        [sys.executable, PROJECT / script, *rest],
        capture_output=True,
        text=True,
        cwd="/",
        env=os.environ | environment,
        timeout=300,
    )


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
