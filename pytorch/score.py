"""The `score` command: any system's submission or score files, and a reference -> scores."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from utils.config import SETTINGS
from utils.dataset.tables import Clip, read_durations, read_strong_table
from utils.scoring.bootstrap import (
    Resampled,
    ResampledScores,
    fingerprint,
    resample_clips,
    resample_detection,
)
from utils.scoring.psds_bootstrap import score_and_resample_psds
from utils.scoring.score_files import ranked, read_scores
from utils.scoring.sed_eval_scores import score_events
from utils.scoring.text import classes_table, explain_scores, scores_table
from utils.settings.groups import ScoringSettings
from utils.system.errors import SedError
from utils.system.log import logger, start_logging
from utils.system.words import counted


def add_score_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--reference_csv", type=Path, required=True, help="table of the reference events (s)")
    parser.add_argument("--submission_csv", type=Path, help="table of the predicted events (s)")
    parser.add_argument(
        "--scores_dir",
        type=Path,
        help="folder of score files in the format of sed_scores_eval: a TSV for each clip with onset, offset "
        "(s) and a column for each class; gives PSDS1 and PSDS2",
    )
    parser.add_argument(
        "--durations_csv",
        type=Path,
        help="table of clip durations (filename, duration in s), at which segments and scores end; without "
        "it segments end with a clip's last event",
    )


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
            raise SedError(
                f"{arguments.durations_csv}: has no duration of {without[0]} "
                f"({counted(len(without), 'clip')} without); add what is missing"
            )
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
