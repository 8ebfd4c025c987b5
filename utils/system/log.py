"""The project's log: to the screen and to a file of the run."""

import logging
import sys
from pathlib import Path

from tqdm import tqdm

from utils.system.errors import SedError
from utils.system.files import make_folder

logger = logging.getLogger("sed")  # one logger, so that the libraries' own lines stay out
NEVER = logging.CRITICAL + 1  # the level of a handler that takes no more lines


class ScreenHandler(logging.Handler):
    """Prints a line to standard output, or to standard error, without breaking a progress bar.

    Where that fails, as on a full disk or a closed pipe, the work goes on without it: `command_line.run`
    reports at the end what could not be printed.
    """

    def __init__(self, on_stderr: bool) -> None:
        super().__init__()
        self.on_stderr = on_stderr
        self.error: OSError | None = None

    def emit(self, record: logging.LogRecord) -> None:
        screen = sys.stderr if self.on_stderr else sys.stdout
        try:
            tqdm.write(self.format(record), file=screen)
            screen.flush()
        except OSError as error:
            self.error = error
            self.setLevel(NEVER)


def screen_error() -> OSError | None:
    """Return why log lines could not be printed, if so."""
    errors = (handler.error for handler in logger.handlers if isinstance(handler, ScreenHandler))
    return next(filter(None, errors), None)


class LogFileHandler(logging.FileHandler):
    """Appends a line to a file. Where that fails, it says so once, and the work goes on without it."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (the library's name)
        self.setLevel(NEVER)
        problem = f"cannot be written: {sys.exception()}; the log ends here"
        print(f"{self.baseFilename}: {problem}", file=sys.stderr)


def start_logging(path: Path | None = None, *, on_stderr: bool = False) -> None:
    """Send the log lines to the screen and, where `path` is given, to that file too.

    `on_stderr` is for commands that write their result to standard output.
    """
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.addHandler(ScreenHandler(on_stderr))
    if path is not None:
        make_folder(path.parent)
        try:
            logger.addHandler(LogFileHandler(path, encoding="utf-8", errors="backslashreplace"))
        except OSError as error:
            raise SedError(f"{path}: cannot be written: {error.strerror}") from error
    logger.setLevel(logging.INFO)
    logger.propagate = False
