"""Audio in formats that soundfile does not read, decoded by ffmpeg where it is installed."""

import re
import shutil
import struct
import subprocess
import threading
from collections import deque
from functools import cache
from pathlib import Path
from typing import Self

import numpy as np

# Formats of audio and video beyond those of soundfile; other files that ffmpeg reads can be named singly.
FFMPEG_SUFFIXES = {
    f".{name}"
    for name in "3gp aac ac3 amr avi m4a m4b mka mkv mov mp4 mpeg mpg webm wma wmv wv".split()  # noqa: SIM905
}
DURATION = re.compile(r"Duration: (\d+):(\d\d):(\d\d\.\d+)")
AU_HEADER = struct.Struct(">4sIIIII")  # magic, offset of the samples, their bytes, encoding, rate, channels
BYTES_PER_SAMPLE = 4
LINES_KEPT = 3  # of ffmpeg's complaints


@cache
def has_ffmpeg() -> bool:
    return shutil.which("ffmpeg") is not None


def ffmpeg_input(path: Path) -> list[str]:
    """Return the start of a command that reads a file, or standard input if it is `-`, and nothing else."""
    source = "pipe:0" if str(path) == "-" else f"file:{path}"
    return ["ffmpeg", "-nostdin", "-hide_banner", "-protocol_whitelist", "file,pipe,fd", "-i", source]


def ffmpeg_seconds(path: Path) -> float:
    """Return the duration that ffmpeg finds in a file's header, in s; 0 where it finds none."""
    if not has_ffmpeg():
        return 0.0
    result = subprocess.run(ffmpeg_input(path), stdin=subprocess.DEVNULL, capture_output=True)
    found = DURATION.search(result.stderr.decode(errors="replace"))
    hours, minutes, seconds = map(float, found.groups()) if found else (0, 0, 0)
    return 3600 * hours + 60 * minutes + seconds


class FfmpegAudio:
    """Audio that ffmpeg decodes into a pipe, with as much of SoundFile's interface as `read_block` needs.

    Parameters
    ----------
    path : Path
        A file with sound; `-` is standard input. Of several tracks the first one is taken.

    Raises
    ------
    OSError
        If ffmpeg cannot decode it, also while it is read.
    """

    subtype = "FLOAT"

    def __init__(self, path: Path) -> None:
        output = ["-v", "error", "-map", "0:a:0", "-f", "au", "-c:a", "pcm_f32be", "pipe:1"]
        self._process = subprocess.Popen(
            [*ffmpeg_input(path), *output],
            stdin=None if str(path) == "-" else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for this process
        )
        self._complaints: deque[bytes] = deque(maxlen=LINES_KEPT)
        self._reader = threading.Thread(target=self._complaints.extend, args=(self._process.stderr,))
        self._reader.start()
        self._samples_read = 0
        header = self._process.stdout.read(AU_HEADER.size)
        if len(header) < AU_HEADER.size:
            self._process.wait()
            error = OSError(self._problem())
            self.close()
            raise error
        _, offset, _, _, self.samplerate, self.channels = AU_HEADER.unpack(header)
        self._process.stdout.read(offset - AU_HEADER.size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End ffmpeg, however far it has come."""
        self._process.kill()
        self._process.stdout.close()
        self._process.wait()
        self._reader.join()
        self._process.stderr.close()

    def _problem(self) -> str:
        self._reader.join()
        lines = [line.decode(errors="replace").strip() for line in self._complaints]
        return "ffmpeg: " + ("; ".join(lines) or f"exit code {self._process.returncode}")

    def tell(self) -> int:
        """Return the number of samples of each channel that were read."""
        return self._samples_read

    def read(self, length: int, dtype: str = "float32", always_2d: bool = True) -> np.ndarray:
        """Read the next samples, at most `length`: shape (samples, channels), full scale = 1."""
        content = self._process.stdout.read(length * self.channels * BYTES_PER_SAMPLE)
        if len(content) < length * self.channels * BYTES_PER_SAMPLE:
            failed = self._process.wait() != 0
            self._reader.join()
            nothing = not content and self._samples_read == 0
            if failed or (nothing and self._complaints):
                raise OSError(self._problem())
        audio = np.frombuffer(content, ">f4").reshape(-1, self.channels)
        self._samples_read += len(audio)
        return audio.astype(dtype)
