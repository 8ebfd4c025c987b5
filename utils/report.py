"""Writes the results page of a workspace: one HTML file to look at scores and to listen to clips, offline.

It shows the results table, the training curves and the scores of each class of all runs; with --dataset_dir
also the errors of the best model, and a browser of validation clips with its events.
"""

import argparse
import sys
from pathlib import Path

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from utils import config
from utils.dataset.tables import read_strong_table
from utils.events.tuning import read_tuned
from utils.results.page import write_page
from utils.results.page_data import ClipReport, choose_model, make_clip_report, make_report, spread_over_f1
from utils.results.table import ScoredModel, read_evaluated_runs
from utils.scoring.event_errors import judge_clips
from utils.system import command_line
from utils.workspace.paths import STUDENT, TEACHER, Workspace

BYTES_PER_MEGABYTE = 1e6


def report_clips(workspace: Workspace, dataset_dir: Path, model: ScoredModel, count: int) -> ClipReport:
    """Judge the model's events in all validation clips, and look at `count` clips closely."""
    from pytorch.chosen_clips import probabilities_of_clips  # here, as torch is needed for nothing else
    from pytorch.evaluation import post_processing_of
    from pytorch.stage_inputs import open_annotated_clips

    run, iteration = model.results.run, model.record["iteration"]
    submission = read_strong_table(
        workspace.submission(run, iteration, model.weights, model.tuned), config.labels
    )
    with open_annotated_clips(workspace, dataset_dir, "validation", run.mini_data) as validation:
        judged = judge_clips(validation.reference.clips, submission)
        indexes = spread_over_f1(judged, count)
        probabilities = None
        if iteration in workspace.saved_iterations(run):
            probabilities = probabilities_of_clips(
                workspace, run, iteration, model.weights, validation.features, indexes
            )
        post_processing = post_processing_of(run.model_type)
        if model.tuned:
            path = workspace.tuned_post_processing(run, iteration, model.weights)
            post_processing = read_tuned(path, post_processing, "tune it again")
        return make_clip_report(
            judged, validation.features, dataset_dir, indexes, probabilities, post_processing
        )


def write_report(arguments: argparse.Namespace) -> None:
    """Write the results page, and print where it is."""
    workspace = Workspace(arguments.workspace)
    runs = read_evaluated_runs(workspace)
    model = choose_model(runs, arguments.run, arguments.weights)
    clips = None
    if arguments.dataset_dir is not None:
        clips = report_clips(workspace, arguments.dataset_dir, model, arguments.clips)
    report = make_report(workspace.root.resolve().name, runs, model, clips)
    path = arguments.output or workspace.report
    write_page(path, f"Results: {report.workspace}", report.to_json())
    if clips is None:
        print("Without --dataset_dir the page has no errors and no clips.")
    print(f"Results page: {path} ({path.stat().st_size / BYTES_PER_MEGABYTE:.1f} MB)")


def main() -> None:
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
        default=config.report_clips,
        help=f"clips to listen to, at most; default {config.report_clips}",
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
    parser.set_defaults(function=write_report)
    command_line.run(parser)


if __name__ == "__main__":
    main()
