"""What the stage commands share: their arguments, and how they report a user's mistake."""

import argparse
import sys
from pathlib import Path

from utils import config
from utils.errors import SedError, exit_with_error

INTERRUPTED = 130  # exit code of a command that Ctrl-C ended, as shells have it


def run(parser: argparse.ArgumentParser) -> None:
    """Parse the command line and call the function that the subcommand has set as `function`.

    Where it returns a number, that is the exit code.
    """
    arguments = parser.parse_args()
    try:
        sys.exit(arguments.function(arguments))
    except SedError as error:
        exit_with_error(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)


def new_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser that keeps the line breaks of its description and takes no abbreviated options."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )


def add_dataset_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dataset_dir",
        type=Path,
        required=True,
        help="folder of the data set, with audio/ and metadata/ in the challenge's layout",
    )


def add_workspace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workspace", type=Path, required=True, help="folder that everything made from the data set goes to"
    )


def add_mini_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mini_data",
        action="store_true",
        help=f"take {config.mini_data_clips} clips of each subset, to try the commands out",
    )


def positive_int(text: str) -> int:
    """Return the number that an argument holds, which must be at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of at least 1")
    return int(text)
