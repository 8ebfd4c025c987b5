"""Writes the results page of a workspace: one HTML file with scores and audible clips, for offline use.

It shows the results table, the training curves and the scores of each class of all runs; with --dataset_dir
also the errors of the best model, and a browser of validation clips with its events.
"""

import argparse
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from utils.audio.inputs import open_fresh_features
from utils.config import SETTINGS
from utils.dataset.subsets import SUBSETS
from utils.dataset.tables import read_strong_table
from utils.events.post_processing import PostProcessing
from utils.events.probabilities import Probabilities
from utils.results.page import write_page
from utils.results.page_data import ClipReport, choose_model, make_clip_report, make_report, spread_over_f1
from utils.results.statistics import first_difference
from utils.results.table import ScoredModel, read_evaluated_runs
from utils.scoring.event_errors import judge_clips
from utils.scoring.validation import read_reference
from utils.settings.groups import Settings
from utils.settings.overrides import read_overrides
from utils.system import command_line
from utils.system.errors import SedError
from utils.system.files import file_digest
from utils.workspace.paths import Workspace
from utils.workspace.run import STUDENT, TEACHER

BYTES_PER_MEGABYTE = 1e6


def run_model(
    model: ScoredModel, logmel: np.ndarray, settings: Settings
) -> tuple[Probabilities | None, PostProcessing]:
    """Return a model's probabilities of clips, and how they became events.

    Parameters
    ----------
    model : ScoredModel
    logmel : np.ndarray, shape (clips, frames, mel_bins), dB
    settings : Settings

    Returns
    -------
    probabilities : Probabilities or None
        None where the model has no checkpoint any more.
    post_processing : PostProcessing
        Of each class; empty without a checkpoint.
    """
    from pytorch.compute import choose_compute  # here, as torch is needed for nothing else
    from pytorch.detector import load_detector, tuned_post_processing

    checkpoint = model.results.paths.checkpoint(model.record["iteration"])
    if not checkpoint.is_file():
        return None, ()
    detector = load_detector(
        checkpoint,
        model.weights,
        choose_compute(False, settings.defaults.precision),
        batch_size=settings.loop.evaluation_batch_size,
        event_values=read_overrides(),
    )
    if detector.start != model.results.start:  # of an earlier training of the run
        return None, ()
    post_processing = detector.post_processing
    if model.tuned:
        post_processing = tuned_post_processing(detector, checkpoint, model.weights)
    return detector.probabilities(logmel), post_processing


def report_clips(
    workspace: Path, dataset_dir: Path, model: ScoredModel, count: int, settings: Settings
) -> ClipReport:
    """Judge a model's events in all validation clips, and put together what is shown of `count` clips."""
    run, paths, features = model.results.run, model.results.paths, settings.features
    if difference := first_difference(asdict(model.results.features), asdict(features)):
        raise SedError(
            f"{paths.settings}: the run shown was trained with {difference}; set it back, or choose "
            "another --run"
        )
    submission_path = paths.submission(model.record["iteration"], model.weights, model.tuned)
    submission = read_strong_table(submission_path, features.labels)
    digest = file_digest(submission_path)
    if model.scores.get("submission_digest", digest) != digest:
        raise SedError(
            f"{submission_path}: is not the submission that has the scores in the table; make it again with "
            "pytorch/inference.py inference_validation"
        )
    place = Workspace(workspace, features.folder_name, run.mini_data)
    with open_fresh_features(place, dataset_dir, "validation", settings) as clips:
        reference = read_reference(dataset_dir, "validation", clips, features.labels)
        judged = judge_clips(
            reference.clips,
            submission,
            onset_collar=settings.scoring.onset_collar,
            offset_collar_fraction=settings.scoring.offset_collar_fraction,
        )
        indexes = spread_over_f1(judged, count)
        logmel = clips.logmel[indexes]
    return make_clip_report(
        judged,
        indexes,
        logmel,
        dataset_dir / SUBSETS["validation"].audio_folder,
        *run_model(model, logmel, settings),
        features=features,
        scoring=settings.scoring,
    )


def write_report(arguments: argparse.Namespace, settings: Settings) -> None:
    """Write the results page, and print its path."""
    workspace = Workspace(arguments.workspace, settings.features.folder_name)
    runs = read_evaluated_runs(workspace)
    model = choose_model(runs, arguments.run, arguments.weights)
    clips = None
    if arguments.dataset_dir is not None:
        clips = report_clips(workspace.root, arguments.dataset_dir, model, arguments.clips, settings)
    report = make_report(workspace.root.resolve().name, runs, model, clips, settings.scoring)
    path = arguments.output or workspace.report
    write_page(path, f"Results: {report.workspace}", asdict(report))
    if clips is None:
        print("Without --dataset_dir the page has no errors and no clips.")
    print(f"Results page: {path} ({path.stat().st_size / BYTES_PER_MEGABYTE:.1f} MB)")


def main() -> None:
    settings = SETTINGS
    parser = command_line.new_parser(
        __doc__,
        example="python utils/report.py --workspace workspace/demo --dataset_dir demo_dataset --clips 20",
    )
    command_line.add_workspace(parser)
    parser.add_argument(
        "--dataset_dir",
        type=Path,
        help="folder of the data set; without it the page has no errors and no clips",
    )
    parser.add_argument("--output", type=Path, help="the HTML file; default report.html in the workspace")
    parser.add_argument(
        "--clips",
        type=command_line.positive_int,
        default=settings.defaults.report_clips,
        help=f"clips in the browser, at most; default {settings.defaults.report_clips}",
    )
    parser.add_argument(
        "--run",
        type=command_line.positive_int,
        metavar="NUMBER",
        help="run whose errors and clips are shown, as numbered in the page; default: the best one",
    )
    parser.add_argument(
        "--weights", choices=(STUDENT, TEACHER), help="whose events are shown; default: the better ones"
    )
    parser.set_defaults(function=partial(write_report, settings=settings))
    command_line.run(parser)


if __name__ == "__main__":
    main()
