"""Shows how training goes: a bar with loss and time per iteration, or a log line now and then."""

import time

import torch
from tqdm import tqdm

from pytorch.ranks import Ranks
from utils import config
from utils.log import logger
from utils.progress import on_terminal


class Meter:
    """Counts iterations, adds up losses, and measures the time spent on training.

    Parameters
    ----------
    iterations : int
        How many there will be.
    ranks : Ranks
        The processes that train together: what is reported is the mean over all of them.
    """

    def __init__(self, iterations: int, ranks: Ranks) -> None:
        self.ranks = ranks
        is_hidden = not (ranks.is_first and on_terminal())
        self.bar = tqdm(total=iterations, desc="Training", unit="iteration", disable=is_hidden)
        self.losses: list[torch.Tensor] = []
        self.terms: list[dict[str, torch.Tensor]] = []
        self.started_at = time.perf_counter()

    def add(self, loss: torch.Tensor, terms: dict[str, torch.Tensor]) -> None:
        """Count an iteration, its loss, and what the loss is made of."""
        self.losses.append(loss.detach())
        self.terms.append({name: term.detach() for name, term in terms.items()})
        self.bar.update()

    def mean(self, values: list[torch.Tensor]) -> float:
        """Return the mean of scalar tensors over their list and over the processes."""
        return self.ranks.mean(torch.stack(values).mean()).item()

    def report(self, iteration: int) -> dict[str, float]:
        """Show and return the mean loss, and its terms, of the last `config.log_interval` iterations."""
        means = {"loss": self.mean(self.losses[-config.log_interval :])}
        recent_terms = self.terms[-config.log_interval :]
        if len(recent_terms[0]) > 1:
            means |= {name: self.mean([terms[name] for terms in recent_terms]) for name in recent_terms[0]}
        milliseconds = 1000 * self.seconds() / len(self.losses)
        self.bar.set_postfix(loss=f"{means['loss']:.4f}", ms_per_iteration=f"{milliseconds:.0f}")
        if self.bar.disable:
            values = ", ".join(f"{name}: {value:.4f}" for name, value in means.items())
            logger.info(f"iteration: {iteration}, {values}, {milliseconds:.0f} ms/iteration")
        return means

    def seconds(self) -> float:
        """Return the seconds since the start or the last restart."""
        return time.perf_counter() - self.started_at

    def mean_loss(self) -> float:
        """Return the mean loss since the start or the last restart."""
        return self.mean(self.losses)

    def restart(self) -> None:
        """Forget the losses and the time so far."""
        self.losses.clear()
        self.terms.clear()
        self.started_at = time.perf_counter()

    def close(self) -> None:
        """End the bar."""
        self.bar.close()
