"""Writes the results page of a workspace: one HTML file with scores and audible clips, for offline use.

It shows the results table, the training curves and the scores of each class of all runs; with --dataset_dir
also a browser of validation clips with the events and the errors of the best runs, one or two at a time.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from utils.audio.inputs import open_fresh_features
from utils.audio.logmel import frequency_ticks
from utils.config import SETTINGS
from utils.dataset.subsets import SUBSETS, VALIDATION
from utils.dataset.tables import Clip, read_strong_table
from utils.events.post_processing import PostProcessing
from utils.events.probabilities import Probabilities
from utils.results.choice import BEST, NAMES_OF_MODELS, find_models
from utils.results.page import write_page
from utils.results.page_clips import ClipReport, ShownModel, shown_clip, shown_model, spread_over_f1
from utils.results.page_data import make_report
from utils.results.runs import RunResults, read_evaluated_runs
from utils.results.scored_models import ScoredModel, best_first, best_model, scored_models
from utils.scoring.event_errors import JudgedClip, judge_clips
from utils.scoring.validation import read_reference
from utils.settings.groups import Settings
from utils.system import command_line
from utils.system.errors import SedError, one_line
from utils.system.files import file_digest
from utils.system.terminal import short_path
from utils.workspace.paths import Workspace

if TYPE_CHECKING:
    import numpy as np  # not before utils, which says in one line where packages are missing

BYTES_PER_MEGABYTE = 1e6


def run_model(
    model: ScoredModel, logmel: "np.ndarray", settings: Settings
) -> tuple[Probabilities, PostProcessing] | tuple[None, None]:
    """Return a model's probabilities of clips, and how they became events; None where it has no checkpoint.

    Parameters
    ----------
    model : ScoredModel
    logmel : np.ndarray, shape (clips, frames, mel_bins), dB
    settings : Settings
    """
    from pytorch.chosen_model import ChosenModel  # here, as torch is needed for nothing else
    from pytorch.compute import choose_compute

    checkpoint = model.results.paths.checkpoint(model.record["iteration"])
    if not checkpoint.is_file():
        return None, None
    chosen = ChosenModel(checkpoint, model.variant)
    compute = choose_compute(False, settings.defaults.precision)
    detector = chosen.load(compute, settings.loop.evaluation_batch_size)
    if detector.training_id != model.results.training_id:  # of an earlier training of the run
        return None, None
    return detector.probabilities(logmel), detector.post_processing


def judge_model(model: ScoredModel, reference: Sequence[Clip], settings: Settings) -> list[JudgedClip]:
    """Judge the events that a model has submitted in all validation clips.

    Raises
    ------
    SedError
        If the submission is not there, or is not the one that has the scores.
    """
    paths = model.results.paths
    submission_path = paths.submission(model.record["iteration"], model.variant)
    submission = read_strong_table(submission_path, settings.features.labels)
    digest = file_digest(submission_path)
    if model.scores.get("submission_digest", digest) != digest:
        raise SedError(
            f"{submission_path}: is not the submission that has the scores in the table; make it again with "
            "pytorch/inference.py inference_validation"
        )
    return judge_clips(
        reference,
        submission,
        onset_collar=settings.scoring.onset_collar,
        offset_collar_fraction=settings.scoring.offset_collar_fraction,
    )


def report_clips(
    workspace: Path,
    dataset_dir: Path,
    runs: list[RunResults],
    models: list[ScoredModel],
    settings: Settings,
    *,
    most_clips: int,
    most_models: int,
) -> ClipReport:
    """Put together the clips, and what the first model and the next ones found in them.

    A model of other features is left out, and so is one whose events are not there any more, with a line on
    standard error. Of the first model, both are errors.

    Parameters
    ----------
    workspace, dataset_dir : Path
    runs : list of RunResults
        All of the workspace.
    models : list of ScoredModel
        Those that can be shown, in this order.
    settings : Settings
    most_clips, most_models : int
        How many are shown, at most.
    """
    first = models[0].results
    features = first.features
    settings = replace(settings, features=features)
    place = Workspace(workspace, features.folder_name, first.run.mini_data)
    with open_fresh_features(place, dataset_dir, VALIDATION, settings) as stored:
        reference = read_reference(dataset_dir, VALIDATION, stored, features.labels).clips
        judged = judge_model(models[0], reference, settings)
        indexes = spread_over_f1(judged, most_clips)
        logmel = stored.logmel[indexes]

    def shown(model: ScoredModel, judged: list[JudgedClip]) -> ShownModel:
        number = runs.index(model.results) + 1
        return shown_model(model, number, judged, indexes, *run_model(model, logmel, settings))

    shown_models = [shown(models[0], judged)]
    for model in models[1:]:
        if len(shown_models) == most_models:
            break
        run, of_features = model.results.run, model.results.features
        if run.mini_data != first.run.mini_data or of_features != first.features:  # with other clips
            continue
        try:
            shown_models.append(shown(model, judge_model(model, reference, settings)))
        except SedError as error:
            print(f"left out of the clips: {one_line(error)}", file=sys.stderr)
    audio_folder = dataset_dir / SUBSETS[VALIDATION].audio_folder
    return ClipReport(
        dataset=dataset_dir.resolve().name,
        clips_judged=len(reference),
        labels=features.labels,
        onset_collar=settings.scoring.onset_collar,
        offset_collar_fraction=settings.scoring.offset_collar_fraction,
        clip_seconds=features.clip_seconds,
        frequency_ticks=frequency_ticks(features),
        clips=[
            shown_clip(reference[index], logmel[place], audio_folder, features)
            for place, index in enumerate(indexes)
        ],
        models=shown_models,
    )


def write_report(arguments: argparse.Namespace, settings: Settings) -> None:
    """Write the results page, and print its path."""
    workspace = Workspace(arguments.workspace)
    runs = read_evaluated_runs(workspace)
    first = best_model(find_models(runs, workspace, arguments.run))
    models = [first, *(model for model in best_first(scored_models(runs)) if model != first)]
    clips = None
    if arguments.dataset_dir is not None:
        clips = report_clips(
            workspace.root,
            arguments.dataset_dir,
            runs,
            models,
            settings,
            most_clips=arguments.clips,
            most_models=arguments.runs,
        )
    report = make_report(workspace.root.resolve().name, runs, models, clips, settings.scoring)
    path = arguments.output or workspace.report
    write_page(path, f"Results: {report.workspace}", asdict(report))
    if clips is None:
        print("Without --dataset_dir the page has no errors and no clips.")
    print(f"Results page: {short_path(path)} ({path.stat().st_size / BYTES_PER_MEGABYTE:.1f} MB)")


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
        "--runs",
        type=command_line.positive_int,
        metavar="COUNT",
        default=settings.defaults.report_runs,
        help="runs whose events the page can show, at most: the best ones, where the teacher's weights and "
        f"tuned thresholds count as runs of their own; default {settings.defaults.report_runs}",
    )
    parser.add_argument(
        "--run",
        default=BEST,
        help=f"the model that the verdict is on and that is shown first: {NAMES_OF_MODELS}; of a run "
        f"alone, its best; default {BEST}",
    )
    parser.set_defaults(function=partial(write_report, settings=settings))
    command_line.run(parser)


if __name__ == "__main__":
    main()
