"""Where a training begins: in its run's folders anew, or after the last checkpoint of an earlier process."""

import math

from pytorch.checkpoint import last_checkpoint, restore_training, valid_content
from pytorch.distributed import Ranks
from pytorch.meter import Meter
from pytorch.training import Training
from utils.results.statistics import (
    RunSettings,
    forget_records,
    keep_longer_curve,
    read_run_settings,
    write_run_settings,
)
from utils.system.files import claim, remove_file
from utils.system.log import logger
from utils.system.terminal import short_path
from utils.system.words import counted
from utils.workspace.paths import RunPaths


def begin_run(paths: RunPaths, settings: RunSettings, iterations: int, *, resume: bool, ranks: Ranks) -> str:
    """Claim a run's folders for this process; return the training's ID, a resumed one's if it is resumed."""
    if ranks.is_first:
        claim(paths.lock, paths.statistics)
        # First, so that statistics of an earlier training never stand beside a new start
        if not (resume and paths.settings.is_file()):
            for curve in (paths.loss_statistics, paths.training_statistics):
                if kept := keep_longer_curve(curve, iterations):
                    logger.info(
                        f"An earlier training of this run was longer; its curve is kept in {short_path(kept)}"
                    )
            remove_file(paths.loss_statistics)
            remove_file(paths.training_statistics)
        write_run_settings(paths.settings, settings, resume=resume)
    ranks.wait()
    return read_run_settings(paths.settings).training_id


def resume_run(
    paths: RunPaths, training_id: str, iterations: int, training: Training, meter: Meter, ranks: Ranks
) -> tuple[int, int]:
    """Take up the last checkpoint of at most `iterations` of the training with the ID `training_id`.

    What the training will write again is removed from the statistics.

    Returns
    -------
    done : int
        The iterations done, 0 where there is no such checkpoint.
    planned : int
        Of how many, when they were done.
    """
    checkpoint, furthest = last_checkpoint(paths, training_id, iterations)
    done, planned = 0, iterations
    if checkpoint is not None:
        done = checkpoint["iteration"]
        with valid_content(paths.checkpoint(done)):
            planned = checkpoint["iterations"]
            restore_training(checkpoint, training, meter, ranks)
        logger.info(f"Resuming after iteration {done}")
        if planned != iterations and (training.recipe or training.teacher):
            logger.info(
                f"It began as a training of {counted(planned, 'iteration')}, with another schedule: its "
                f"result is not that of {iterations} iterations from the start"
            )
    else:
        logger.info(f"No checkpoint with these settings up to iteration {iterations}: the run begins anew")
    if ranks.is_first:
        kept_from = iterations + 1 if furthest > iterations else math.inf
        forget_records(paths.loss_statistics, after=done, kept_from=kept_from)
        # The evaluation of this iteration is made again
        forget_records(paths.training_statistics, after=done - 1, kept_from=kept_from)
    return done, planned
