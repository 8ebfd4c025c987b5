"""Checks the tables of a data set: what they list, and which of the recordings are there."""

import argparse
import sys
from pathlib import Path

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from utils.dataset.check import print_report
from utils.settings.current import current_settings
from utils.system import command_line


def check_command(arguments: argparse.Namespace) -> None:
    features = current_settings().features
    print_report(arguments.dataset_dir, features.labels, features.clip_seconds)


def main() -> None:
    parser = command_line.new_parser(__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    check = command_line.add_command(
        commands,
        "check",
        check_command,
        summary="compare a data set's tables with its audio and the challenge",
        example="python utils/metadata.py check --dataset_dir demo_dataset",
    )
    command_line.add_dataset_dir(check)
    command_line.run(parser)


if __name__ == "__main__":
    main()
