"""Detects events with a trained model, in validation clips or any recordings; tunes and scores its events."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from pytorch.chosen_model import add_model_arguments, prepare_prediction
from pytorch.compute import choose_compute
from pytorch.detector import StoredDetector, load_detector, tuned_post_processing
from pytorch.predict import PREDICT_DESCRIPTION, add_predict_arguments, predict
from pytorch.stage_arguments import (
    TUNING_DATA_TYPES,
    add_checkpoint_arguments,
    add_run_arguments,
    run_of,
    tuning_data_type,
    workspace_of,
)
from pytorch.training_data import describe_count
from utils.audio.inputs import open_fresh_features
from utils.audio.reading import clip_duration
from utils.config import SETTINGS
from utils.dataset.subsets import SUBSETS
from utils.dataset.tables import Clip, read_durations, read_strong_table
from utils.events.post_processing import predicted_clips
from utils.events.probabilities import Probabilities
from utils.events.tuning import tune, write_tuned
from utils.results.statistics import append_record, validation_key
from utils.scoring.bootstrap import (
    Resampled,
    ResampledScores,
    fingerprint,
    resample_clips,
    resample_detection,
)
from utils.scoring.psds import ClipScores, PsdsScores, frame_scores, scores_of_clips
from utils.scoring.psds_bootstrap import score_and_resample_psds
from utils.scoring.score_files import ranked, read_scores, write_scores
from utils.scoring.sed_eval_scores import score_events
from utils.scoring.text import (
    classes_table,
    describe_absent,
    explain_scores,
    scores_table,
    tuned_table,
)
from utils.scoring.validation import ValidationSet, read_reference, score_submission
from utils.settings.group import differing
from utils.settings.groups import ScoringSettings, Settings
from utils.settings.overrides import read_overrides
from utils.system import command_line
from utils.system.errors import SedError
from utils.system.log import logger, start_logging
from utils.system.memory import keep_freed_memory
from utils.system.progress import progress
from utils.system.terminal import short_path
from utils.system.words import counted
from utils.workspace.paths import RunPaths, tuned_beside


def inference_validation(arguments: argparse.Namespace) -> None:
    """Write the submission of a checkpoint, score it, and draw what was detected."""
    settings = SETTINGS
    run, workspace = run_of(arguments, settings), workspace_of(arguments, settings)
    paths, weights = workspace.run_paths(run), arguments.weights
    detector = detector_of_run(arguments, settings, paths, "inference")
    post_processing = detector.post_processing
    if arguments.tuned:
        post_processing = tuned_post_processing(detector, paths.checkpoint(arguments.iteration), weights)
    with open_annotated_clips(arguments, settings, "validation") as validation:
        features, reference = validation.features, validation.reference
        logger.info(f"Validation clips: {describe_count(features)}")
        if run.holdout_fold == "none":
            logger.info("The model was trained on these clips too: the scores say nothing about other clips.")
        probabilities = detector.probabilities(features.logmel)
        submission = predicted_clips(
            features.names,
            probabilities,
            labels=detector.labels,
            post_processing=post_processing,
            frames_per_second=detector.features.frames_per_second,
        )
        submission_path = paths.submission(arguments.iteration, weights, arguments.tuned)
        scores = score_submission(
            submission,
            probabilities.clipwise,
            reference,
            submission_path,
            labels=detector.labels,
            scoring=settings.scoring,
        )
        audio_folder = arguments.dataset_dir / SUBSETS["validation"].audio_folder
        frames_per_second = detector.features.frames_per_second
        frames = frame_scores(probabilities, post_processing, frames_per_second=frames_per_second)
        scored = (audio_folder, reference.clips, frames, probabilities.edges / frames_per_second, detector)
        draws = resample_clips(len(reference.clips), settings.scoring)
        psds, resampled_psds = psds_of(*scored, settings.scoring, draws)
        resampled = ResampledScores(
            detector.start,
            fingerprint(reference.clips),
            settings.scoring,
            resample_detection(scores.detection, draws) | resampled_psds,
        )
        resampled.write(paths.resampled_scores(arguments.iteration, weights, arguments.tuned))
        for line in [
            *scores_table(resampled, scores.detection, scores.mean_average_precision),
            *describe_absent(reference.weak_target, detector.labels, "clip"),
            "",
            *classes_table(scores.detection),
            "",
            *explain_scores(settings.scoring),
            f"Submission: {short_path(submission_path)}",
        ]:
            logger.info(line)
        statistics = scores.to_json() | psds | {"bootstrap": resampled.to_json()}
        record = {
            "iteration": arguments.iteration,
            "start": detector.start,
            validation_key(weights, arguments.tuned): statistics,
        }
        append_record(paths.inference_statistics, record)
        if arguments.probabilities:
            folder = paths.probabilities(arguments.iteration, weights, arguments.tuned)
            write_scores(folder, features.names, clip_scores(*scored)[0], detector.labels)
            logger.info(f"Probabilities: {short_path(folder)}")
        if arguments.visualize:
            folder = paths.clip_figures(arguments.iteration, weights, arguments.tuned)
            draw_clips(folder, validation, probabilities, submission[: arguments.visualize], detector)


def detector_of_run(
    arguments: argparse.Namespace, settings: Settings, paths: RunPaths, command: str
) -> StoredDetector:
    """Load the detector that the command line tells, and start the log of the command.

    Raises
    ------
    SedError
        If that iteration was never saved, or the feature settings are not those of the detector.
    """
    path = paths.checkpoint(arguments.iteration)
    if not path.is_file():
        saved = ", ".join(map(str, paths.saved_iterations())) or "none"
        raise SedError(
            f"{path}: iteration {arguments.iteration} was never saved; the saved ones are: {saved}"
        )
    keep_freed_memory()
    detector = load_detector(
        path,
        arguments.weights,
        choose_compute(arguments.cuda, arguments.precision),
        batch_size=settings.loop.evaluation_batch_size,
        event_values=read_overrides(),
    )
    for name in differing(detector.features, settings.features):
        value, now = getattr(detector.features, name), getattr(settings.features, name)
        raise SedError(
            f"{path}: was trained with {name} = {value}, and now it is {now}; set it back, or train again"
        )
    start_logging(paths.new_log(command))
    for name in differing(detector.events, settings.events):
        value = getattr(detector.events, name)
        logger.info(f"{name} is {value}, as in the checkpoint; name it in a SED_CONFIG file to replace it")
    return detector


@contextmanager
def open_annotated_clips(
    arguments: argparse.Namespace, settings: Settings, data_type: str
) -> Iterator[ValidationSet]:
    """Open the features of a subset with events, which stay in their file, and read its annotation."""
    workspace = workspace_of(arguments, settings)
    with open_fresh_features(workspace, arguments.dataset_dir, data_type, settings) as features:
        labels = settings.features.labels
        yield ValidationSet(features, read_reference(arguments.dataset_dir, data_type, features, labels))


def clip_scores(
    audio_folder: Path,
    reference: list[Clip],
    frames: np.ndarray,
    edges_seconds: np.ndarray,
    detector: StoredDetector,
) -> tuple[list[ClipScores], list[float]]:
    """Return what `frame_scores` gave clip by clip, as far as each recording goes, and their durations in s.

    Raises
    ------
    SedError
        If a recording is not there.
    """
    longest = detector.features.clip_seconds
    durations = [clip_duration(audio_folder / clip.name, longest) for clip in reference]
    return scores_of_clips(frames, edges_seconds, durations), durations


def psds_of(
    audio_folder: Path,
    reference: list[Clip],
    frames: np.ndarray,
    edges_seconds: np.ndarray,
    detector: StoredDetector,
    scoring: ScoringSettings,
    draws: np.ndarray,
) -> tuple[dict[str, Any], dict[str, Resampled]]:
    """Return PSDS1 and PSDS2, for the statistics and of each draw of the clips.

    Where they cannot be computed, the log says why.
    """
    try:
        of_clips, durations = clip_scores(audio_folder, reference, frames, edges_seconds, detector)
        resampled = score_and_resample_psds(
            reference, of_clips, labels=detector.labels, scoring=scoring, durations=durations, draws=draws
        )
    except SedError as error:
        logger.info(f"Without PSDS: {error}")
        return {}, {}
    scores = PsdsScores(*(of_scenario.score for of_scenario in resampled.values()))
    return {"psds": scores.to_json()}, resampled


def draw_clips(
    folder: Path,
    validation: ValidationSet,
    probabilities: Probabilities,
    clips: list[Clip],
    detector: StoredDetector,
) -> None:
    """Draw the first clips with their detected events."""
    from utils.results.figures import plot_clip  # here, as matplotlib takes half a second to import

    for index, clip in enumerate(progress(clips, "Drawing", len(clips))):
        plot_clip(
            folder / f"{Path(clip.name).stem}.png",
            validation.features.logmel[index],
            validation.reference.clips[index],
            probabilities[index],
            clip,
            features=detector.features,
        )
    logger.info(f"Figures of {counted(len(clips), 'clip')}: {short_path(folder)}")


def tune_post_processing(arguments: argparse.Namespace) -> None:
    """Choose the post-processing of each class on training clips, and save it beside the checkpoint."""
    settings = SETTINGS
    run, workspace = run_of(arguments, settings), workspace_of(arguments, settings)
    paths = workspace.run_paths(run)
    detector = detector_of_run(arguments, settings, paths, "tune")
    with open_annotated_clips(arguments, settings, arguments.tune_on) as clips:
        logger.info(f"Tuning clips: {describe_count(clips.features)} of {arguments.tune_on}")
        if arguments.tune_on in run.data_types:
            logger.info("The model was trained on these clips: its probabilities are too good there.")
        probabilities = detector.probabilities(clips.features.logmel)
    tuned = tune(
        clips.reference.clips,
        probabilities,
        labels=detector.labels,
        before=detector.post_processing,
        frames_per_second=detector.features.frames_per_second,
        tuning=settings.tuning,
        scoring=settings.scoring,
    )
    for line in tuned_table(tuned):
        logger.info(line)
    path = tuned_beside(paths.checkpoint(arguments.iteration), arguments.weights)
    write_tuned(path, tuned, arguments.tune_on, detector.start)
    logger.info(f"Used by inference_validation --tuned: {short_path(path)}")


def score(arguments: argparse.Namespace) -> None:
    """Score any submission, scores of any system, or both, against a reference, and print what comes out."""
    start_logging()
    settings = SETTINGS
    labels, scoring = settings.features.labels, settings.scoring
    if arguments.submission_csv is None and arguments.scores_dir is None:
        raise SedError("there is nothing to score; give --submission_csv, --scores_dir, or both")
    reference = read_strong_table(arguments.reference_csv, labels, names_with_folders=True)
    submission = []
    if arguments.submission_csv is not None:
        submission = read_strong_table(arguments.submission_csv, labels, names_with_folders=True)
    durations = read_durations(arguments.durations_csv) if arguments.durations_csv else None
    check_clips(arguments, reference, submission, durations, scoring.onset_collar)
    draws, resampled = resample_clips(len(reference), scoring), {}
    scores = None
    if arguments.submission_csv is not None:
        scores = score_events(reference, submission, labels=labels, scoring=scoring, durations=durations)
        logger.info(
            f"{scores.clips} clips, {count_events(reference)} events in the reference, "
            f"{count_events(submission)} in the submission"
        )
        resampled = resample_detection(scores, draws)
    if arguments.scores_dir is not None:
        resampled |= score_files(arguments.scores_dir, reference, labels, scoring, durations, draws)
    lines = scores_table(ResampledScores("", fingerprint(reference), scoring, resampled), scores)
    if scores is not None:
        lines += ["", *classes_table(scores), "", *explain_scores(scoring)]
    for line in lines:
        logger.info(line)


def score_files(
    folder: Path,
    reference: list[Clip],
    labels: Sequence[str],
    scoring: ScoringSettings,
    durations: dict[str, float] | None,
    draws: np.ndarray,
) -> dict[str, Resampled]:
    """Compute PSDS1 and PSDS2 of the scores in a folder; without `durations`, clips end with their scores."""
    of_clips = ranked(read_scores(folder, [clip.name for clip in reference], labels))
    ends = [float(clip.edges_seconds[-1]) for clip in of_clips]
    if durations is not None:
        ends = [durations[clip.name] for clip in reference]
        for clip, of_clip, end in zip(reference, of_clips, ends, strict=True):
            if end <= of_clip.edges_seconds[0]:
                raise SedError(
                    f"{clip.name}: its scores begin where it ends, after {end} s; correct its duration"
                )
        of_clips = [clip.until(end) for clip, end in zip(of_clips, ends, strict=True)]
    return score_and_resample_psds(
        reference, of_clips, labels=labels, scoring=scoring, durations=ends, draws=draws
    )


def count_events(clips: list[Clip]) -> int:
    """Return the number of events in all clips."""
    return sum(len(clip.events or ()) for clip in clips)


def check_clips(
    arguments: argparse.Namespace,
    reference: list[Clip],
    submission: list[Clip],
    durations: dict[str, float] | None,
    tolerance: float,
) -> None:
    """Refuse tables that do not fit together; mention predictions that cannot count.

    An event may begin at most `tolerance` seconds after its recording ends, as tables hold rounded times.
    """
    if not reference:
        raise SedError(f"{arguments.reference_csv}: lists no clips, so there is nothing to score against")
    names = {clip.name for clip in reference}
    if durations is not None:
        without = sorted(names - durations.keys())
        if without:
            raise SedError(f"{arguments.durations_csv}: no duration of {without[0]} ({len(without)} clips)")
        for path, clips in ((arguments.reference_csv, reference), (arguments.submission_csv, submission)):
            for clip in clips:
                onset = max((event.onset for event in clip.events or ()), default=0.0)
                end = durations.get(clip.name, onset)
                if onset > end + tolerance:
                    raise SedError(
                        f"{path}: an event of {clip.name} begins at {onset:g} s, after its duration of "
                        f"{end:g} s in {arguments.durations_csv}; correct one of the tables"
                    )
    strangers = [clip for clip in submission if clip.name not in names]
    if strangers:
        logger.info(
            f"Left out: {count_events(strangers)} predicted events of {len(strangers)} clips that the "
            f"reference does not list, such as {strangers[0].name}"
        )


def main() -> None:
    defaults = SETTINGS.defaults
    parser = command_line.new_parser(__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    inference = command_line.add_command(
        commands,
        "inference_validation",
        inference_validation,
        summary="checkpoint -> submission, scores and figures of the validation clips",
        example="python pytorch/inference.py inference_validation --dataset_dir demo_dataset "
        "--workspace workspace/stages --data_type train_weak --holdout_fold 1 --batch_size 8 --iteration 20",
    )
    add_run_arguments(inference, defaults)
    add_checkpoint_arguments(inference)
    inference.add_argument(
        "--tuned",
        action="store_true",
        help="use the post-processing that tune has chosen; without it, that of the checkpoint",
    )
    inference.add_argument(
        "--probabilities",
        action="store_true",
        help="write what PSDS puts its thresholds on beside the submission: a TSV for each clip, in the "
        "format of sed_scores_eval",
    )
    inference.add_argument(
        "--visualize",
        type=command_line.positive_int,
        nargs="?",
        const=defaults.visualized_clips,
        metavar="CLIPS",
        help=f"draw the first CLIPS clips with their detected events ({defaults.visualized_clips} where no "
        "number is given); without it nothing is drawn",
    )

    tuning = command_line.add_command(
        commands,
        "tune",
        tune_post_processing,
        summary="checkpoint -> post-processing of each class with the best event F1 on training clips",
        example="python pytorch/inference.py tune --dataset_dir demo_dataset --workspace workspace/stages "
        "--data_type train_weak --holdout_fold 1 --batch_size 8 --iteration 20 --tune_on train_synthetic",
    )
    add_run_arguments(tuning, defaults)
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
        lambda arguments: predict(prepare_prediction(arguments)),
        summary="checkpoint and recordings of any length -> events",
        description=PREDICT_DESCRIPTION,
        example="python pytorch/inference.py predict --checkpoint_path md_5000_iters.pth recordings a.mp3 "
        "--output_dir events --format csv,audacity",
    )
    add_predict_arguments(prediction, defaults)
    add_model_arguments(prediction)

    scoring = command_line.add_command(
        commands,
        "score",
        score,
        summary="submission or score files, and reference -> scores",
        example="python pytorch/inference.py score --submission_csv events/events.csv "
        "--reference_csv demo_dataset/metadata/validation/validation.csv",
    )
    scoring.add_argument(
        "--reference_csv", type=Path, required=True, help="table of the reference events (s)"
    )
    scoring.add_argument("--submission_csv", type=Path, help="table of the predicted events (s)")
    scoring.add_argument(
        "--scores_dir",
        type=Path,
        help="folder of score files in the format of sed_scores_eval: a TSV for each clip with onset, offset "
        "(s) and a column for each class; gives PSDS1 and PSDS2",
    )
    scoring.add_argument(
        "--durations_csv",
        type=Path,
        help="table of clip durations (filename, duration in s), at which segments and scores end; without "
        "it segments end with a clip's last event",
    )
    command_line.run(parser)


if __name__ == "__main__":
    main()
