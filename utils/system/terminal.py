"""What a terminal shows without breaking lines: short paths and commands, tables with aligned columns."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from shutil import which

LINE_LENGTH = 100  # characters of the longest line of a table
GAP = "  "  # between two columns


def short_path(path: Path) -> str:
    """Return a path as it can be typed: from the current directory where it lies there, else as it is.

    From the root directory, where all paths lie, this would save nothing but their slash.
    """
    here, absolute = Path.cwd(), path.absolute()
    is_below = absolute.is_relative_to(here) and here != here.parent
    return str(absolute.relative_to(here) if is_below else path)


def install_command(requirements: str) -> str:
    """Return a command for a shell in the project's folder, which installs packages for this Python."""
    return command_to_type("-m", "pip", "install", "-r", requirements)


def command_to_type(*words: str | Path) -> str:
    """Return a command for a shell in the current directory, which gives this Python a script and options."""
    python = "python" if which("python") == sys.executable else short_path(Path(sys.executable))
    return shlex.join([python, *(short_path(word) if isinstance(word, Path) else word for word in words)])


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a line for each row of a table: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        GAP.join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows
    ]
