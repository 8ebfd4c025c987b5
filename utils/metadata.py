"""The data set: brings own recordings and annotations in, and checks tables and recordings."""

import argparse
import sys
from pathlib import Path

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from utils.config import SETTINGS
from utils.dataset.check import print_report
from utils.importing.annotations import COLUMN_NAMES, ReadingOptions
from utils.importing.importer import SPLIT_UNITS, UNANNOTATED, ImportOptions, import_annotations
from utils.settings.groups import Settings
from utils.system import command_line
from utils.system.log import start_logging

IMPORT_DESCRIPTION = """\
Make a data set of recordings and annotations as they are: Audacity label files (a.txt beside a.wav), Raven
selection tables, tables of file name, onset, offset and label in any dialect, or one folder for each class.

Times may be 62.5, 62,5 or 1:02.5; separators tabs, commas or semicolons. Long recordings are cut into clips.
The sources are only read. The folder then holds clips, tables, a split into training and validation, and
settings.py with the labels and what else fits the recordings."""


def check_command(arguments: argparse.Namespace) -> None:
    features = SETTINGS.features
    print_report(arguments.dataset_dir, features.labels, features.clip_seconds)


def import_command(arguments: argparse.Namespace) -> None:
    start_logging()
    settings = SETTINGS
    options = ImportOptions(
        ReadingOptions(
            arguments.columns or {},
            arguments.default_label,
            arguments.point_seconds,
            arguments.rename or {},
        ),
        arguments.labels,
        arguments.clip_seconds,
        arguments.overlap,
        settings.importing.import_shortest_event,
        arguments.eventless_fraction,
        arguments.validation_fraction,
        arguments.split_by,
        arguments.unannotated,
        arguments.seed,
        settings.importing.import_iterations,
        settings.importing.import_batch_size,
    )
    import_annotations(arguments.sources, arguments.output_dir, options, settings.features)


def words(text: str) -> tuple[str, ...]:
    """Return the words that an argument holds, joined by commas."""
    found = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    if not found:
        raise argparse.ArgumentTypeError(f"'{text}' names nothing")
    return found


def pairs(text: str) -> dict[str, str]:
    """Return what an argument such as `dog=Dog,cat=Cat` says, by its left sides."""
    sides = [[side.strip() for side in word.split("=", 1)] for word in words(text)]
    for two in sides:
        if len(two) != 2 or not all(two):
            raise argparse.ArgumentTypeError(f"'{text}' is not of the form A=B, or several joined by commas")
    return dict(sides)


def columns(text: str) -> dict[str, str]:
    """Return what an argument such as `onset=Beginn,offset=Ende` says."""
    headers = pairs(text)
    for name in headers:
        if name not in COLUMN_NAMES:
            raise argparse.ArgumentTypeError(f"'{name}' is not one of {', '.join(COLUMN_NAMES)}")
    return headers


def add_import_arguments(parser: argparse.ArgumentParser, settings: Settings) -> None:
    """Add the arguments of the import."""
    defaults, clip_seconds = settings.importing, settings.features.clip_seconds
    parser.add_argument(
        "sources",
        type=Path,
        nargs="+",
        metavar="SOURCE",
        help="folders of recordings and annotations, which are searched with all below them, or such files",
    )
    parser.add_argument("--output_dir", type=Path, required=True, help="folder of the data set to make")
    parser.add_argument(
        "--labels", type=words, help="labels to take, joined by commas; without it all that occur"
    )
    parser.add_argument(
        "--rename", type=pairs, metavar="OLD=NEW", help="labels to replace, joined by commas: dog=Dog,cat=Cat"
    )
    parser.add_argument(
        "--default_label", metavar="LABEL", help="of events without one, as of a table about one species"
    )
    parser.add_argument(
        "--columns",
        type=columns,
        metavar="NAME=HEADER",
        help="headers that are not understood, joined by commas: onset=Beginn,offset=Ende; NAME is "
        f"{', '.join(COLUMN_NAMES)}",
    )
    parser.add_argument(
        "--point_seconds",
        type=command_line.number_between(0, 3600, low_is_allowed=False),
        metavar="SECONDS",
        help="length given to labels of an instant, whose onset is their offset",
    )
    parser.add_argument(
        "--clip_seconds",
        type=command_line.number_between(0, 3600, low_is_allowed=False),
        default=clip_seconds,
        metavar="SECONDS",
        help=f"length of the clips; default {clip_seconds}",
    )
    parser.add_argument(
        "--overlap",
        type=command_line.number_between(0, 3600),
        default=defaults.import_overlap,
        metavar="SECONDS",
        help=f"what two neighbouring clips share; default {defaults.import_overlap}",
    )
    parser.add_argument(
        "--eventless_fraction",
        type=command_line.number_between(0, 1),
        default=defaults.import_eventless_fraction,
        metavar="FRACTION",
        help="of the clips without events, how many to take, in training and validation; default "
        f"{defaults.import_eventless_fraction}",
    )
    parser.add_argument(
        "--validation_fraction",
        type=command_line.number_between(0, 0.9, low_is_allowed=False),
        default=defaults.import_validation_fraction,
        metavar="FRACTION",
        help=f"of the events, how many to validate on; default {defaults.import_validation_fraction}",
    )
    parser.add_argument(
        "--split_by",
        choices=SPLIT_UNITS,
        default=SPLIT_UNITS[0],
        help="what is either in training or in validation as a whole; clips of one recording sound alike, so "
        f"scores of a split by clip are too good; default {SPLIT_UNITS[0]}",
    )
    parser.add_argument(
        "--unannotated",
        choices=UNANNOTATED,
        default=UNANNOTATED[0],
        help=f"what becomes of recordings that no annotation mentions; default {UNANNOTATED[0]}",
    )
    parser.add_argument(
        "--seed",
        type=command_line.seed_number,
        default=settings.defaults.seed,
        help=f"of the split and of the choice of clips without events; default {settings.defaults.seed}",
    )


def main() -> None:
    parser = command_line.new_parser(__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    check = command_line.add_command(
        commands,
        "check",
        check_command,
        summary="compare a data set's tables with its audio and the challenge; list all errors",
        example="python utils/metadata.py check --dataset_dir demo_dataset",
    )
    command_line.add_dataset_dir(check)
    importing = command_line.add_command(
        commands,
        "import_annotations",
        import_command,
        summary="recordings with labels of Audacity, Raven, any table or folders of classes -> data set",
        description=IMPORT_DESCRIPTION,
        example="python utils/metadata.py import_annotations field_recordings --output_dir birds",
    )
    add_import_arguments(importing, SETTINGS)
    command_line.run(parser)


if __name__ == "__main__":
    main()
