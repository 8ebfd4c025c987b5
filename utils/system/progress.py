"""Progress of long loops: a bar on a terminal, plain log lines otherwise."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

from utils.system.log import logger

Item = TypeVar("Item")
SECONDS_BETWEEN_LINES = 10.0  # without a terminal; a loop that ends sooner prints nothing
SHORTEST_ELAPSED_SECONDS = 1e-3  # so that no speed is infinite


def on_terminal() -> bool:
    return sys.stderr.isatty()


def progress(items: Iterable[Item], description: str, total: int) -> Iterator[Item]:
    """Yield `items` (clips) and show how many of `total` are done."""
    if on_terminal():
        yield from tqdm(items, desc=description, total=total, unit="clip", dynamic_ncols=True)
        return
    start = last_line = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last_line > SECONDS_BETWEEN_LINES or (done == total and last_line > start):
            last_line = now
            logger.info(f"{description}: {done}/{total} clips")


def audio_progress(
    items: Iterable[Item], description: str, total_seconds: float, seconds_done: Callable[[], float]
) -> Iterator[Item]:
    """Yield `items`, and show how much of the audio is done, and how fast.

    Parameters
    ----------
    items : iterable
        Results computed from the audio.
    description : str
        Names the loop.
    total_seconds : float
        Duration of the audio.
    seconds_done : callable
        Returns how many of them are done.
    """
    start = last_line = time.monotonic()
    last_done = 0.0
    bar_format = "{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s of audio, {remaining} left{postfix}"
    with tqdm(
        desc=description,
        total=total_seconds,
        bar_format=bar_format,
        dynamic_ncols=True,
        disable=not on_terminal(),
    ) as bar:
        for item in items:
            yield item
            done, now = seconds_done(), time.monotonic()
            speed = describe_speed(done, now - start)
            bar.set_postfix_str(speed, refresh=False)
            bar.update(min(done, total_seconds) - bar.n)
            if bar.disable and done > last_done and now - last_line > SECONDS_BETWEEN_LINES:
                last_line, last_done = now, done
                logger.info(f"{description}: {done:.0f}/{total_seconds:.0f} s of audio, {speed}")


def describe_seconds(seconds: float) -> str:
    """Return a duration in s, min or h, whichever is short."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def describe_speed(audio_seconds: float, elapsed_seconds: float) -> str:
    return f"{audio_seconds / max(elapsed_seconds, SHORTEST_ELAPSED_SECONDS):.1f} × real time"
