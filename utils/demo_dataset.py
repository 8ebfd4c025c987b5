"""Makes the demonstration data set: synthetic sounds in the challenge's layout, to try every stage on.

It shows that the pipeline works. Scores on it say nothing about real recordings.
"""

import argparse
import sys
from pathlib import Path

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from utils.settings.group import limits_of
from utils.settings.groups import FeatureSettings
from utils.synthesis.demo_clips import CLIP_SECONDS, CLIPS, make_demo_dataset
from utils.system import command_line
from utils.system.log import start_logging

SHORTEST_CLIP_SECONDS = 0.1  # has room for an event
LONGEST_CLIP_SECONDS = limits_of(FeatureSettings, "clip_seconds").at_most


def make_command(arguments: argparse.Namespace) -> None:
    start_logging()
    clips = command_line.clip_counts(arguments, CLIPS)
    make_demo_dataset(
        arguments.output_dir, clips=clips, clip_seconds=arguments.clip_seconds, seed=arguments.seed
    )


def main() -> None:
    parser = command_line.new_parser(__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    make = command_line.add_command(
        commands,
        "make",
        make_command,
        summary="synthesize the recordings and write the tables",
        example="python utils/demo_dataset.py make --output_dir demo_dataset --train_weak 24",
    )
    make.add_argument("--output_dir", type=Path, required=True, help="folder of the data set to make")
    command_line.add_clip_counts(make, CLIPS)
    make.add_argument(
        "--clip_seconds",
        type=command_line.number_between(SHORTEST_CLIP_SECONDS, LONGEST_CLIP_SECONDS),
        default=CLIP_SECONDS,
        metavar="SECONDS",
        help=f"length of a clip; default {CLIP_SECONDS}",
    )
    make.add_argument(
        "--seed", type=command_line.seed_number, default=0, help="of the random generators; default 0"
    )
    command_line.run(parser)


if __name__ == "__main__":
    main()
