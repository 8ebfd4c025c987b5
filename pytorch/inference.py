"""Finds events with a trained model, in validation clips or any recordings; tunes and scores how it does."""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from pytorch.checkpoint import load_model
from pytorch.compute import choose_compute
from pytorch.data_generator import Standardizer
from pytorch.detector import Detector
from pytorch.evaluation import ValidationSet, post_processing_of, predict_batches
from pytorch.predict import PREDICT_DESCRIPTION, add_predict_arguments, predict
from pytorch.stage_arguments import (
    TUNING_DATA_TYPES,
    add_checkpoint_arguments,
    add_run_arguments,
    run_of,
    tuning_data_type,
)
from pytorch.stage_inputs import describe_count, load_scalar, open_annotated_clips
from utils import config
from utils.audio.feature_file import Features
from utils.audio.reading import clip_duration
from utils.dataset.tables import SUBSETS, Clip, read_durations, read_strong_table
from utils.events.post_processing import PostProcessing
from utils.events.tuning import read_tuned, tune, write_tuned
from utils.results.statistics import append_record, validation_key
from utils.scoring.psds import frame_scores, score_psds
from utils.scoring.sed_eval_scores import score_events
from utils.scoring.text import averages_table, classes_table, tuned_table
from utils.scoring.validation import predicted_clips, score_submission
from utils.system import command_line
from utils.system.errors import SedError
from utils.system.log import logger, start_logging
from utils.system.memory import keep_freed_memory
from utils.system.progress import progress
from utils.workspace.paths import Workspace


def inference_validation(arguments: argparse.Namespace) -> None:
    """Write the submission of a checkpoint, score it, and draw what the model heard."""
    run = run_of(arguments)
    workspace = Workspace(arguments.workspace)
    checkpoint = (run, arguments.iteration, arguments.weights)
    detector = load_detector(arguments, "inference")
    post_processing = post_processing_of(run.model_type)
    if arguments.tuned:
        path = workspace.tuned_post_processing(*checkpoint)
        post_processing = read_tuned(path, post_processing, "run the command tune with the same options")
    with open_annotated_clips(workspace, arguments.dataset_dir, "validation", run.mini_data) as validation:
        logger.info(f"Validation audio num: {describe_count(validation.features)}")
        if run.holdout_fold == "none":
            logger.info("The model was trained on these clips too: the scores say nothing about other clips.")
        predictions = predict_events(detector, validation.features, post_processing)
        logger.info("validate statistics:")
        path = workspace.submission(*checkpoint, arguments.tuned)
        scores = score_submission(predictions.clips, predictions.clipwise, validation.reference, path)
        psds = score_frames(arguments.dataset_dir, validation.reference.clips, predictions, post_processing)
        for line in classes_table(scores.detection):
            logger.info(f"    {line}")
        key = validation_key(arguments.weights, arguments.tuned)
        record = {"iteration": arguments.iteration, key: scores.to_json() | psds}
        append_record(workspace.inference_statistics(run), record)
        if arguments.visualize:
            folder = workspace.clip_figures(*checkpoint, arguments.tuned)
            draw_clips(folder, validation, predictions, arguments.visualize)


def load_detector(arguments: argparse.Namespace, command: str) -> Detector:
    """Load the model that the command line tells, and start the log of the command."""
    run = run_of(arguments)
    workspace = Workspace(arguments.workspace)
    compute = choose_compute(arguments.cuda, arguments.precision)
    keep_freed_memory()
    model = load_model(workspace, run, arguments.iteration, arguments.weights, compute.device)
    start_logging(workspace.new_log(run, command))
    standardize = Standardizer.of(load_scalar(workspace, run.mini_data), compute.device)
    return Detector(model, standardize, compute)


@dataclass(frozen=True)
class Predictions:
    """What a model heard in clips.

    Attributes
    ----------
    clips : list of Clip
        With the predicted events.
    clipwise : np.ndarray, shape (clips, classes)
    outputs : np.ndarray, shape (clips, outputs, classes)
        Frame probabilities, each once, as the model gives them out.
    stride_frames : int
        Frames of an output.
    """

    clips: list[Clip]
    clipwise: np.ndarray
    outputs: np.ndarray
    stride_frames: int

    def framewise(self, index: int) -> np.ndarray:
        """Return the frame probabilities of a clip, shape (frames, classes)."""
        return self.outputs[index].repeat(self.stride_frames, axis=0)[: config.clip_frames]


def predict_events(detector: Detector, features: Features, post_processing: PostProcessing) -> Predictions:
    """Run the model batch by batch, and keep the few numbers of each clip that scores and figures need.

    They go into arrays made beforehand: small ones made between the large ones of the batches would keep the
    allocator from using that memory again.
    """
    model, count = detector.model, len(features.names)
    clipwise = np.empty((count, config.classes_num), np.float32)
    outputs = np.empty((count, -(-config.clip_frames // model.stride_frames), config.classes_num), np.float32)
    clips: list[Clip] = []
    for batch, probabilities in predict_batches(model, features, detector.standardize, detector.compute):
        rows = slice(len(clips), len(clips) + len(batch.names))
        clipwise[rows] = probabilities.clipwise
        outputs[rows] = probabilities.framewise[:, :: model.stride_frames]
        clips += predicted_clips(batch.names, probabilities, post_processing)
    return Predictions(clips, clipwise, outputs, model.stride_frames)


def score_frames(
    dataset_dir: Path, reference: list[Clip], predictions: Predictions, post_processing: PostProcessing
) -> dict[str, Any]:
    """Log PSDS1 and PSDS2 and return them for the statistics; where they cannot be computed, say why."""
    audio_folder = dataset_dir / SUBSETS["validation"].audio_folder
    try:
        scores = score_psds(
            reference,
            frame_scores(predictions.outputs, post_processing),
            output_seconds=predictions.stride_frames / config.frames_per_second,
            durations=[clip_duration(audio_folder / clip.name) for clip in reference],
        )
    except SedError as error:
        logger.info(f"    Without PSDS: {error}")
        return {}
    logger.info(f"    {scores.log_line()}")
    return {"psds": scores.to_json()}


def draw_clips(folder: Path, validation: ValidationSet, predictions: Predictions, most_clips: int) -> None:
    """Draw the figures of the first clips."""
    from utils.results.figures import plot_clip  # here, as matplotlib takes half a second to import

    clips = predictions.clips[:most_clips]
    for index, clip in enumerate(progress(clips, "Drawing", len(clips))):
        plot_clip(
            folder / f"{Path(clip.name).stem}.png",
            validation.features.logmel[index],
            validation.reference.clips[index],
            predictions.framewise(index),
            predictions.clipwise[index],
            clip,
        )
    logger.info(f"Figures of {len(clips)} clips in {folder}")


def tune_post_processing(arguments: argparse.Namespace) -> None:
    """Choose the post-processing of each class on training clips, and save it beside the checkpoint."""
    run = run_of(arguments)
    workspace = Workspace(arguments.workspace)
    detector = load_detector(arguments, "tune")
    before = post_processing_of(run.model_type)
    with open_annotated_clips(workspace, arguments.dataset_dir, arguments.tune_on, run.mini_data) as clips:
        logger.info(f"Tuning audio num: {describe_count(clips.features)} of {arguments.tune_on}")
        if arguments.tune_on in run.data_types:
            logger.info("The model was trained on these clips: it is surer of them than of others.")
        predictions = predict_events(detector, clips.features, before)
    tuned = tune(
        clips.reference.clips,
        predictions.outputs,
        predictions.clipwise,
        stride_frames=predictions.stride_frames,
        before=before,
    )
    for line in tuned_table(tuned):
        logger.info(line)
    path = workspace.tuned_post_processing(run, arguments.iteration, arguments.weights)
    write_tuned(path, tuned, arguments.tune_on)
    logger.info(f"Tuned post-processing saved to {path}; it is used by: inference_validation --tuned")


def score(arguments: argparse.Namespace) -> None:
    """Score any submission against a reference and print the scores."""
    start_logging()
    reference = read_strong_table(arguments.reference_csv, config.labels, names_with_folders=True)
    submission = read_strong_table(arguments.submission_csv, config.labels, names_with_folders=True)
    durations = read_durations(arguments.durations_csv) if arguments.durations_csv else None
    check_clips(arguments, reference, submission, durations)
    scores = score_events(reference, submission, durations=durations)
    logger.info(
        f"{scores.clips} clips, {count_events(reference)} events in the reference, "
        f"{count_events(submission)} in the submission"
    )
    for line in [*averages_table(scores), "", *classes_table(scores)]:
        logger.info(line)


def count_events(clips: list[Clip]) -> int:
    """Return the number of events in all clips."""
    return sum(len(clip.events or ()) for clip in clips)


def check_clips(
    arguments: argparse.Namespace,
    reference: list[Clip],
    submission: list[Clip],
    durations: dict[str, float] | None,
) -> None:
    """Refuse tables that do not fit together; mention predictions that cannot count."""
    if not reference:
        raise SedError(f"{arguments.reference_csv}: lists no clips, so there is nothing to score against")
    names = {clip.name for clip in reference}
    if durations is not None:
        without = sorted(names - durations.keys())
        if without:
            raise SedError(f"{arguments.durations_csv}: no duration of {without[0]} ({len(without)} clips)")
    strangers = [clip for clip in submission if clip.name not in names]
    if strangers:
        logger.info(
            f"Left out: {count_events(strangers)} predicted events of {len(strangers)} clips that the "
            f"reference does not list, such as {strangers[0].name}"
        )


def main() -> None:
    parser = command_line.new_parser(__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    inference = command_line.add_command(
        commands,
        "inference_validation",
        inference_validation,
        summary="checkpoint -> submission, scores and figures of the validation clips",
        example="python pytorch/inference.py inference_validation --dataset_dir demo_dataset "
        "--workspace workspace/demo --data_type train_weak --holdout_fold 1 --batch_size 8 --iteration 120",
    )
    add_run_arguments(inference)
    add_checkpoint_arguments(inference)
    inference.add_argument(
        "--tuned",
        action="store_true",
        help="find events with the post-processing that tune has chosen; without it, of the config",
    )
    inference.add_argument(
        "--visualize",
        type=command_line.positive_int,
        nargs="?",
        const=config.visualized_clips,
        metavar="CLIPS",
        help=f"draw what the model heard in the first CLIPS clips ({config.visualized_clips} where no "
        "number is given); without it nothing is drawn",
    )

    tuning = command_line.add_command(
        commands,
        "tune",
        tune_post_processing,
        summary="checkpoint -> post-processing of each class with the best event F1 on training clips",
        example="python pytorch/inference.py tune --dataset_dir demo_dataset --workspace workspace/demo "
        "--data_type train_weak --holdout_fold 1 --batch_size 8 --iteration 120 --tune_on train_synthetic",
    )
    add_run_arguments(tuning)
    add_checkpoint_arguments(tuning)
    tuning.add_argument(
        "--tune_on",
        type=tuning_data_type,
        default=TUNING_DATA_TYPES[0],
        help=f"subset with events to tune on: {', '.join(TUNING_DATA_TYPES)}; default {TUNING_DATA_TYPES[0]}",
    )

    prediction = command_line.add_command(
        commands,
        "predict",
        predict,
        summary="checkpoint and recordings of any length -> events",
        description=PREDICT_DESCRIPTION,
        example="python pytorch/inference.py predict --checkpoint_path md_5000_iters.pth recordings a.mp3 "
        "--output_dir heard --format csv,audacity",
    )
    add_predict_arguments(prediction)

    scoring = command_line.add_command(
        commands,
        "score",
        score,
        summary="submission and reference -> scores",
        example="python pytorch/inference.py score --submission_csv heard/events.csv "
        "--reference_csv demo_dataset/metadata/validation/validation.csv",
    )
    scoring.add_argument("--reference_csv", type=Path, required=True, help="table of the true events (s)")
    scoring.add_argument(
        "--submission_csv", type=Path, required=True, help="table of the predicted events (s)"
    )
    scoring.add_argument(
        "--durations_csv",
        type=Path,
        help="table of clip durations (filename, duration in s), at which segments end; without it they end "
        "with a clip's last event",
    )
    command_line.run(parser)


if __name__ == "__main__":
    main()
