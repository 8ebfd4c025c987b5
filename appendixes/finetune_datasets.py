"""Splits a data set with strong labels for an experiment: train on some classes, then fine-tune to others.

Two data sets are made, whose recordings are links, and a settings file with the labels of each:

before/, before.py  the training and validation clips without the classes
after/, after.py    training clips with the classes, as many of each, and all validation clips; of the events
                    in them only those of the classes
"""

import argparse
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from utils.config import SETTINGS
from utils.dataset.tables import Clip, read_strong_table, write_strong_table
from utils.system import command_line
from utils.system.errors import SedError
from utils.system.files import make_folder

TABLES = ("metadata/train/synthetic.csv", "metadata/validation/validation.csv")


def without(clips: list[Clip], classes: set[str]) -> list[Clip]:
    """Return the clips in which none of the classes occurs."""
    return [clip for clip in clips if not classes & {event.label for event in clip.events}]


def only(clips: list[Clip], classes: set[str]) -> list[Clip]:
    """Return the clips with the events of the classes only."""
    return [Clip(c.name, events=tuple(e for e in c.events if e.label in classes)) for c in clips]


def few(clips: list[Clip], classes: list[str], count: int) -> list[Clip]:
    """Return the first clips with a class, as many for each class, in their order."""
    chosen: dict[str, Clip] = {}
    for number, label in enumerate(classes, start=1):
        having = [c for c in clips if c.name not in chosen and label in {e.label for e in c.events}]
        wanted = count * number // len(classes) - len(chosen)
        if len(having) < wanted:
            raise SedError(f"there are only {len(having)} clips with {label}; lower --clips")
        chosen |= {clip.name: clip for clip in having[:wanted]}
    return [chosen[name] for name in sorted(chosen)]


def write_dataset(folder: Path, audio: Path, labels: list[str], tables: dict[str, list[Clip]]) -> None:
    """Write the tables, a link to the recordings, and the settings file beside the folder."""
    make_folder(folder)
    link = folder / "audio"
    link.unlink(missing_ok=True)
    link.symlink_to(audio.resolve())
    for name, clips in tables.items():
        write_strong_table(folder / name, clips)
    folder.with_suffix(".py").write_text(f"labels = {labels!r}\n", encoding="utf-8")
    events = {name: sum(len(clip.events or ()) for clip in clips) for name, clips in tables.items()}
    counts = ", ".join(f"{len(clips)} clips and {events[name]} events" for name, clips in tables.items())
    print(f"{folder}: {len(labels)} classes; in training and validation: {counts}")


def make_datasets(arguments: argparse.Namespace) -> None:
    """Make both data sets."""
    labels = list(SETTINGS.features.labels)
    held_out = arguments.classes.split(",")
    if unknown := [label for label in held_out if label not in labels]:
        raise SedError(f"--classes: '{unknown[0]}' is none of the labels in the settings")
    clips = {name: read_strong_table(arguments.dataset_dir / name, labels) for name in TABLES}
    audio = arguments.dataset_dir / "audio"
    before = {name: without(of_table, set(held_out)) for name, of_table in clips.items()}
    kept = [label for label in labels if label not in held_out]
    write_dataset(arguments.output_dir / "before", audio, kept, before)
    training, validation = TABLES
    chosen = few(clips[training], held_out, arguments.clips)
    after = {training: only(chosen, set(held_out)), validation: only(clips[validation], set(held_out))}
    write_dataset(arguments.output_dir / "after", audio, held_out, after)


def main() -> None:
    parser = command_line.new_parser(
        __doc__,
        example="python appendixes/finetune_datasets.py --dataset_dir homemix --output_dir finetune "
        "--classes Frog,Chicken --clips 30",
    )
    command_line.add_dataset_dir(parser)
    parser.add_argument("--output_dir", type=Path, required=True, help="folder for both data sets")
    parser.add_argument("--classes", required=True, help="classes to hold out, joined by commas")
    parser.add_argument(
        "--clips", type=command_line.positive_int, default=30, help="clips to fine-tune on; default 30"
    )
    parser.set_defaults(function=make_datasets)
    command_line.run(parser)


if __name__ == "__main__":
    main()
