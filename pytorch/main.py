"""Trains a sound event detector: set up, loop, evaluate, save."""

import argparse
import sys
import time
from pathlib import Path

import torch

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from pytorch.checkpoint import save_checkpoint
from pytorch.compute import choose_compute, keep_freed_memory, make_repeatable
from pytorch.evaluation import Evaluation
from pytorch.losses import LOSSES, Loss
from pytorch.meter import Meter
from pytorch.models import create_model
from pytorch.stage_arguments import add_run_arguments, run_of
from pytorch.stage_inputs import describe_count, load_features, load_scalar, load_validation_set
from utils import command_line, config
from utils.data_generator import concatenate, training_batches
from utils.errors import SedError
from utils.feature_file import Features
from utils.files import remove_file
from utils.log import logger, start_logging
from utils.run_statistics import append_record, claim_run_folder
from utils.workspace import Run, Workspace


def train(arguments: argparse.Namespace) -> None:
    """Train, validate and save, as the command line says."""
    run = run_of(arguments)
    workspace = Workspace(arguments.workspace)
    compute = choose_compute(arguments.cuda)
    start_logging(workspace.new_log(run, "train"))
    keep_freed_memory()
    make_repeatable(run.seed)

    # Data
    load_start = time.perf_counter()
    scalar = load_scalar(workspace, run.mini_data)
    training = load_features(workspace, arguments.dataset_dir, run.data_type, run.mini_data)
    validation = load_validation_set(workspace, arguments.dataset_dir, run.mini_data)
    if run.holdout_fold == "none":
        training = concatenate([training, validation.features])
    logger.info(f"Load data time: {time.perf_counter() - load_start:.3f} s")
    logger.info(f"Training audio num: {describe_count(training)}")
    logger.info(f"Validation audio num: {describe_count(validation.features)}")
    logger.info(f"Compute: {compute}")

    # Model
    loss = LOSSES[run.loss_type]
    require_target(training, loss, run)
    model = create_model(run.model_type, config.classes_num, loss.clip_output_from).to(compute.device)
    optimizer = torch.optim.Adam(
        model.parameters(),
        lr=config.learning_rate,
        betas=config.adam_betas,
        eps=config.adam_epsilon,
        weight_decay=config.weight_decay,
        amsgrad=True,
    )
    scheduler = torch.optim.lr_scheduler.StepLR(
        optimizer, config.learning_rate_decay_interval, config.learning_rate_decay
    )

    # Loop
    claim_run_folder(workspace.run_settings(run), run)
    remove_file(workspace.training_statistics(run))
    remove_file(workspace.loss_statistics(run))
    evaluation = Evaluation(workspace, run, training, validation, scalar, compute)
    batches = training_batches(training, scalar, batch_size=run.batch_size, seed=run.seed)
    meter = Meter(arguments.iterations)
    for iteration in range(1, arguments.iterations + 1):
        model.train()
        batch = next(batches)
        with compute.autocast():
            output = model(compute.tensor(batch.logmel))
        batch_loss = loss.function(output, compute.tensor(getattr(batch, loss.target)))
        optimizer.zero_grad()
        batch_loss.backward()
        optimizer.step()
        scheduler.step()
        meter.add(batch_loss)
        if iteration % config.log_interval == 0:
            point = {"iteration": iteration, "loss": meter.report(iteration)}
            append_record(workspace.loss_statistics(run), point)

        # Evaluate
        is_last = iteration == arguments.iterations
        if iteration % config.evaluation_interval == 0 or is_last:
            evaluation.evaluate(model, iteration, meter.mean_loss(), meter.seconds())
            meter.restart()

        # Save
        if iteration % config.checkpoint_interval == 0 or is_last:
            path = workspace.checkpoint(run, iteration)
            save_checkpoint(path, run, iteration, model, optimizer)
            logger.info(f"Model saved to {path}")
    meter.close()


def require_target(training: Features, loss: Loss, run: Run) -> None:
    """Raise SedError where the training clips lack what the loss compares with."""
    if getattr(training, loss.target) is None:
        raise SedError(
            f"--loss_type {run.loss_type} needs events with times, which {run.data_type} does not have; "
            "take --data_type train_synthetic or another loss"
        )


def main() -> None:
    parser = command_line.new_parser(__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    training = commands.add_parser("train", help="features -> checkpoints and statistics")
    add_run_arguments(training)
    training.add_argument(
        "--iterations",
        type=command_line.positive_int,
        default=config.iterations,
        help=f"optimizer steps; default {config.iterations}",
    )
    training.set_defaults(function=train)
    command_line.run(parser)


if __name__ == "__main__":
    main()
