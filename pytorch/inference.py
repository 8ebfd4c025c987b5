"""Lets a trained model hear events, in validation clips or any recordings, and scores what was heard."""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from pytorch.checkpoint import load_model
from pytorch.compute import Compute, choose_compute
from pytorch.evaluation import ValidationSet, post_processing_of, predict_batches
from pytorch.models import Cnn, Crnn
from pytorch.prediction import PREDICT_DESCRIPTION, add_predict_arguments, predict
from pytorch.stage_arguments import add_run_arguments, add_weights_argument, run_of
from pytorch.stage_inputs import describe_count, load_scalar, open_validation_set
from utils import command_line, config
from utils.data_generator import Standardizer
from utils.errors import SedError
from utils.feature_file import Features
from utils.figures import plot_clip
from utils.log import logger, start_logging
from utils.memory import keep_freed_memory
from utils.metadata import Clip, read_durations, read_strong_table
from utils.progress import progress
from utils.run_statistics import append_record, validation_key
from utils.score_report import averages_table, classes_table
from utils.scoring import score_events
from utils.validation import predicted_clips, score_submission
from utils.workspace import Workspace


def inference_validation(arguments: argparse.Namespace) -> None:
    """Write the submission of a checkpoint, score it, and draw what the model heard."""
    run = run_of(arguments)
    workspace = Workspace(arguments.workspace)
    compute = choose_compute(arguments.cuda, arguments.precision)
    keep_freed_memory()
    model = load_model(workspace, run, arguments.iteration, arguments.weights, compute.device)
    start_logging(workspace.new_log(run, "inference"))
    standardize = Standardizer.of(load_scalar(workspace, run.mini_data), compute.device)
    with open_validation_set(workspace, arguments.dataset_dir, run.mini_data) as validation:
        logger.info(f"Validation audio num: {describe_count(validation.features)}")
        if run.holdout_fold == "none":
            logger.info("The model was trained on these clips too: the scores say nothing about other clips.")
        predictions = predict_events(
            model, validation.features, standardize, compute, run.model_type, arguments.visualize or 0
        )
        logger.info("validate statistics:")
        path = workspace.submission(run, arguments.iteration, arguments.weights)
        scores = score_submission(predictions.clips, predictions.clipwise, validation.reference, path)
        for line in classes_table(scores.detection):
            logger.info(f"    {line}")
        record = {"iteration": arguments.iteration, validation_key(arguments.weights): scores.to_json()}
        append_record(workspace.inference_statistics(run), record)
        if arguments.visualize:
            folder = workspace.clip_figures(run, arguments.iteration, arguments.weights)
            draw_clips(folder, validation, predictions)


@dataclass(frozen=True)
class Predictions:
    """What a model heard in clips.

    Attributes
    ----------
    clips : list of Clip
        With the predicted events.
    clipwise : np.ndarray, shape (clips, classes)
    framewise : np.ndarray, shape (first clips, frames, classes)
        Frame probabilities of as many of the first clips as there are to be figures of.
    """

    clips: list[Clip]
    clipwise: np.ndarray
    framewise: np.ndarray


def predict_events(
    model: Cnn | Crnn,
    features: Features,
    standardize: Standardizer,
    compute: Compute,
    model_type: str,
    kept_clips: int,
) -> Predictions:
    """Run the model batch by batch, and keep the frame probabilities of the first `kept_clips` clips only."""
    clips, clipwise, framewise = [], [], []
    for batch, probabilities in predict_batches(model, features, standardize, compute):
        framewise.append(probabilities.framewise[: max(kept_clips - len(clips), 0)])
        clips += predicted_clips(batch.names, probabilities, post_processing_of(model_type))
        clipwise.append(probabilities.clipwise)
    return Predictions(clips, np.concatenate(clipwise), np.concatenate(framewise))


def draw_clips(folder: Path, validation: ValidationSet, predictions: Predictions) -> None:
    """Draw the figures of those clips whose frame probabilities were kept."""
    count = len(predictions.framewise)
    for index, framewise in enumerate(progress(predictions.framewise, "Drawing", count)):
        clip = predictions.clips[index]
        plot_clip(
            folder / f"{Path(clip.name).stem}.png",
            validation.features.logmel[index],
            validation.reference.clips[index],
            framewise,
            predictions.clipwise[index],
            clip,
        )
    logger.info(f"Figures of {count} clips in {folder}")


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

    inference = commands.add_parser(
        "inference_validation", help="checkpoint -> submission, scores and figures of the validation clips"
    )
    add_run_arguments(inference)
    inference.add_argument(
        "--iteration", type=command_line.positive_int, required=True, help="of the checkpoint to use"
    )
    add_weights_argument(inference)
    inference.add_argument(
        "--visualize",
        type=command_line.positive_int,
        nargs="?",
        const=config.visualized_clips,
        metavar="CLIPS",
        help=f"draw what the model heard in the first CLIPS clips; default {config.visualized_clips}",
    )
    inference.set_defaults(function=inference_validation)

    prediction = commands.add_parser(
        "predict",
        help="checkpoint and recordings of any length -> events",
        description=PREDICT_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_predict_arguments(prediction)
    prediction.set_defaults(function=predict)

    scoring = commands.add_parser("score", help="submission and reference -> scores")
    scoring.add_argument("--reference_csv", type=Path, required=True, help="table of the true events")
    scoring.add_argument("--submission_csv", type=Path, required=True, help="table of the predicted events")
    scoring.add_argument(
        "--durations_csv",
        type=Path,
        help="table of clip durations (filename, duration in s), at which segments end; without it they end "
        "with a clip's last event",
    )
    scoring.set_defaults(function=score)
    command_line.run(parser)


if __name__ == "__main__":
    main()
