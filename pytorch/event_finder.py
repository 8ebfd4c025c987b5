"""Recordings -> events, and the files of each recording as it ends."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pytorch.detector import StoredDetector
from pytorch.long_audio import detect_in_streams
from utils.audio.reading import SampleStream
from utils.audio.recordings import AudioFile, Unread, header_seconds
from utils.events.event_files import DetectedEvents, write_audacity, write_probabilities, write_raven
from utils.events.probabilities import Probabilities
from utils.events.scored_events import events_within, with_scores
from utils.results.recording_media import RecordingMedia
from utils.settings.groups import PageSettings
from utils.system.log import logger
from utils.system.progress import audio_progress, describe_speed
from utils.workspace.paths import EventPaths


@dataclass(frozen=True)
class EventFiles:
    """What goes into an output folder; a page only where there are settings for it."""

    paths: EventPaths
    formats: tuple[str, ...]
    probabilities: bool
    page: PageSettings | None


class EventFinder:
    """Detects events in recordings, and writes the files of each one as it ends.

    Parameters
    ----------
    detector : StoredDetector
    files : EventFiles or None
    """

    def __init__(self, detector: StoredDetector, files: EventFiles | None = None) -> None:
        self.detector = detector
        self.files = files

    def work(self) -> dict[str, Any]:
        """Return what the files of a recording depend on, besides the recording."""
        return {
            "training_id": self.detector.training_id,
            "iteration": self.detector.iteration,
            "settings": repr((self.detector.features, self.detector.events, self.detector.post_processing)),
            "compute": repr(self.detector.compute),
            "files": repr(self.files),
        }

    def settings(self) -> dict[str, Any]:
        """Return what the events depend on besides the weights, for a file beside them."""
        return {
            "settings": asdict(self.detector.features)
            | {"window_overlap": self.detector.events.window_overlap},
            "post_processing": self.detector.post_processing.to_json(),
        }

    def detect(self, recordings: Sequence[AudioFile], unreadable: list[Unread]) -> Iterator[DetectedEvents]:
        """Yield the events of each readable recording as it ends; note the others as unreadable."""
        page = self.files.page if self.files else None
        media = {one: RecordingMedia(self.detector.features, page) for one in recordings if page}
        post_processing = self.detector.post_processing
        for recording, seconds, probabilities in self._probabilities(recordings, unreadable, media):
            events = events_within(post_processing.events(probabilities), seconds)
            scored = with_scores(events, probabilities, post_processing)
            detected = DetectedEvents(recording, seconds, scored)
            if self.files is not None:
                self._write(self.files, detected, probabilities, media.pop(recording, None))
            yield detected

    def _probabilities(
        self,
        recordings: Sequence[AudioFile],
        unreadable: list[Unread],
        media: dict[AudioFile, RecordingMedia],
    ) -> Iterator[tuple[AudioFile, float, Probabilities]]:
        """Yield each readable recording, its seconds and its probabilities."""
        start = time.perf_counter()
        of_stream = {
            SampleStream(one.path, self.detector.features, media[one].add if one in media else None): one
            for one in recordings
        }
        total_seconds = sum(header_seconds(recording.path) for recording in recordings)

        def seconds_read() -> float:
            return sum(stream.seconds for stream in of_stream)

        steps = detect_in_streams(self.detector, list(of_stream))
        for step in audio_progress(steps, "Detecting", total_seconds, seconds_read):
            if step is not None:
                stream, probabilities = step
                yield of_stream[stream], stream.seconds, probabilities
        unreadable += [
            Unread(stream.path, str(stream.error)) for stream in of_stream if stream.error is not None
        ]
        elapsed = time.perf_counter() - start
        if seconds_read():
            speed = describe_speed(seconds_read(), elapsed)
            logger.info(f"{seconds_read():.0f} s of audio in {elapsed:.1f} s: {speed}")

    def _write(
        self,
        files: EventFiles,
        detected: DetectedEvents,
        probabilities: Probabilities,
        media: RecordingMedia | None,
    ) -> None:
        """Write the files that each recording has of its own."""
        name, features = detected.recording.name, self.detector.features
        if "audacity" in files.formats:
            write_audacity(files.paths.audacity(name), detected.events)
        if "raven" in files.formats:
            write_raven(
                files.paths.raven(name),
                detected.events,
                low_hz=features.mel_min_frequency,
                high_hz=features.mel_max_frequency,
            )
        if files.probabilities:
            write_probabilities(
                files.paths.probabilities(name),
                probabilities.stretched(),
                detected.seconds,
                labels=features.labels,
                frames_per_second=features.frames_per_second,
            )
        if media is not None:
            # Here, as matplotlib takes half a second to import.
            from utils.results.recording_page import write_recording_page

            write_recording_page(
                files.paths.page(name),
                detected,
                probabilities,
                media,
                self.detector.post_processing,
                features,
                detected_by=f"{self.detector.model_type}, iteration {self.detector.iteration}",
            )
