"""Curves of a training for TensorBoard: losses, learning rate, time and scores."""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from utils.system.errors import SedError
from utils.system.log import logger
from utils.system.terminal import install_command
from utils.workspace.run import TEACHER, UNTUNED_STUDENT, Variant


def summary_writer() -> type:
    """Return TensorBoard's writer.

    Raises
    ------
    SedError
        If TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter  # needs an optional package
    except ImportError as error:
        raise SedError(
            f"--tensorboard needs TensorBoard: {install_command('requirements-tensorboard.txt')}"
        ) from error
    return SummaryWriter


class TensorBoardLog:
    """Writes a run's curves; without a folder, nothing is written.

    Where that fails, as on a full disk, it says so once, and the training goes on.

    Parameters
    ----------
    folder : Path or None
        Where the curves go to.
    first_iteration : int
        What is there of this and later iterations, by an earlier training, is no longer shown.

    Raises
    ------
    SedError
        If TensorBoard is not installed, or the folder cannot be written.
    """

    def __init__(self, folder: Path | None, first_iteration: int) -> None:
        self.writer, self.folder = None, folder
        if folder is None:
            return
        try:
            threading.excepthook = print_unless_writer
            self.writer = summary_writer()(folder, purge_step=first_iteration)
        except OSError as error:
            raise SedError(f"{folder}: cannot be written: {error}") from error

    @contextmanager
    def giving_up(self) -> Iterator[None]:
        """End the curves where the operating system refuses to write them."""
        try:
            yield
        except OSError as error:
            self.writer = None
            logger.info(f"{self.folder}: cannot be written: {error.strerror}; the curves end here")

    def add(self, group: str, values: dict[str, float | None], iteration: int) -> None:
        """Write a point of some curves; one that is not defined is left out."""
        for name, value in values.items():
            if self.writer is not None and value is not None and math.isfinite(value):
                with self.giving_up():
                    self.writer.add_scalar(f"{group}/{name}", value, iteration)

    def add_training(self, point: dict[str, float], learning_rate: float, milliseconds: float) -> None:
        """Write losses, the learning rate of the next step, and the time of an iteration in ms.

        Parameters
        ----------
        point : dict
            The iteration, the loss, and its terms, as in the statistics.
        learning_rate, milliseconds : float
        """
        losses = {name: value for name, value in point.items() if name != "iteration"}
        others = {"learning_rate": learning_rate, "ms_per_iteration": milliseconds}
        self.add("training", losses | others, int(point["iteration"]))

    def add_scores(self, record: dict[str, Any]) -> None:
        """Write the scores of an evaluation, as they stand in the statistics: mAP, and F1 of each metric."""
        iteration = record["iteration"]
        tagging = {"mean_average_precision": record["train_mean_average_precision"]}
        self.add("training", tagging, iteration)
        for key in (UNTUNED_STUDENT.scores_key, Variant(TEACHER).scores_key):
            if key in record:
                self.add(key, headline_scores(record[key]), iteration)

    def close(self) -> None:
        """Write what is left."""
        if self.writer is not None:
            with self.giving_up():
                self.writer.close()


def print_unless_writer(arguments: threading.ExceptHookArgs) -> None:
    """Print a thread's error, unless it is of TensorBoard's, which raises it again at the next point."""
    if not type(arguments.thread).__module__.startswith("tensorboard."):
        threading.__excepthook__(arguments)


def headline_scores(scores: dict[str, Any]) -> dict[str, float | None]:
    """Return the mAP and each metric's macro and micro F1, by name."""
    metrics = {"event": scores["event"]}
    metrics |= {f"segment_{key}": metric for key, metric in scores["segment"].items()}
    return {"mean_average_precision": scores["mean_average_precision"]} | {
        f"{name}_f1_{average}": metric[average]["f1"]
        for name, metric in metrics.items()
        for average in ("macro", "micro")
    }
