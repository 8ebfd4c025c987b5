"""Shows the results of a workspace: the table of its runs, two runs compared, the training curves."""

import argparse
import sys
from pathlib import Path

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from utils.config import SETTINGS
from utils.dataset.tables import write_table
from utils.results.choice import (
    BEST,
    NAMES_OF_MODELS,
    checkpoint_of,
    find_group,
    find_models,
    predict_command,
)
from utils.results.comparison import comparison_lines
from utils.results.figures import plot_scores_over_time, plot_training_curves
from utils.results.runs import read_evaluated_runs
from utils.results.scored_models import EVENT_F1
from utils.results.table import rows_for_programs
from utils.results.table_text import table_lines
from utils.scoring.text import percent
from utils.system import command_line
from utils.system.errors import SedError, one_line
from utils.system.terminal import short_path
from utils.workspace.paths import Workspace


def print_table(arguments: argparse.Namespace) -> None:
    """Print the results table, and write that of single runs to a file."""
    workspace = Workspace(arguments.workspace)
    runs, scoring = read_evaluated_runs(workspace), SETTINGS.scoring
    for line in table_lines(runs, scoring, single_runs=arguments.single_runs):
        print(line)
    for_programs = rows_for_programs(runs, scoring)
    try:
        write_table(workspace.results_table, for_programs[0], for_programs[1:])
        print(f"Each run with all scores, also micro F1: {short_path(workspace.results_table)}")
    except SedError as error:  # as on a full disk, which need not keep anyone from reading the table
        print(f"The table is only printed: {one_line(error)}", file=sys.stderr)


def print_comparison(arguments: argparse.Namespace) -> None:
    """Print the scores of two models, or of their means over seeds, and the differences with intervals."""
    workspace = Workspace(arguments.workspace)
    runs = read_evaluated_runs(workspace)
    first, second = (find_group(runs, workspace, name) for name in arguments.runs)
    for line in comparison_lines(first, second):
        print(line)


def draw_training_curves(arguments: argparse.Namespace) -> None:
    """Draw the training curves of all runs into one figure."""
    workspace = Workspace(arguments.workspace)
    plot_training_curves(workspace.training_curves, read_evaluated_runs(workspace), SETTINGS.scoring)
    print(f"Training curves: {short_path(workspace.training_curves)}")


def draw_scores_over_time(arguments: argparse.Namespace) -> None:
    """Draw what the runs reach within which time of training."""
    workspace = Workspace(arguments.workspace)
    plot_scores_over_time(workspace.scores_over_time, read_evaluated_runs(workspace), SETTINGS.scoring)
    print(f"Event F1 over time: {short_path(workspace.scores_over_time)}")


def show_best_model(arguments: argparse.Namespace) -> None:
    """Print the best model, its checkpoint, how to use it, and where the results page is, if there is one."""
    workspace = Workspace(arguments.workspace)
    (model,) = find_models(read_evaluated_runs(workspace), workspace, BEST)
    event_f1 = model.score(EVENT_F1)
    advice = ": it detects no event correctly yet, train for more iterations" * (event_f1 == 0)
    print(f"Best model: {model.title}, event F1 {percent(event_f1)} %{advice}")
    print(f"Checkpoint: {short_path(checkpoint_of(model))}")
    print(f"Detect events with: {predict_command(arguments.workspace)}")
    if workspace.report.is_file():
        print(f"Results page: {short_path(workspace.report)}")


def main() -> None:
    parser = command_line.new_parser(__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, function, help_text in (
        ("table", print_table, "print the results table"),
        ("best", show_best_model, "print the best model, its checkpoint and the command that uses it"),
        ("training_curves", draw_training_curves, "draw the training curves of all runs (PNG)"),
        ("time", draw_scores_over_time, "draw event F1 of all runs over the minutes of training (PNG)"),
    ):
        example = f"python utils/plot_results.py {name} --workspace workspace/demo"
        command = command_line.add_command(commands, name, function, summary=help_text, example=example)
        command_line.add_workspace(command)
        if function is print_table:
            command.add_argument(
                "--single_runs",
                action="store_true",
                help="a row for each run, also of runs that differ only in their seed",
            )
    comparison = command_line.add_command(
        commands,
        "compare",
        print_comparison,
        summary="compare two runs, or two means over seeds, on the same clips, with intervals",
        example="python utils/plot_results.py compare --workspace workspace/demo 1 2:tuned",
    )
    command_line.add_workspace(comparison)
    comparison.add_argument(
        "runs",
        nargs=2,
        metavar="RUN",
        help=f"{NAMES_OF_MODELS}; without one of these, the student, not tuned; numbers such as 1-3 or 1,4 "
        "name runs that differ only in their seed",
    )
    command_line.run(parser)


if __name__ == "__main__":
    main()
