"""Trains a sound event detector: set up, start or resume, then loop: step, log, save, evaluate."""

import argparse
import sys
from pathlib import Path

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from pytorch.checkpoint import detector_state, training_state, write_checkpoint
from pytorch.compute import choose_compute, idle_gpu_hint, make_repeatable
from pytorch.data_generator import Standardizer
from pytorch.detector import Detector
from pytorch.distributed import join_ranks
from pytorch.evaluation import Evaluation
from pytorch.initial_weights import read_initial_weights
from pytorch.interruption import StopRequest
from pytorch.losses import LOSSES
from pytorch.meter import Meter
from pytorch.run_start import begin_run, resume_run
from pytorch.stage_arguments import add_run_arguments, run_of, workspace_of
from pytorch.tensorboard_log import TensorBoardLog, summary_writer
from pytorch.training import new_training, training_step
from pytorch.training_data import (
    batches_of,
    describe_count,
    describe_counts,
    labelled_sample,
    load_training_subsets,
)
from utils.audio.inputs import input_digests, load_scalar
from utils.config import SETTINGS
from utils.dataset.subsets import VALIDATION
from utils.results.choice import is_best, predict_command
from utils.results.statistics import RunSettings, append_record
from utils.scoring.validation import load_validation_set
from utils.system import command_line
from utils.system.log import logger, start_logging
from utils.system.memory import keep_freed_memory
from utils.system.terminal import short_path


def train(arguments: argparse.Namespace) -> None:
    """Train, validate and save, as the command line says."""
    # Set up
    settings = SETTINGS
    run, workspace = run_of(arguments, settings), workspace_of(arguments, settings)
    paths, loop, iterations = workspace.run_paths(run), settings.loop, arguments.iterations
    LOSSES[run.loss_type].require_fit(run)
    if arguments.tensorboard:
        summary_writer()  # where it is missing, an earlier training of the run is not to be begun anew
    ranks = join_ranks(arguments.cuda)
    compute = choose_compute(arguments.cuda, arguments.precision, ranks.local_rank)
    if ranks.is_first:
        start_logging(paths.new_log("train"))
    keep_freed_memory()
    initial = None
    if arguments.initial_checkpoint:
        initial = read_initial_weights(arguments.initial_checkpoint, run.model_type, settings.features)
    make_repeatable(run.seed, loop.gpu_repeatable)

    # Data
    of_initial = initial.scalar if initial is not None else None
    scalar = of_initial or load_scalar(workspace, settings.features.mel_bins, run.data_types)
    standardize = Standardizer.of(scalar, compute.device)
    validation = load_validation_set(workspace, arguments.dataset_dir, settings)
    subsets = load_training_subsets(workspace, arguments.dataset_dir, run, settings, validation.features)
    logger.info(f"Training clips: {describe_counts(subsets)}")
    logger.info(f"Validation clips: {describe_count(validation.features)}; compute: {compute}")
    if not arguments.cuda and (hint := idle_gpu_hint()):
        logger.info(f"The GPU is not used: {hint}")

    # Model
    training = new_training(
        run,
        settings.features,
        iterations=iterations,
        standardize=standardize,
        compute=compute,
        ranks=ranks,
        compile_model=arguments.compile,
    )
    if initial is not None:
        initial.put_into([training.model, *training.models.values()], settings.features.labels)
    meter = Meter(iterations, loop.log_interval, ranks, compute.device)

    # Start or resume
    inputs = input_digests(workspace, [*run.data_types, VALIDATION], scalar)
    run_settings = RunSettings(run, settings.features, arguments.precision, inputs)
    training_id = begin_run(paths, run_settings, iterations, resume=arguments.resume, ranks=ranks)
    done, planned = 0, iterations
    if arguments.resume:
        done, planned = resume_run(paths, training_id, iterations, training, meter, ranks)
    has_board = arguments.tensorboard and ranks.is_first
    board = TensorBoardLog(paths.tensorboard if has_board else None, first_iteration=done + 1)
    evaluation = None
    if ranks.is_first:
        detector = Detector(
            training.model,
            run.model_type,
            standardize,
            settings.features,
            settings.events,
            compute,
            loop.evaluation_batch_size,
        )
        evaluation = Evaluation(
            paths,
            labelled_sample(subsets, loop.train_eval_clips),
            validation if run.holdout_fold != "none" else None,
            detector,
            settings.scoring,
            loop,
            board,
        )
    batches = batches_of(
        run, subsets, standardize, gpu_data_fraction=loop.gpu_data_fraction, ranks=ranks, skip=done
    )

    def evaluate(iteration: int) -> None:
        mean_loss, seconds = meter.mean_loss(), meter.seconds()
        if evaluation is not None:
            evaluation.evaluate(training.models, iteration, mean_loss, seconds)
        meter.restart()

    def save(iteration: int) -> None:
        state = training_state(training, meter, ranks)
        if evaluation is None:
            return
        evaluation.report(wait=True)  # a resumed training does not score again what came before
        path = paths.checkpoint(iteration)
        progress = {"iteration": iteration, "iterations": iterations, "training_id": training_id}
        of_detector = detector_state(run, standardize, settings.features, settings.events)
        write_checkpoint(path, progress | of_detector | state)
        logger.info(f"Checkpoint: {short_path(path)}")

    # Loop
    stop, is_stopped = StopRequest(), False
    if done and is_due(done, loop.evaluation_interval, planned):
        evaluate(done)  # it may have been killed between saving and evaluating
    for iteration in range(done + 1, iterations + 1):
        batch = next(batches)
        loss, terms = training_step(training, batch)
        meter.add(loss, terms, batch.names)
        if evaluation is not None:
            evaluation.report(wait=False)

        # Log; only here the loop waits for a GPU
        is_logged = iteration % loop.log_interval == 0
        is_stopped = (is_logged or compute.device.type == "cpu") and ranks.any(stop.signal is not None)
        if is_logged:
            meter.require_finite(iteration)
            point = {"iteration": iteration, **meter.report(iteration)}
            if ranks.is_first:
                append_record(paths.loss_statistics, point)
                board.add_training(point, training.scheduler.get_last_lr()[0], meter.milliseconds())
        elif iteration - done == loop.pace_iterations and compute.device.type == "cpu":
            meter.report_pace(iteration)

        # Save, before the evaluation: one that was not scored when the process was killed is made again
        if is_stopped or is_due(iteration, loop.checkpoint_interval, iterations):
            meter.require_finite(iteration)
            save(iteration)
        if is_stopped:
            break

        # Evaluate
        if is_due(iteration, loop.evaluation_interval, iterations):
            meter.require_finite(iteration)
            evaluate(iteration)
    stop.listen_no_more()
    meter.close()
    ranks.leave()
    if evaluation is not None:
        evaluation.end(wait=not is_stopped)
    board.close()
    if is_stopped:
        stop.leave(iteration, is_alone=ranks.count == 1)
    if ranks.is_first and is_best(paths):
        logger.info(f"Best model so far; detect events with: {predict_command(paths.root)}")


def is_due(iteration: int, interval: int, iterations: int) -> bool:
    """Tell whether something is done after that iteration: after every `interval`-th one and the last."""
    return iteration % interval == 0 or iteration == iterations


def main() -> None:
    defaults = SETTINGS.defaults
    parser = command_line.new_parser(__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    training = command_line.add_command(
        commands,
        "train",
        train,
        summary="features -> checkpoints and statistics",
        example="python pytorch/main.py train --dataset_dir demo_dataset --workspace workspace/stages "
        "--data_type train_weak --holdout_fold 1 --batch_size 8 --iterations 20",
    )
    add_run_arguments(training, defaults)
    training.add_argument(
        "--iterations",
        type=command_line.positive_int,
        default=defaults.iterations,
        help=f"optimizer steps; default {defaults.iterations}",
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
        "needs a compiler (C++, on a GPU C) and python3-dev",
    )
    command_line.run(parser)


if __name__ == "__main__":
    main()
