"""The `inference_validation` command: a checkpoint of a run -> submission, scores and figures."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pytorch.chosen_model import detector_of_run
from pytorch.detector import StoredDetector
from pytorch.stage_arguments import add_checkpoint_arguments, add_run_arguments, run_of, workspace_of
from pytorch.training_data import describe_count
from utils.audio.reading import clip_duration
from utils.config import SETTINGS
from utils.dataset.subsets import SUBSETS, VALIDATION
from utils.dataset.tables import Clip
from utils.events.probabilities import Probabilities
from utils.results.statistics import append_record
from utils.scoring.bootstrap import (
    MEAN_AVERAGE_PRECISION,
    Resampled,
    ResampledScores,
    fingerprint,
    resample_clips,
    resample_detection,
    resample_mean_average_precision,
)
from utils.scoring.psds import ClipScores, scores_of_clips
from utils.scoring.psds_bootstrap import score_and_resample_psds
from utils.scoring.score_files import write_scores
from utils.scoring.text import classes_table, describe_absent, explain_scores, scores_table
from utils.scoring.validation import ValidationScores, ValidationSet, open_validation_set, score_submission
from utils.settings.groups import CommandDefaults, ScoringSettings
from utils.system.command_line import positive_int
from utils.system.errors import SedError
from utils.system.log import logger
from utils.system.progress import progress
from utils.system.terminal import short_path
from utils.system.words import counted
from utils.workspace.run import Variant


def add_validate_arguments(parser: argparse.ArgumentParser, defaults: CommandDefaults) -> None:
    """Add the arguments of the command."""
    add_run_arguments(parser, defaults)
    add_checkpoint_arguments(parser)
    parser.add_argument(
        "--tuned",
        action="store_true",
        help="use the post-processing that tune has chosen; without it, that of the checkpoint",
    )
    parser.add_argument(
        "--probabilities",
        action="store_true",
        help="write what PSDS puts its thresholds on beside the submission: a TSV for each clip, in the "
        "format of sed_scores_eval",
    )
    parser.add_argument(
        "--visualize",
        type=positive_int,
        nargs="?",
        const=defaults.visualized_clips,
        metavar="CLIPS",
        help=f"draw the first CLIPS clips with their detected events ({defaults.visualized_clips} where no "
        "number is given); without it nothing is drawn",
    )


@dataclass(frozen=True)
class Detected:
    """What a detector found in validation clips.

    Attributes
    ----------
    probabilities : Probabilities
    submission : list of Clip
        With the detected events.
    frame_scores : np.ndarray, shape (clips, outputs, classes)
        What PSDS puts its thresholds on.
    edges_seconds : np.ndarray, shape (outputs + 1,)
        When the outputs begin, and when the last one ends.
    """

    probabilities: Probabilities
    submission: list[Clip]
    frame_scores: np.ndarray
    edges_seconds: np.ndarray


def validate(arguments: argparse.Namespace) -> None:
    """Write the submission of a checkpoint, score it, and draw what was detected."""
    settings = SETTINGS
    run, workspace = run_of(arguments, settings), workspace_of(arguments, settings)
    paths, scoring = workspace.run_paths(run), settings.scoring
    variant = Variant(arguments.weights, arguments.tuned)
    of_model = (arguments.iteration, variant)
    detector = detector_of_run(arguments, settings, paths, "inference", variant)
    with open_validation_set(workspace, arguments.dataset_dir, VALIDATION, settings) as validation:
        logger.info(f"Validation clips: {describe_count(validation.features)}")
        if run.holdout_fold == "none":
            logger.info("The model was trained on these clips too: the scores say nothing about other clips.")
        found = detect(detector, validation)
        scores = score_submission(
            found.submission,
            found.probabilities.clipwise,
            validation.reference,
            paths.submission(*of_model),
            labels=detector.labels,
            scoring=scoring,
        )
        audio_folder = arguments.dataset_dir / SUBSETS[VALIDATION].audio_folder
        resampled = resample(detector, found, validation, scores, scoring, audio_folder)
        resampled.write(paths.resampled_scores(*of_model))
        for line in [
            *scores_table(resampled, scores.detection),
            *describe_absent(validation.reference.weak_target, detector.labels, "clip"),
            "",
            *classes_table(scores.detection),
            "",
            *explain_scores(scoring),
            f"Submission: {short_path(paths.submission(*of_model))}",
        ]:
            logger.info(line)
        statistics = scores.to_json() | resampled.psds_to_json() | {"bootstrap": resampled.to_json()}
        record = {"iteration": arguments.iteration, "training_id": detector.training_id}
        record[variant.scores_key] = statistics
        append_record(paths.inference_statistics, record)
        if arguments.probabilities:
            folder = paths.probabilities(*of_model)
            of_clips, _ = clip_scores(detector, found, validation, audio_folder)
            write_scores(folder, validation.features.names, of_clips, detector.labels)
            logger.info(f"Probabilities: {short_path(folder)}")
        if arguments.visualize:
            draw_clips(paths.clip_figures(*of_model), validation, found, arguments.visualize, detector)


def detect(detector: StoredDetector, validation: ValidationSet) -> Detected:
    """Run the detector over the clips."""
    probabilities = detector.probabilities(validation.features.logmel)
    post_processing = detector.post_processing
    return Detected(
        probabilities,
        post_processing.submission(validation.features.names, probabilities),
        post_processing.frame_scores(probabilities),
        probabilities.edges / post_processing.frames_per_second,
    )


def clip_scores(
    detector: StoredDetector, found: Detected, validation: ValidationSet, audio_folder: Path
) -> tuple[list[ClipScores], list[float]]:
    """Return the frame scores clip by clip, as far as each recording goes, and their durations in s.

    Raises
    ------
    SedError
        If a recording is not there.
    """
    longest = detector.features.clip_seconds
    durations = [clip_duration(audio_folder / clip.name, longest) for clip in validation.reference.clips]
    return scores_of_clips(found.frame_scores, found.edges_seconds, durations), durations


def resample(
    detector: StoredDetector,
    found: Detected,
    validation: ValidationSet,
    scores: ValidationScores,
    scoring: ScoringSettings,
    audio_folder: Path,
) -> ResampledScores:
    """Return all scores, of all clips and of draws of them; without PSDS, the log says why."""
    reference = validation.reference.clips
    draws = resample_clips(len(reference), scoring)
    of_psds: dict[str, Resampled] = {}
    try:
        of_clips, durations = clip_scores(detector, found, validation, audio_folder)
        of_psds = score_and_resample_psds(
            reference, of_clips, labels=detector.labels, scoring=scoring, durations=durations, draws=draws
        )
    except SedError as error:
        logger.info(f"Without PSDS: {error}")
    of_tags = resample_mean_average_precision(
        validation.reference.weak_target, found.probabilities.clipwise, draws
    )
    resampled = {MEAN_AVERAGE_PRECISION: Resampled(scores.mean_average_precision, of_tags)}
    resampled |= resample_detection(scores.detection, draws) | of_psds
    return ResampledScores(detector.training_id, fingerprint(reference), scoring, resampled)


def draw_clips(
    folder: Path, validation: ValidationSet, found: Detected, count: int, detector: StoredDetector
) -> None:
    """Draw the first clips with their detected events."""
    from utils.results.figures import plot_clip  # here, as matplotlib takes half a second to import

    clips = found.submission[:count]
    for index, clip in enumerate(progress(clips, "Drawing", len(clips))):
        plot_clip(
            folder / f"{clip.name}.png",
            validation.features.logmel[index],
            validation.reference.clips[index],
            found.probabilities[index],
            clip,
            features=detector.features,
        )
    logger.info(f"Figures of {counted(len(clips), 'clip')}: {short_path(folder)}")
