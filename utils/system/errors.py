"""The exceptions for mistakes that the user can correct."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

PROBLEMS_SHOWN = 50


class SedError(Exception):
    """A mistake the user can correct: one sentence with what is wrong, where, and what to do."""


class MissingInputError(SedError):
    """A file that an earlier stage makes is not there, not valid, or not up to date.

    Parameters
    ----------
    path : Path
        The file.
    problem : str
        What is wrong with it.
    """

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")


@contextmanager
def made_by(command: str) -> Iterator[None]:
    """Add to a `MissingInputError` the command that makes the file."""
    try:
        yield
    except MissingInputError as error:
        raise SedError(f"{error}; make it with: {command}") from error


def refuse_all(problems: Sequence[str], say: Callable[[str], None]) -> None:
    """Raise SedError where there are problems, after all of them are listed."""
    if len(problems) == 1:
        raise SedError(problems[0])
    if problems:
        say(f"{len(problems)} problems:")
        for problem in problems[:PROBLEMS_SHOWN]:
            say(f"    {problem}")
        if len(problems) > PROBLEMS_SHOWN:
            say(f"    … and {len(problems) - PROBLEMS_SHOWN} more")
        raise SedError(f"{len(problems)} problems, listed above; the first: {problems[0]}")


def one_line(text: object) -> str:
    """Return a message as one line that any file can hold, whatever the file names in it are."""
    return " ".join(str(text).split()).encode("utf-8", "backslashreplace").decode()


def exit_with_error(error: SedError) -> NoReturn:
    """Print the error as one line on standard error and leave with exit code 2."""
    print(f"error: {one_line(error)}", file=sys.stderr)
    sys.exit(2)
