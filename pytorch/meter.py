"""Shows how training goes: a bar with loss and time per iteration, or a log line now and then."""

import time
from collections import deque
from typing import Any

import torch
from tqdm import tqdm

from pytorch.distributed import Ranks
from utils.system.errors import SedError
from utils.system.log import logger
from utils.system.progress import describe_seconds, on_terminal


class Meter:
    """Counts iterations, adds up losses, and measures the time spent on training.

    Parameters
    ----------
    iterations : int
        How many there will be.
    log_interval : int
        How many iterations a report is the mean of.
    ranks : Ranks
        Those that train together: what is reported is the mean over all of them.
    device : torch.device
        Where the losses are computed; they stay there until they are reported.
    """

    def __init__(self, iterations: int, log_interval: int, ranks: Ranks, device: torch.device) -> None:
        self.device = device
        self.log_interval = log_interval
        self.ranks = ranks
        self.iterations = iterations
        is_hidden = not (ranks.is_first and on_terminal())
        self.bar = tqdm(total=iterations, desc="Training", unit="iteration", disable=is_hidden)
        self.losses: list[torch.Tensor] = []
        self.terms: list[dict[str, torch.Tensor]] = []
        self.clip_names: deque[list[str]] = deque(maxlen=log_interval)
        self.started_at = time.perf_counter()

    def add(self, loss: torch.Tensor, terms: dict[str, torch.Tensor], clip_names: list[str]) -> None:
        """Count an iteration: its loss, what the loss is made of, and the clips of its batch."""
        self.losses.append(loss.detach())
        self.clip_names.append(clip_names)
        self.terms.append({name: term.detach() for name, term in terms.items()})
        self.bar.update()

    def require_finite(self, iteration: int) -> None:
        """Raise SedError where a loss of the last `log_interval` iterations is NaN or infinite.

        A model with such a loss has lost its weights, so this is checked before they are saved.
        """
        recent = self.losses[-self.log_interval :]
        is_finite = torch.isfinite(torch.stack(recent)).tolist() if recent else []
        if all(is_finite):
            return
        place = is_finite.index(False) - len(recent)  # counted from the end
        raise SedError(
            f"iteration {iteration + 1 + place}: the loss is {recent[place].item()}, of the clips "
            f"{', '.join(self.clip_names[place])}; look at these clips, or lower the learning rate; the "
            "checkpoints of earlier iterations are kept"
        )

    def state(self) -> dict[str, Any]:
        """Return what `restore` takes up again: losses and seconds since the last restart."""
        losses = torch.stack(self.losses) if self.losses else torch.empty(0)
        names = self.terms[0] if self.terms else ()
        terms = {name: torch.stack([terms[name] for terms in self.terms]) for name in names}
        return {"losses": losses, "terms": terms, "seconds": self.seconds()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state."""
        self.losses = list(state["losses"].to(self.device))
        values = zip(*(terms.to(self.device) for terms in state["terms"].values()), strict=True)
        self.terms = [dict(zip(state["terms"], of_iteration, strict=True)) for of_iteration in values]
        self.started_at = time.perf_counter() - state["seconds"]

    def mean(self, values: list[torch.Tensor]) -> float:
        """Return the mean of scalar tensors over their list and over the ranks."""
        return self.ranks.mean(torch.stack(values).mean()).item()

    def report(self, iteration: int) -> dict[str, float]:
        """Show the mean loss of the last `log_interval` iterations, if no evaluation came between them.

        Returns
        -------
        dict of str to float
            The mean loss, and the means of its terms.
        """
        means = {"loss": self.mean(self.losses[-self.log_interval :])}
        recent_terms = self.terms[-self.log_interval :]
        if len(recent_terms[0]) > 1:
            means |= {name: self.mean([terms[name] for terms in recent_terms]) for name in recent_terms[0]}
        self.bar.set_postfix(loss=f"{means['loss']:.4f}", ms_per_iteration=f"{self.milliseconds():.0f}")
        if self.bar.disable:
            logger.info(f"iteration {iteration}: loss {means['loss']:.4f}, {self.pace(iteration)}")
        return means

    def report_pace(self, iteration: int) -> None:
        """Show how long the training will take, before there is a mean loss; a bar shows it anyway."""
        if self.bar.disable:
            logger.info(f"iteration {iteration}: {self.pace(iteration)}")

    def pace(self, iteration: int) -> str:
        """Return how long an iteration takes, and all that are left."""
        seconds_left = self.milliseconds() / 1000 * (self.iterations - iteration)
        left = f", {describe_seconds(seconds_left)} left" * (iteration < self.iterations)
        return f"{self.milliseconds():.0f} ms/iteration{left}"

    def seconds(self) -> float:
        """Return the seconds since the start or the last restart."""
        return time.perf_counter() - self.started_at

    def milliseconds(self) -> float:
        """Return the milliseconds that an iteration took since the start or the last restart."""
        return 1000 * self.seconds() / len(self.losses)

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
