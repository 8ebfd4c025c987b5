"""Events in a stream of sound, each as soon as it is certain: `predict --live`."""

import io
import queue
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from pytorch.detector import Detector
from utils.audio.logmel import logmel_of_clip
from utils.audio.reading import INT16_FULL_SCALE, resampled
from utils.audio.recordings import STANDARD_INPUT, AudioFile
from utils.audio.windows import cut_windows, window_hop_frames
from utils.events.event_files import EVENT_COLUMNS, DetectedEvents, event_row, summary_lines
from utils.events.live_events import LiveEvents, settling_seconds
from utils.events.probabilities import Probabilities
from utils.events.scored_events import ScoredEvent
from utils.system.errors import SedError
from utils.system.log import logger
from utils.system.terminal import install_command

MICROPHONE, PCM_INPUT = "microphone", "-"
LIVE_SOURCES = (PCM_INPUT, MICROPHONE)
LIVE_NAME = "live"  # instead of a file name, in the table
READ_BYTES = 2**16  # at most at once; a pipe gives what is there
BLOCKS_WAITING = 1000  # for the model, at most; then the sender waits


class Incoming:
    """Sound as it comes, read by a thread of its own, so that the sender does not wait for the model.

    Parameters
    ----------
    blocks : iterable of np.ndarray, shape (samples,)
        Waits for the sound.
    sample_rate : int
        In Hz.

    Attributes
    ----------
    seconds : float
        Of the sound that has come.
    """

    def __init__(self, blocks: Iterable[np.ndarray], sample_rate: int) -> None:
        self.seconds = 0.0
        self._sample_rate = sample_rate
        self._queue: queue.SimpleQueue[np.ndarray | Exception | None] = queue.SimpleQueue()
        self._room = threading.Semaphore(BLOCKS_WAITING)
        threading.Thread(target=self._receive, args=(blocks,), daemon=True).start()

    def _receive(self, blocks: Iterable[np.ndarray]) -> None:
        try:
            for block in blocks:
                self.seconds += len(block) / self._sample_rate
                self._queue.put(block)
                self._room.acquire()
        except Exception as error:  # for the main thread, which reports it
            self._queue.put(error)
        self.stop()

    def stop(self, *_: object) -> None:
        """End the sound here; a signal may call this."""
        self._queue.put(None)

    def __iter__(self) -> Iterator[np.ndarray]:
        while (block := self._queue.get()) is not None:
            if isinstance(block, Exception):
                raise block
            self._room.release()
            yield block


def pcm_blocks(file: io.RawIOBase) -> Iterator[np.ndarray]:
    """Yield samples as they come, shape (samples,), full scale = 1.

    Parameters
    ----------
    file : unbuffered binary file
        Without a header: 16-bit samples of one channel, little-endian.
    """
    rest = b""
    while content := file.read(READ_BYTES):
        content = rest + content
        whole = len(content) // 2 * 2
        rest = content[whole:]
        yield np.frombuffer(content[:whole], "<i2") / INT16_FULL_SCALE


def microphone_blocks(sample_rate: int) -> Iterator[np.ndarray]:
    """Yield what the default microphone records, one channel, without end."""
    try:
        import sounddevice  # an optional package
    except (ImportError, OSError) as error:  # OSError: the package is there, and PortAudio is not
        raise SedError(
            f"--live microphone needs sounddevice ({error}): {install_command('requirements-live.txt')}; or "
            "send the sound to standard input: --live - --sample_rate RATE"
        ) from error
    recorded: queue.SimpleQueue[np.ndarray] = queue.SimpleQueue()

    def take(block: np.ndarray, *_: Any) -> None:
        recorded.put(block[:, 0].copy())

    try:
        with sounddevice.InputStream(samplerate=sample_rate, channels=1, callback=take):
            while True:
                yield recorded.get()
    except sounddevice.PortAudioError as error:
        raise SedError(
            f"the microphone cannot be used: {error}; check the system's sound settings"
        ) from error


def final_outputs(windows: Iterable[tuple[int, Probabilities]], hop_outputs: int) -> Iterator[Probabilities]:
    """Average windows where they overlap, and give each output once no later window holds it.

    Parameters
    ----------
    windows : iterable of (first output, Probabilities)
        In ascending order, `hop_outputs` apart; the last one may be nearer, and then does not change what was
        given before.
    hop_outputs : int

    Yields
    ------
    Probabilities
        The outputs after those yielded before, of a recording of the frames until now.
    """
    given = 0  # outputs
    sums, counts, last = None, np.zeros((0, 1), np.float32), None

    def part(outputs: int, frames: int) -> Probabilities:
        framewise, clipwise = sums[:, :outputs] / counts[:outputs]
        return replace(last, framewise=framewise, clipwise=clipwise, frames=frames)

    for first, last in windows:
        outputs, classes = last.framewise.shape
        further = first + outputs - given - len(counts)
        new = np.zeros((2, further, classes), np.float32)
        sums = new if sums is None else np.concatenate([sums, new], axis=1)
        counts = np.concatenate([counts, np.zeros((further, 1), np.float32)])
        covered, unseen = slice(max(first - given, 0), None), slice(max(given - first, 0), None)
        sums[0, covered] += last.framewise[unseen]
        sums[1, covered] += last.clipwise
        counts[covered] += 1
        final = max(first + hop_outputs - given, 0)
        yield part(final, (given + final) * last.stride_frames)
        given, sums, counts = given + final, sums[:, final:], counts[final:]
    if last is not None:
        yield part(len(counts), first * last.stride_frames + last.frames)


def latency_bound(detector: Detector) -> float:
    """Return the most seconds from an event's end until it is certain, besides the time to compute.

    The last window that holds the event's end and what must be known after it begins before both, and must be
    complete.
    """
    outputs_per_second = detector.features.frames_per_second / detector.model.stride_frames
    return detector.features.clip_seconds + settling_seconds(detector.post_processing, outputs_per_second)


def detect_live(detector: Detector, blocks: Iterable[np.ndarray], sample_rate: int) -> Iterator[ScoredEvent]:
    """Yield the events of a stream, each as soon as it is certain, and the open ones when it ends.

    Parameters
    ----------
    detector : Detector
    blocks : iterable of np.ndarray, shape (samples,)
        The sound as it comes.
    sample_rate : int
        Of the blocks, in Hz.
    """
    features, stride = detector.features, detector.model.stride_frames
    overlap = detector.events.window_overlap
    hop_frames = window_hop_frames(features.clip_frames, stride_frames=stride, window_overlap=overlap)
    samples = frames = 0

    def counted() -> Iterator[np.ndarray]:
        nonlocal samples
        for block in blocks:
            samples += len(block)
            yield block

    def windows() -> Iterator[tuple[int, Probabilities]]:
        resampled_blocks = resampled(counted(), sample_rate, features)
        for window in cut_windows(resampled_blocks, features, stride_frames=stride, window_overlap=overlap):
            logmel = logmel_of_clip(window.samples, features)
            yield window.start_frame // stride, detector.probabilities(logmel[None])[0]

    events = LiveEvents(detector.post_processing, stride)
    for final in final_outputs(windows(), hop_frames // stride):
        frames = final.frames
        yield from events.push(final)
    yield from events.finish(frames, samples / sample_rate)


def predict_live(detector: Detector, source: str, sample_rate: int | None) -> int:
    """Print the events of a stream as a table, a row as soon as an event is certain; return the exit code.

    The stream ends with its input, or with Ctrl-C.
    """
    rate = sample_rate or detector.features.sample_rate
    sound = pcm_blocks(io.FileIO(0, closefd=False)) if source == PCM_INPUT else microphone_blocks(rate)
    incoming = Incoming(sound, rate)
    signal.signal(signal.SIGINT, incoming.stop)
    logger.info(
        f"Detecting from {time.strftime('%H:%M:%S')} on, until the stream ends or Ctrl-C; an event is "
        f"printed at most {latency_bound(detector):.1f} s after its end, plus computing time"
    )
    print("\t".join(EVENT_COLUMNS), flush=True)
    events = []
    for event in detect_live(detector, incoming, rate):
        print("\t".join(event_row(LIVE_NAME, event)), flush=True)
        events.append(event)
    of_stream = DetectedEvents(AudioFile(STANDARD_INPUT, LIVE_NAME), incoming.seconds, tuple(events))
    for line in summary_lines([of_stream], detector.labels):
        logger.info(line)
    return 0
