"""The project's log lines: to the screen and to a file of the run."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from utils.errors import SedError
from utils.files import make_folder

logger = logging.getLogger("sed")  # one logger, so that the libraries' own lines stay out


class ScreenHandler(logging.Handler):
    """Prints a line to standard output without breaking a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stdout)
        sys.stdout.flush()


def new_file_handler(path: Path) -> logging.FileHandler:
    """Open a log file for writing."""
    make_folder(path.parent)
    try:
        return logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise SedError(f"{path}: cannot be written: {error.strerror}") from error


def start_logging(path: Path | None = None) -> None:
    """Send the log lines to the screen and, where `path` is given, to that file too."""
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.addHandler(ScreenHandler())
    if path is not None:
        logger.addHandler(new_file_handler(path))
    logger.setLevel(logging.INFO)
    logger.propagate = False


class ListHandler(logging.Handler):
    """Appends each line to a list."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@contextmanager
def captured_lines() -> Iterator[list[str]]:
    """Collect the log lines of a process whose lines another one logs."""
    lines: list[str] = []
    handler = ListHandler(lines)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
