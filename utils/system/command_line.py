"""What the commands share: arguments, and how a mistake of the user is reported."""

import argparse
import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from utils.system.errors import SedError, exit_with_error
from utils.system.log import screen_error

Commands = argparse._SubParsersAction  # argparse has no public name for it
STYLE = {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False}
# Exit codes, as shells have them, of a command that Ctrl-C or the end of its output's reader ended
INTERRUPTED, BROKEN_PIPE = 130, 141


def run(parser: argparse.ArgumentParser) -> None:
    """Parse the command line and call the command's `function`; a number that it returns is the exit code."""
    for stream in (sys.stdout, sys.stderr):  # file names of undecodable bytes are shown, not stumbled over
        if isinstance(stream, io.TextIOWrapper):
            with suppress(OSError):  # where the position of a pipe cannot be told
                stream.reconfigure(errors="backslashreplace")
    try:
        try:
            arguments = parser.parse_args()
            code = arguments.function(arguments)
        finally:
            sys.stdout.flush()
        if error := screen_error():
            raise error
    except SedError as error:
        exit_with_error(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except OSError as error:
        if not output_is_broken():
            raise
        if isinstance(error, BrokenPipeError):
            sys.exit(BROKEN_PIPE)
        exit_with_error(SedError(f"standard output: cannot be written: {error.strerror}"))
    sys.exit(code)


def output_is_broken() -> bool:
    """Tell whether standard output cannot be written; then Python is kept from trying it again at the end."""
    try:
        print(flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def new_parser(description: str | None, *, example: str | None = None) -> argparse.ArgumentParser:
    """Return a parser that keeps the line breaks of its description and takes no abbreviated options.

    A script with several commands has an example for each of them, see `add_command`.
    """
    epilog = f"example:\n  {example}" if example else "COMMAND --help explains the options of a command."
    return argparse.ArgumentParser(description=description, epilog=epilog, **STYLE)


def add_command(
    commands: Commands,
    name: str,
    function: Callable[[argparse.Namespace], int | None],
    *,
    summary: str,
    example: str,
    description: str | None = None,
) -> argparse.ArgumentParser:
    """Add a command to a script, and return its parser.

    Parameters
    ----------
    commands
        What `add_subparsers` of the script's parser returned.
    name : str
    function : callable
        What does the work; it takes the parsed arguments, and may return an exit code.
    summary : str
        One line for the list of commands.
    example : str
        A call that works on the demonstration data, or is typical.
    description : str or None
        How the command's help begins, if not with the summary.
    """
    command = commands.add_parser(
        name, help=summary, description=description or summary, epilog=f"example:\n  {example}", **STYLE
    )
    command.set_defaults(function=function)
    return command


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


def add_mini_data(parser: argparse.ArgumentParser, clips: int) -> None:
    parser.add_argument(
        "--mini_data",
        action="store_true",
        help=f"take {clips} clips of each subset, to try the commands out",
    )


def add_clip_counts(parser: argparse.ArgumentParser, counts: dict[str, int]) -> None:
    """Add an option for the number of clips of each subset, by default those of `counts`."""
    for data_type, count in counts.items():
        parser.add_argument(
            f"--{data_type}",
            type=positive_int,
            default=count,
            metavar="CLIPS",
            help=f"clips of {data_type}; default {count}",
        )


def clip_counts(arguments: argparse.Namespace, counts: dict[str, int]) -> dict[str, int]:
    """Return the number of clips of each subset that was given."""
    return {data_type: getattr(arguments, data_type) for data_type in counts}


def positive_int(text: str) -> int:
    """Return the number that an argument holds, which must be at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of at least 1")
    return int(text)


def seed_number(text: str) -> int:
    """Return the seed that an argument holds, which must not be negative."""
    if not text.isdecimal() or int(text) >= 2**63:  # what torch takes
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of 0 to 2**63 - 1")
    return int(text)


def number_between(low: float, high: float, *, low_is_allowed: bool = True) -> Callable[[str], float]:
    """Return what parses an argument that must be a number from `low` to `high`."""

    def parse(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = float("nan")
        if not low <= number <= high or (number == low and not low_is_allowed):
            lowest = f"at least {low:g}" if low_is_allowed else f"more than {low:g}"
            raise argparse.ArgumentTypeError(f"'{text}' is not a number of {lowest} and at most {high:g}")
        return number

    return parse
