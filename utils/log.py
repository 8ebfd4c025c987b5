"""The project's log lines: to the screen and to a file of the run."""

import logging
import sys
from pathlib import Path

from tqdm import tqdm

from utils.files import make_folder

logger = logging.getLogger("sed")  # one logger, so that the libraries' own lines stay out


class ScreenHandler(logging.Handler):
    """Prints a line to standard output without breaking a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stdout)
        sys.stdout.flush()


def start_logging(path: Path | None = None) -> None:
    """Send the log lines to the screen and, where `path` is given, to that file too."""
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.addHandler(ScreenHandler())
    if path is not None:
        make_folder(path.parent)
        logger.addHandler(logging.FileHandler(path, encoding="utf-8"))
    logger.setLevel(logging.INFO)
    logger.propagate = False
