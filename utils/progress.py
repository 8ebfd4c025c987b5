"""Progress of long loops: a bar on a terminal, plain log lines otherwise."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

from utils.log import logger

Item = TypeVar("Item")
SECONDS_BETWEEN_LINES = 10.0  # without a terminal; a loop that ends sooner prints nothing


def on_terminal() -> bool:
    """Tell whether somebody watches: only a terminal can redraw a bar."""
    return sys.stderr.isatty()


def progress(items: Iterable[Item], description: str, total: int) -> Iterator[Item]:
    """Yield `items` (clips) and show how many of `total` are done."""
    if on_terminal():
        yield from tqdm(items, desc=description, total=total, unit="clip", dynamic_ncols=True)
        return
    last_line = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        if time.monotonic() - last_line > SECONDS_BETWEEN_LINES:
            last_line = time.monotonic()
            logger.info(f"{description}: {done}/{total} clips")
