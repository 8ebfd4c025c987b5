"""Shows how training goes: a bar with loss and time per iteration, or a log line now and then."""

import time

import torch
from tqdm import tqdm

from utils import config
from utils.log import logger
from utils.progress import on_terminal


class Meter:
    """Counts iterations, adds up losses, and measures the time spent on training.

    Parameters
    ----------
    iterations : int
        How many there will be.
    """

    def __init__(self, iterations: int) -> None:
        self.bar = tqdm(total=iterations, desc="Training", unit="iteration", disable=not on_terminal())
        self.losses: list[torch.Tensor] = []
        self.started_at = time.perf_counter()

    def add(self, loss: torch.Tensor) -> None:
        """Count an iteration and its loss."""
        self.losses.append(loss.detach())
        self.bar.update()

    def report(self, iteration: int) -> float:
        """Show the mean loss of the last `config.log_interval` iterations, and return it."""
        recent = torch.stack(self.losses[-config.log_interval :]).mean().item()
        milliseconds = 1000 * self.seconds() / len(self.losses)
        self.bar.set_postfix(loss=f"{recent:.4f}", ms_per_iteration=f"{milliseconds:.0f}")
        if self.bar.disable:
            logger.info(f"iteration: {iteration}, loss: {recent:.4f}, {milliseconds:.0f} ms/iteration")
        return recent

    def seconds(self) -> float:
        """Return the seconds since the start or the last restart."""
        return time.perf_counter() - self.started_at

    def mean_loss(self) -> float:
        """Return the mean loss since the start or the last restart."""
        return torch.stack(self.losses).mean().item()

    def restart(self) -> None:
        """Forget the losses and the time so far."""
        self.losses.clear()
        self.started_at = time.perf_counter()

    def close(self) -> None:
        """End the bar."""
        self.bar.close()
