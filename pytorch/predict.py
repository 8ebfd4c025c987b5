"""The `predict` command: recordings and a checkpoint -> events."""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from pytorch.compute import choose_compute
from pytorch.detector import Detector, describe_settings, load_detector, tuned_post_processing
from pytorch.long_audio import detect_in_streams
from pytorch.stage_arguments import add_compute_arguments, add_weights_argument
from utils.audio.reading import SampleStream
from utils.audio.recordings import AudioFile, Unread, find_recordings, header_seconds
from utils.events.event_files import (
    DetectedEvents,
    cut_events,
    print_csv,
    write_audacity,
    write_csv,
    write_json,
    write_probabilities,
)
from utils.events.post_processing import detect_events
from utils.events.probabilities import Probabilities
from utils.settings.current import current_settings
from utils.settings.groups import CommandDefaults
from utils.settings.overrides import read_overrides
from utils.system.errors import SedError
from utils.system.log import logger, start_logging
from utils.system.memory import keep_freed_memory
from utils.system.progress import audio_progress, describe_speed
from utils.workspace.paths import result_of_recording

FORMATS = ("csv", "audacity", "json")
TABLE_NAME, JSON_NAME = "events.csv", "events.json"
AUDACITY_SUFFIX, PROBABILITIES_SUFFIX = ".txt", ".probabilities.csv"  # after a recording's whole name
SOME_UNREADABLE = 1  # exit code

PREDICT_DESCRIPTION = """\
Detect the events in recordings of any length, in any format that soundfile reads. All that the events depend
on comes from the checkpoint, whatever the configuration is. Only how probabilities become events, such as
clip_threshold, is taken from the file that SED_CONFIG names, where it says so.

csv       events.csv: one table of all recordings, as `score` reads it
audacity  RECORDING.txt: a label file for each recording, such as a.wav.txt
json      events.json: all recordings with events and duration (s), and the settings

With --probabilities, RECORDING.probabilities.csv holds the time (s) at which each frame begins and a column
for each class. Times are seconds from the recording's start.

Exit code: 0 if all recordings were read; 1 if some could not be, which are listed at the end; 2 if none could
be, or an argument is wrong."""


def add_predict_arguments(parser: argparse.ArgumentParser, defaults: CommandDefaults) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "--checkpoint_path",
        type=Path,
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
        help="use the post-processing that tune has saved beside the checkpoint",
    )
    add_compute_arguments(parser, defaults)


def predict(arguments: argparse.Namespace) -> int:
    """Write or print the events of recordings; return the exit code."""
    output_dir: Path | None = arguments.output_dir
    if output_dir is None and (arguments.probabilities or arguments.format != FORMATS[:1]):
        raise SedError("--format and --probabilities write files; name a folder for them with --output_dir")
    start_logging(on_stderr=output_dir is None)
    keep_freed_memory()
    detector = load_detector(
        arguments.checkpoint_path,
        arguments.weights,
        choose_compute(arguments.cuda, arguments.precision),
        batch_size=current_settings().loop.evaluation_batch_size,
        event_values=read_overrides(),
    )
    post_processing = detector.post_processing
    if arguments.tuned:
        post_processing = tuned_post_processing(detector, arguments.checkpoint_path, arguments.weights)
    frames_per_second = detector.features.frames_per_second
    recordings, unreadable = find_recordings(arguments.audio)

    detected = []
    for recording, seconds, probabilities in detect_in_recordings(detector, recordings, unreadable):
        events = detect_events(
            probabilities,
            labels=detector.labels,
            post_processing=post_processing,
            frames_per_second=frames_per_second,
        )
        events = cut_events(events, seconds)
        detected.append(DetectedEvents(recording, seconds, events))
        if output_dir is not None and "audacity" in arguments.format:
            write_audacity(result_of_recording(output_dir, recording.name, AUDACITY_SUFFIX), events)
        if output_dir is not None and arguments.probabilities:
            write_probabilities(
                result_of_recording(output_dir, recording.name, PROBABILITIES_SUFFIX),
                probabilities.stretched(),
                seconds,
                labels=detector.labels,
                frames_per_second=frames_per_second,
            )
    if not detected:
        raise SedError("no recording could be read: " + "; ".join(one.reason for one in unreadable))

    if output_dir is None:
        print_csv(sys.stdout, detected)
    else:
        if "csv" in arguments.format:
            write_csv(output_dir / TABLE_NAME, detected)
        if "json" in arguments.format:
            checkpoint = {
                "path": str(arguments.checkpoint_path),
                "model_type": detector.model_type,
                "iteration": detector.iteration,
                "weights": arguments.weights,
            }
            write_json(output_dir / JSON_NAME, detected, unreadable, checkpoint, describe_settings(detector))
        count = sum(len(one.events) for one in detected)
        logger.info(f"{count} events in {len(detected)} recordings, written to {output_dir}")
    if not unreadable:
        return 0
    logger.info(f"Not read: {len(unreadable)} of {len(detected) + len(unreadable)}")
    for one in unreadable:
        logger.info(f"    {one.reason}")
    return SOME_UNREADABLE


def detect_in_recordings(
    detector: Detector, recordings: list[AudioFile], unreadable: list[Unread]
) -> Iterator[tuple[AudioFile, float, Probabilities]]:
    """Yield each readable recording, its seconds and its probabilities; note the others as unreadable."""
    start = time.perf_counter()
    of_stream = {SampleStream(one.path, detector.features): one for one in recordings}
    total_seconds = sum(header_seconds(recording.path) for recording in recordings)

    def seconds_read() -> float:
        return sum(stream.seconds for stream in of_stream)

    steps = detect_in_streams(detector, list(of_stream))
    for step in audio_progress(steps, "Detecting", total_seconds, seconds_read):
        if step is not None:
            stream, probabilities = step
            yield of_stream[stream], stream.seconds, probabilities
    unreadable += [Unread(stream.path, str(stream.error)) for stream in of_stream if stream.error is not None]
    elapsed = time.perf_counter() - start
    logger.info(
        f"{seconds_read():.0f} s of audio in {elapsed:.1f} s: {describe_speed(seconds_read(), elapsed)}"
    )


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
