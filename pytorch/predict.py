"""The `predict` command: recordings and a checkpoint -> events."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytorch.chosen_model import add_model_arguments, choose_model
from pytorch.compute import choose_compute
from pytorch.event_finder import EventFiles, EventFinder
from pytorch.live import LIVE_SOURCES, MICROPHONE, PCM_INPUT, predict_live
from pytorch.stage_arguments import add_compute_arguments
from utils.audio.recordings import AudioFile, Unread, find_recordings, with_table_names
from utils.config import SETTINGS
from utils.events.event_files import DetectedEvents, print_csv, summary_lines, write_csv, write_json
from utils.events.event_journal import EventJournal
from utils.settings.groups import CommandDefaults
from utils.system.command_line import INTERRUPTED, positive_int
from utils.system.errors import SedError
from utils.system.files import require_writable
from utils.system.log import logger, start_logging
from utils.system.memory import keep_freed_memory
from utils.system.terminal import short_path
from utils.workspace.paths import EventPaths
from utils.workspace.run import STUDENT

FORMATS = ("csv", "audacity", "raven", "json")
SOME_UNREADABLE = 1  # exit code

PREDICT_DESCRIPTION = """\
Detect the events in recordings of any length, in any format that soundfile or, where it is installed, ffmpeg
reads; - is standard input. All that the events depend on comes from the checkpoint, whatever the
configuration is. Only how probabilities become events, such as clip_threshold, is taken from the file that
SED_CONFIG names, where it says so and the events are not tuned. Each event has a score: the mean of its
frame probabilities, or the confidence of its box, 0 to 1.

csv       events.csv: one table of all recordings, as `score` reads it
json      events.json: all recordings with events and duration (s), and the settings
audacity  RECORDING.txt: a label file for each recording, such as a.wav.txt; `Dog [0.93]` is label and score
raven     RECORDING.selections.txt: a selection table for each recording

With --probabilities, RECORDING.probabilities.csv holds the time (s) at which each frame begins and a column
for each class. With --page, RECORDING.html shows the recording from start to end: spectrogram, sound, events
and probabilities. Times are seconds from the recording's start.

When it is stopped, by Ctrl-C or otherwise, the recordings that are finished are not lost: the same command
goes on with the others.

With --live, the events in a stream are printed as a table, each as soon as it is certain.

Exit code: 0 if all recordings were read; 1 if some could not be, which are listed at the end; 2 if none could
be, or an argument is wrong; 130 if Ctrl-C stopped it."""


def add_predict_arguments(parser: argparse.ArgumentParser, defaults: CommandDefaults) -> None:
    """Add the arguments of the command."""
    add_model_arguments(parser)
    parser.add_argument(
        "audio",
        type=Path,
        nargs="*",
        metavar="AUDIO",
        help="recordings, or folders of recordings, which are searched with all below them; - is a recording "
        "on standard input",
    )
    parser.add_argument(
        "--output_dir",
        type=Path,
        help="folder to write to; without it the events are printed as a table and nothing is written",
    )
    parser.add_argument(
        "--format",
        type=output_formats,
        default=FORMATS[:1],
        metavar="FORMATS",
        help=f"what to write, joined by commas: {', '.join(FORMATS)}; default {FORMATS[0]}",
    )
    parser.add_argument(
        "--probabilities",
        action="store_true",
        help="also write the probability of each class in each frame, a table for each recording",
    )
    parser.add_argument(
        "--page",
        action="store_true",
        help="also write an HTML page of each recording: spectrogram, sound, events, probabilities",
    )
    parser.add_argument(
        "--live",
        nargs="?",
        const=PCM_INPUT,
        choices=LIVE_SOURCES,
        help="print the events of a stream as they end: of standard input (-, the default), which has 16-bit "
        f"samples of one channel and no header, or of a {MICROPHONE}",
    )
    parser.add_argument(
        "--sample_rate",
        type=positive_int,
        metavar="HZ",
        help="of the stream; needed with --live -; default of a microphone: that of the checkpoint",
    )
    add_compute_arguments(parser, defaults)


def check_arguments(arguments: argparse.Namespace) -> None:
    """Raise SedError where options do not go together."""
    writes_files = arguments.probabilities or arguments.page or arguments.format != FORMATS[:1]
    if arguments.live is None:
        if not arguments.audio:
            raise SedError("there is nothing to detect events in; name recordings or folders, or use --live")
        if arguments.sample_rate is not None:
            raise SedError("--sample_rate is for --live only; recordings have theirs in the file")
        if arguments.output_dir is None and writes_files:
            raise SedError(
                "--format, --probabilities and --page write files; name a folder for them with --output_dir"
            )
    elif arguments.audio or arguments.output_dir is not None or writes_files:
        raise SedError(
            "--live prints the events of one stream; leave out recordings, --output_dir and what goes there"
        )
    elif arguments.live == PCM_INPUT and arguments.sample_rate is None:
        raise SedError("--live -: samples without a header have no rate; add --sample_rate")


def predict(arguments: argparse.Namespace) -> int:
    """Write or print the events of recordings or a stream; return the exit code."""
    check_arguments(arguments)
    model = choose_model(arguments)
    output_dir: Path | None = arguments.output_dir
    if output_dir is not None:
        require_writable(output_dir)  # now, not after the work
    start_logging(on_stderr=output_dir is None)
    keep_freed_memory()
    settings = SETTINGS
    compute = choose_compute(arguments.cuda, arguments.precision)
    detector = model.load(compute, settings.loop.evaluation_batch_size)
    weights = model.variant.weights
    how = [f"the {weights}"] * (weights != STUDENT) + ["tuned events"] * model.variant.tuned
    logger.info(", ".join([f"Detector: {short_path(model.checkpoint)}", *how]))
    if arguments.live is not None:
        return predict_live(detector, arguments.live, arguments.sample_rate)
    recordings, unreadable = with_table_names(*find_recordings(arguments.audio))
    if output_dir is None:
        finder = EventFinder(detector)
        detected = list(finder.detect(recordings, unreadable))
        require_any(detected, unreadable)
        print_csv(sys.stdout, detected)
        return closing(detector.labels, detected, unreadable)
    page = settings.page if arguments.page else None
    files = EventFiles(EventPaths(output_dir), arguments.format, arguments.probabilities, page)
    finder = EventFinder(detector, files)
    checkpoint = {
        "path": str(model.checkpoint),
        "model_type": detector.model_type,
        "iteration": detector.iteration,
        "weights": weights,
    }
    return detect_into_folder(finder, files, recordings, unreadable, checkpoint)


def detect_into_folder(
    finder: EventFinder,
    files: EventFiles,
    recordings: Sequence[AudioFile],
    unreadable: list[Unread],
    checkpoint: dict[str, Any],
) -> int:
    """Write the events of recordings, but of those only that are not finished yet; return the exit code."""
    paths = files.paths
    with EventJournal(paths.journal, finder.work()) as journal:
        detected = [done for one in recordings if (done := journal.finished(one))]
        finished = {one.recording for one in detected}
        if finished:
            logger.info(f"{len(finished)} of {len(recordings)} recordings were finished before")
        elif paths.table.is_file() or paths.json.is_file():
            logger.info(
                f"{short_path(paths.folder)} has events of an earlier call: those of all recordings are "
                "replaced, and the files of others stay"
            )
        interrupted = False
        try:
            for one in finder.detect([one for one in recordings if one not in finished], unreadable):
                detected.append(one)
                journal.add(one)
        except KeyboardInterrupt:
            interrupted = True
        if not interrupted:
            require_any(detected, unreadable)
        detected.sort(key=lambda one: one.recording.name)
        if detected and "csv" in files.formats:
            write_csv(paths.table, detected)
        if detected and "json" in files.formats:
            write_json(paths.json, detected, unreadable, {"checkpoint": checkpoint, **finder.settings()})
        if interrupted:
            logger.info(
                f"Interrupted; {len(detected)} of {len(recordings)} recordings are finished and written to "
                f"{paths.folder}; the same command goes on with the others"
            )
            return INTERRUPTED
        journal.remove()
    return closing(finder.detector.labels, detected, unreadable, paths.folder)


def require_any(detected: Sequence[DetectedEvents], unreadable: Sequence[Unread]) -> None:
    """Raise SedError if no recording could be read."""
    if not detected:
        raise SedError("no recording could be read: " + "; ".join(one.reason for one in unreadable))


def closing(
    labels: Sequence[str],
    detected: Sequence[DetectedEvents],
    unreadable: Sequence[Unread],
    folder: Path | None = None,
) -> int:
    """Log what was found and what could not be read; return the exit code."""
    for line in summary_lines(detected, labels):
        logger.info(line)
    if folder is not None:
        logger.info(f"Written to {short_path(folder)}")
    if not unreadable:
        return 0
    logger.info(f"Not read: {len(unreadable)} of {len(detected) + len(unreadable)}")
    for one in unreadable:
        logger.info(f"    {one.reason}")
    return SOME_UNREADABLE


def output_formats(text: str) -> tuple[str, ...]:
    """Return the formats that an argument names, joined by commas."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in FORMATS:
            known = ", ".join(FORMATS)
            raise argparse.ArgumentTypeError(
                f"invalid choice: '{name}' (choose from {known}, joined by commas)"
            )
    return names
