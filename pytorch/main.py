"""Trains a sound event detector: set up, loop, evaluate, save."""

import argparse
import sys
import time
from pathlib import Path

import torch

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from pytorch.checkpoint import Training, first_unscored, last_state
from pytorch.compute import choose_compute, compiled, make_repeatable
from pytorch.data_generator import Standardizer
from pytorch.evaluation import Evaluation
from pytorch.interruption import StopRequest
from pytorch.losses import LOSSES
from pytorch.mean_teacher import MeanTeacher
from pytorch.meter import Meter
from pytorch.models import create_model
from pytorch.ranks import Ranks, join_ranks
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
from pytorch.tensorboard_log import TensorBoardLog
from utils import config
from utils.results.statistics import append_record, claim_run_folder, forget_records, read_start
from utils.system import command_line
from utils.system.files import claim
from utils.system.log import logger, start_logging
from utils.system.memory import keep_freed_memory
from utils.workspace.paths import STUDENT, TEACHER, Run, Workspace


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

    # State
    start = begin_run(workspace, run, arguments.precision, resume=arguments.resume, ranks=ranks)
    meter = Meter(arguments.iterations, ranks)
    content = last_state(workspace, run, start, arguments.iterations) if arguments.resume else None
    done, unscored = (content["iteration"], first_unscored(content)) if content is not None else (0, 0)
    has_board = arguments.tensorboard and ranks.is_first
    board = TensorBoardLog(workspace.tensorboard(run) if has_board else None, unscored + 1)
    evaluation = None
    if ranks.is_first:
        clips = labelled_clips(training)
        evaluation = Evaluation(workspace, run, clips, validation, standardize, compute, board)
        forget_records(workspace.loss_statistics(run), after=done)
        forget_records(workspace.training_statistics(run), after=unscored - 1)
    state = Training(start, model, optimizer, scheduler, teacher, meter, evaluation, compute, ranks)
    if content is not None:
        state.restore(content)
        logger.info(f"Going on after iteration {done}")

    def evaluate(iteration: int) -> None:
        mean_loss, seconds = meter.mean_loss(), meter.seconds()
        if evaluation is not None:
            models = {STUDENT: model} | ({TEACHER: teacher.model} if teacher is not None else {})
            evaluation.evaluate(models, iteration, mean_loss, seconds)
        meter.restart()

    # Loop
    batches = batches_of(training, loss, run, standardize, ranks.share, done)
    stop, is_stopped = StopRequest(), False
    if done and is_due(done, config.evaluation_interval, arguments.iterations):
        evaluate(done)
    for iteration in range(done + 1, arguments.iterations + 1):
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
        meter.add(batch_loss, terms, batch.names)
        is_logged = iteration % config.log_interval == 0
        # Only here the loop waits for a GPU.
        is_stopped = (is_logged or compute.device.type == "cpu") and ranks.any(stop.signal is not None)
        if is_logged:
            meter.require_finite(iteration)
            point = {"iteration": iteration, **meter.report(iteration)}
            if ranks.is_first:
                append_record(workspace.loss_statistics(run), point)
                board.add_training(point, scheduler.get_last_lr()[0], meter.milliseconds())

        # Save, before the evaluation: what was not scored when the process was killed is scored again
        if is_stopped or is_due(iteration, config.checkpoint_interval, arguments.iterations):
            meter.require_finite(iteration)
            path = workspace.checkpoint(run, iteration)
            state.save(path, run, iteration)
            logger.info(f"Model saved to {path}")

        # Evaluate
        if is_stopped:
            break
        if is_due(iteration, config.evaluation_interval, arguments.iterations):
            meter.require_finite(iteration)
            evaluate(iteration)
    stop.listen_no_more()
    meter.close()
    ranks.leave()
    if evaluation is not None:
        evaluation.end(wait=not is_stopped)
    board.close()
    if is_stopped:
        stop.leave(iteration)


def is_due(iteration: int, interval: int, iterations: int) -> bool:
    """Tell whether something is done after that iteration: after every `interval`-th one and the last."""
    return iteration % interval == 0 or iteration == iterations


def begin_run(workspace: Workspace, run: Run, precision: str, *, resume: bool, ranks: Ranks) -> str:
    """Claim a run's folders for this process; return what tells this training from earlier ones."""
    settings = workspace.run_settings(run)
    if ranks.is_first:
        claim(workspace.run_lock(run), settings.parent)
        claim_run_folder(settings, run, precision, resume=resume)
    ranks.wait()
    return read_start(settings)


def main() -> None:
    parser = command_line.new_parser(__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    training = command_line.add_command(
        commands,
        "train",
        train,
        summary="features -> checkpoints and statistics",
        example="python pytorch/main.py train --dataset_dir demo_dataset --workspace workspace/demo "
        "--data_type train_weak --holdout_fold 1 --batch_size 8 --iterations 120",
    )
    add_run_arguments(training)
    training.add_argument(
        "--iterations",
        type=command_line.positive_int,
        default=config.iterations,
        help=f"optimizer steps; default {config.iterations}",
    )
    training.add_argument(
        "--resume",
        action="store_true",
        help="go on from the last checkpoint of this run; where there is none, begin",
    )
    training.add_argument(
        "--tensorboard",
        action="store_true",
        help="write curves of losses, learning rate, time and scores into the workspace",
    )
    training.add_argument(
        "--compile",
        action="store_true",
        help="let torch.compile generate code for the model: minutes at the start, then faster on a GPU; "
        "needs a C++ compiler",
    )
    command_line.run(parser)


if __name__ == "__main__":
    main()
