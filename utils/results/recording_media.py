"""What a recording's page shows and plays, gathered while the recording is read, however long it is."""

import base64
from collections.abc import Iterator

import numpy as np
import soxr

from utils.audio.logmel import logmel_of_clip
from utils.audio.mp3 import mp3
from utils.settings.groups import FeatureSettings, PageSettings

BASE64_GROWTH = 4 / 3  # characters in the page for each byte
BYTES_PER_MEGABYTE = 1e6


class Columns:
    """Rows of values over time, at most `limit` of them: where there would be more, two become their maximum.

    Parameters
    ----------
    limit : int

    Attributes
    ----------
    frames_per_column : int
        A power of two that grows with the recording.
    """

    def __init__(self, limit: int) -> None:
        self.frames_per_column = 1
        self._limit = limit
        self._parts: list[np.ndarray] = []
        self._rest = None  # frames of a column that is not full yet
        self._count = 0

    def add(self, frames: np.ndarray) -> None:
        """Take further frames, shape (frames, values)."""
        if self._rest is not None:
            frames = np.concatenate([self._rest, frames])
        whole = len(frames) // self.frames_per_column * self.frames_per_column
        self._rest = frames[whole:]
        self._append(maxima(frames[:whole], self.frames_per_column))
        while self._count > self._limit:
            merged = np.concatenate(self._parts)
            even = len(merged) // 2 * 2
            self._parts, self._count = [], 0
            self._rest = np.concatenate([merged[even:].repeat(self.frames_per_column, axis=0), self._rest])
            self.frames_per_column *= 2
            self._append(maxima(merged[:even], 2))

    @property
    def is_empty(self) -> bool:
        return self._rest is None

    def _append(self, columns: np.ndarray) -> None:
        self._parts.append(columns)
        self._count += len(columns)

    def values(self) -> np.ndarray:
        """Return all columns, shape (columns, values); the last one may stand for fewer frames."""
        last = [] if self._rest is None or not len(self._rest) else [self._rest.max(axis=0, keepdims=True)]
        return np.concatenate([*self._parts, *last])


def maxima(frames: np.ndarray, group: int) -> np.ndarray:
    """Return the maximum of each `group` successive frames; their number must be a multiple of it."""
    return frames.reshape(-1, group, *frames.shape[1:]).max(axis=1)


class RecordingMedia:
    """The spectrogram and the sound of a recording, both of bounded size.

    Parameters
    ----------
    features : FeatureSettings
    page : PageSettings

    Attributes
    ----------
    sounds : list of str
        MP3 files as base64, each of `recording_page_chunk_seconds`; none after the limit is reached.
    """

    def __init__(self, features: FeatureSettings, page: PageSettings) -> None:
        self.page = page
        self.sounds: list[str] = []
        self._features = features
        self._samples = self._sound = np.empty(0, np.float32)
        self._columns = Columns(page.recording_page_columns)
        self._resampler = None
        self._bytes_left = page.recording_page_sound_megabytes * BYTES_PER_MEGABYTE / BASE64_GROWTH

    def add(self, block: np.ndarray) -> None:
        """Take further samples, shape (samples,), at the sample rate of the features."""
        self._add_to_spectrogram(block, last=False)
        self._add_to_sound(block, last=False)

    def finish(self) -> None:
        """Take in what is left of the samples at the recording's end."""
        self._add_to_spectrogram(np.empty(0, np.float32), last=True)
        self._add_to_sound(np.empty(0, np.float32), last=True)

    @property
    def seconds_per_column(self) -> float:
        return self._columns.frames_per_column / self._features.frames_per_second

    def spectrogram(self) -> np.ndarray:
        """Return the log-mel, shape (columns, mel_bins), float16, dB: of each column the frames' maximum."""
        return self._columns.values()

    def _add_to_spectrogram(self, block: np.ndarray, *, last: bool) -> None:
        features = self._features
        self._samples = np.concatenate([self._samples, block])
        length = features.clip_frames * features.hop_size
        for start in range(0, len(self._samples) - length + 1, length):
            self._columns.add(
                logmel_of_clip(self._samples[start : start + length], features).astype(np.float16)
            )
        self._samples = self._samples[len(self._samples) // length * length :]
        if last and (len(self._samples) or self._columns.is_empty):
            padded = np.pad(self._samples, (0, length - len(self._samples)))
            frames = max(1, -(-len(self._samples) // features.hop_size))
            self._columns.add(logmel_of_clip(padded, features)[:frames].astype(np.float16))

    def _add_to_sound(self, block: np.ndarray, *, last: bool) -> None:
        if self._bytes_left <= 0:
            return
        rate = self.page.recording_page_sound_rate
        if self._resampler is None:
            self._resampler = soxr.ResampleStream(self._features.sample_rate, rate, 1, dtype="float32")
        self._sound = np.concatenate([self._sound, self._resampler.resample_chunk(block, last=last)])
        for chunk in self._chunks(round(self.page.recording_page_chunk_seconds * rate), last=last):
            content = mp3(chunk, rate)
            self._bytes_left -= len(content)
            if self._bytes_left <= 0:
                return
            self.sounds.append(base64.b64encode(content).decode())

    def _chunks(self, length: int, *, last: bool) -> Iterator[np.ndarray]:
        while len(self._sound) >= length or (last and len(self._sound)):
            yield self._sound[:length]
            self._sound = self._sound[length:]
