"""Makes HomeMix, a data set in the challenge's layout, from public recordings.

Isolated events of ten classes are cut from the recordings and mixed over room noise into clips of 10 s.
appendixes/homemix.md says where the recordings come from.
"""

import argparse
import sys
from pathlib import Path

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from utils.dataset.subsets import SYNTHETIC, UNLABELLED, VALIDATION, WEAK
from utils.synthesis.homemix_clips import make_subset
from utils.synthesis.homemix_statistics import format_statistics
from utils.synthesis.soundbank import cut_sound_bank
from utils.system import command_line
from utils.system.log import logger, start_logging
from utils.system.terminal import short_path

CLIPS = {WEAK: 300, SYNTHETIC: 400, UNLABELLED: 400, VALIDATION: 200}


def make_homemix(sources: Path, output_dir: Path, *, clips: dict[str, int], seed: int) -> None:
    """Make HomeMix; the same arguments give the same files.

    Parameters
    ----------
    sources : Path
        Folder with clones of the repositories that the recordings are in.
    output_dir : Path
        Folder of the data set, in which `audio/` and `metadata/` are made.
    clips : dict of str to int
        Number of clips of each subset.
    seed : int
        Of the random numbers that everything is drawn by.
    """
    for split in ("train", "validation"):
        bank = cut_sound_bank(sources, split, seed)
        for data_type, clips_num in clips.items():
            if data_type.startswith(split):
                make_subset(output_dir, data_type, clips_num, bank, seed)
    logger.info(f"HomeMix of {sum(clips.values())} clips: {short_path(output_dir)}")


def make_test_set(sources: Path, output_dir: Path, *, clips_num: int, seed: int) -> None:
    """Make validation clips of the recordings that `make_homemix` leaves out; see there."""
    make_subset(output_dir, VALIDATION, clips_num, cut_sound_bank(sources, "test", seed), seed)
    logger.info(f"Test set of {clips_num} clips: {short_path(output_dir)}")


def make_test_command(arguments: argparse.Namespace) -> None:
    start_logging()
    make_test_set(
        arguments.sources, arguments.output_dir, clips_num=arguments.validation, seed=arguments.seed
    )


def make_command(arguments: argparse.Namespace) -> None:
    start_logging()
    clips = command_line.clip_counts(arguments, CLIPS)
    make_homemix(arguments.sources, arguments.output_dir, clips=clips, seed=arguments.seed)
    print(format_statistics([arguments.output_dir]))


def statistics_command(arguments: argparse.Namespace) -> None:
    print(format_statistics(arguments.dataset_dir))


def main() -> None:
    parser = command_line.new_parser(__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    make = command_line.add_command(
        commands,
        "make",
        make_command,
        summary="cut and mix the recordings, write the tables, and print statistics",
        example="python utils/homemix.py make --sources sources --output_dir homemix",
    )
    test = command_line.add_command(
        commands,
        "make_test",
        make_test_command,
        summary="mix clips of the recordings that make leaves out, to score finished models on",
        example="python utils/homemix.py make_test --sources sources --output_dir homemix_test",
    )
    for command, counts in ((make, CLIPS), (test, {VALIDATION: CLIPS[VALIDATION]})):
        command.add_argument(
            "--sources",
            type=Path,
            required=True,
            help="folder with clones of Animal-Sound-Dataset, free-spoken-digit-dataset and "
            "baby_cry_detection",
        )
        command.add_argument("--output_dir", type=Path, required=True, help="folder of the data set to make")
        command_line.add_clip_counts(command, counts)
        command.add_argument(
            "--seed",
            type=command_line.seed_number,
            default=0,
            help="of the random numbers that everything is drawn by; default 0",
        )
    statistics = command_line.add_command(
        commands,
        "statistics",
        statistics_command,
        summary="print the statistics of data sets with HomeMix's labels side by side",
        example="python utils/homemix.py statistics --dataset_dir homemix other_homemix",
    )
    statistics.add_argument(
        "--dataset_dir", type=Path, required=True, nargs="+", help="folders of the data sets to compare"
    )
    command_line.run(parser)


if __name__ == "__main__":
    main()
