"""The `predict` command: hear the events of recordings with a checkpoint, and write them."""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from pytorch.compute import choose_compute
from pytorch.detector import Detector, detector_of_checkpoint
from pytorch.evaluation import post_processing_of
from pytorch.long_audio import Heard, listen
from pytorch.stage_arguments import add_compute_arguments, add_weights_argument
from utils.audio.reading import SampleStream
from utils.audio.recordings import AudioFile, Unread, find_recordings, header_seconds
from utils.events.event_files import (
    HeardEvents,
    cut_events,
    print_csv,
    write_audacity,
    write_csv,
    write_json,
    write_probabilities,
)
from utils.events.post_processing import detect_events
from utils.events.tuning import read_tuned
from utils.settings.detector_settings import detector_settings
from utils.system.errors import SedError
from utils.system.log import logger, start_logging
from utils.system.memory import keep_freed_memory
from utils.system.progress import audio_progress, describe_speed
from utils.workspace.paths import tuned_beside

FORMATS = ("csv", "audacity", "json")
TABLE_NAME, JSON_NAME = "events.csv", "events.json"
AUDACITY_SUFFIX, PROBABILITIES_SUFFIX = ".txt", ".probabilities.csv"  # after a recording's whole name
SOME_UNREADABLE = 1  # exit code

PREDICT_DESCRIPTION = """\
Hear the events in recordings of any length, in any format that soundfile reads. The checkpoint says what the
recordings are turned into, whatever the configuration is. Only how probabilities become events, such
as clip_threshold, is taken from the file that SED_CONFIG names, where it says so.

csv       events.csv: one table of all recordings, as `score` reads it
audacity  RECORDING.txt: a label file for each recording, such as a.wav.txt
json      events.json: all recordings with events and duration (s), and the settings

With --probabilities, RECORDING.probabilities.csv holds the time (s) at which each frame begins and a column
for each class. Times are seconds from the recording's start.

Exit code: 0 if all recordings were read; 1 if some could not be, which are listed at the end; 2 if none could
be, or an argument is wrong."""


def add_predict_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "--checkpoint_path",
        type=Path,
        required=True,
        help="a checkpoint; nothing else of the training is needed",
    )
    parser.add_argument(
        "audio",
        type=Path,
        nargs="+",
        metavar="AUDIO",
        help="recordings, or folders of recordings, which are searched with all below them",
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
    add_weights_argument(parser)
    parser.add_argument(
        "--tuned",
        action="store_true",
        help="find events with the post-processing that tune has saved beside the checkpoint",
    )
    add_compute_arguments(parser)


def predict(arguments: argparse.Namespace) -> int:
    """Write or print the events of recordings; return the exit code."""
    output_dir: Path | None = arguments.output_dir
    if output_dir is None and (arguments.probabilities or arguments.format != FORMATS[:1]):
        raise SedError("--format and --probabilities write files; name a folder for them with --output_dir")
    start_logging(on_stderr=output_dir is None)
    keep_freed_memory()
    compute = choose_compute(arguments.cuda, arguments.precision)
    detector = detector_of_checkpoint(arguments.checkpoint_path, arguments.weights, compute)
    post_processing = post_processing_of(detector.model_type)
    if arguments.tuned:
        path = tuned_beside(arguments.checkpoint_path, arguments.weights)
        post_processing = read_tuned(path, post_processing, "run the command tune for this checkpoint")
    recordings, unreadable = find_recordings(arguments.audio)

    heard = []
    for recording, one in hear_all(detector, recordings, unreadable):
        events = detect_events(
            one.framewise,
            one.clipwise,
            post_processing=post_processing,
            stride_frames=detector.model.stride_frames,
        )
        events = cut_events(events, one.stream.seconds)
        heard.append(HeardEvents(recording, one.stream.seconds, events))
        if output_dir is not None and "audacity" in arguments.format:
            write_audacity(output_dir / f"{recording.name}{AUDACITY_SUFFIX}", events)
        if output_dir is not None and arguments.probabilities:
            path = output_dir / f"{recording.name}{PROBABILITIES_SUFFIX}"
            write_probabilities(path, one.framewise, one.stream.seconds)
    refuse_nothing(heard, unreadable)

    if output_dir is None:
        print_csv(sys.stdout, heard)
    else:
        if "csv" in arguments.format:
            write_csv(output_dir / TABLE_NAME, heard)
        if "json" in arguments.format:
            checkpoint = {
                "path": str(arguments.checkpoint_path),
                "model_type": detector.model_type,
                "iteration": detector.iteration,
                "weights": arguments.weights,
            }
            write_json(output_dir / JSON_NAME, heard, unreadable, checkpoint, detector_settings())
        count = sum(len(one.events) for one in heard)
        logger.info(f"{count} events in {len(heard)} recordings, written to {output_dir}")
    if not unreadable:
        return 0
    logger.info(f"Not read: {len(unreadable)} of {len(heard) + len(unreadable)}")
    for one in unreadable:
        logger.info(f"    {one.reason}")
    return SOME_UNREADABLE


def hear_all(
    detector: Detector, recordings: list[AudioFile], unreadable: list[Unread]
) -> Iterator[tuple[AudioFile, Heard]]:
    """Yield what is heard in each recording that can be read; add the others to `unreadable`."""
    start = time.perf_counter()
    of_stream = {SampleStream(recording.path): recording for recording in recordings}
    total_seconds = sum(header_seconds(recording.path) for recording in recordings)

    def seconds_read() -> float:
        return sum(stream.seconds for stream in of_stream)

    steps = listen(detector, list(of_stream))
    for heard in audio_progress(steps, "Listening", total_seconds, seconds_read):
        if heard is not None:
            yield of_stream[heard.stream], heard
    unreadable += [Unread(stream.path, str(stream.error)) for stream in of_stream if stream.error is not None]
    elapsed = time.perf_counter() - start
    logger.info(
        f"{seconds_read():.0f} s of audio in {elapsed:.1f} s: {describe_speed(seconds_read(), elapsed)}"
    )


def refuse_nothing(heard: list[HeardEvents], unreadable: list[Unread]) -> None:
    """Raise SedError where no recording could be read, with the reason of each."""
    if not heard:
        raise SedError("no recording could be read: " + "; ".join(one.reason for one in unreadable))


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
