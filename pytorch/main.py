"""Trains a sound event detector: set up, loop, evaluate, save."""

import argparse
import sys
import time
from pathlib import Path

import torch

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from pytorch.checkpoint import save_checkpoint
from pytorch.compute import choose_compute, compiled, make_repeatable
from pytorch.evaluation import Evaluation
from pytorch.losses import LOSSES
from pytorch.mean_teacher import MeanTeacher
from pytorch.meter import Meter
from pytorch.models import create_model
from pytorch.ranks import join_ranks
from pytorch.stage_arguments import add_run_arguments, run_of
from pytorch.stage_inputs import (
    batches_of,
    describe_count,
    describe_counts,
    labelled_clips,
    load_scalar,
    load_training_subsets,
    load_validation_set,
)
from utils import command_line, config
from utils.data_generator import Standardizer
from utils.files import remove_file
from utils.log import logger, start_logging
from utils.memory import keep_freed_memory
from utils.run_statistics import append_record, claim_run_folder
from utils.workspace import STUDENT, TEACHER, Workspace


def train(arguments: argparse.Namespace) -> None:
    """Train, validate and save, as the command line says."""
    run = run_of(arguments)
    workspace = Workspace(arguments.workspace)
    ranks = join_ranks(arguments.cuda)
    compute = choose_compute(arguments.cuda, arguments.precision, ranks.local_rank)
    if ranks.is_first:
        start_logging(workspace.new_log(run, "train"))
    keep_freed_memory()
    make_repeatable(run.seed)

    # Data
    loss = LOSSES[run.loss_type]
    loss.require_fit(run)
    load_start = time.perf_counter()
    scalar = load_scalar(workspace, run.mini_data)
    standardize = Standardizer.of(scalar, compute.device)
    validation = load_validation_set(workspace, arguments.dataset_dir, run.mini_data)
    training = load_training_subsets(workspace, arguments.dataset_dir, run, validation.features)
    logger.info(f"Load data time: {time.perf_counter() - load_start:.3f} s")
    logger.info(f"Training audio num: {describe_counts(training)}")
    logger.info(f"Validation audio num: {describe_count(validation.features)}")
    logger.info(f"Compute: {compute}")

    # Model
    model = create_model(run.model_type, config.classes_num, loss.clip_output_from).to(compute.device)
    parallel_model = ranks.distribute(model)
    if arguments.compile:
        parallel_model = compiled(parallel_model)
    teacher = MeanTeacher(model, arguments.iterations, standardize, compute) if loss.has_teacher else None
    optimizer = torch.optim.Adam(
        model.parameters(),
        lr=config.learning_rate,
        betas=config.adam_betas,
        eps=config.adam_epsilon,
        weight_decay=config.weight_decay,
        amsgrad=True,
        fused=compute.device.type == "cuda",
    )
    scheduler = torch.optim.lr_scheduler.StepLR(
        optimizer, config.learning_rate_decay_interval, config.learning_rate_decay
    )

    # Loop
    if ranks.is_first:
        claim_run_folder(workspace.run_settings(run), run, arguments.precision)
        remove_file(workspace.training_statistics(run))
        remove_file(workspace.loss_statistics(run))
        evaluation = Evaluation(workspace, run, labelled_clips(training), validation, standardize, compute)
    batches = batches_of(training, loss, run, standardize, ranks.share)
    meter = Meter(arguments.iterations, ranks)
    for iteration in range(1, arguments.iterations + 1):
        model.train()
        batch = next(batches)
        with compute.autocast():
            output = parallel_model(batch.logmel)
        terms = loss.compute_terms(output, batch)
        batch_loss = sum(terms.values())
        if teacher is not None:
            consistency = teacher.consistency(batch, output)
            batch_loss += teacher.weight * sum(consistency.values())
            terms |= consistency
        optimizer.zero_grad()
        batch_loss.backward()
        optimizer.step()
        scheduler.step()
        if teacher is not None:
            teacher.follow(model)
        meter.add(batch_loss, terms)
        if iteration % config.log_interval == 0:
            point = {"iteration": iteration, **meter.report(iteration)}
            if ranks.is_first:
                append_record(workspace.loss_statistics(run), point)

        # Evaluate
        is_last = iteration == arguments.iterations
        if iteration % config.evaluation_interval == 0 or is_last:
            mean_loss, seconds = meter.mean_loss(), meter.seconds()
            if ranks.is_first:
                models = {STUDENT: model} | ({TEACHER: teacher.model} if teacher is not None else {})
                evaluation.evaluate(models, iteration, mean_loss, seconds)
            meter.restart()

        # Save
        if ranks.is_first and (iteration % config.checkpoint_interval == 0 or is_last):
            path = workspace.checkpoint(run, iteration)
            save_checkpoint(path, run, iteration, model, optimizer, teacher)
            logger.info(f"Model saved to {path}")
    meter.close()
    ranks.leave()
    if ranks.is_first:
        evaluation.finish()


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
    training.add_argument(
        "--compile",
        action="store_true",
        help="let torch.compile generate code for the model: minutes at the start, then faster on a GPU; "
        "needs a C++ compiler",
    )
    training.set_defaults(function=train)
    command_line.run(parser)


if __name__ == "__main__":
    main()
