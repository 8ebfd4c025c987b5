"""Ends a training in good order when it is asked to stop: by Ctrl-C, or by a machine's SIGTERM."""

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

from utils.settings.overrides import with_settings
from utils.system.log import logger
from utils.system.workers import end_with

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
FIRST_SIGNAL_CODE = 128  # a command that a signal ends has this plus the signal's number as exit code


class StopRequest:
    """Notices a stop signal, so that the loop can end itself; a second signal ends the process at once."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self.before = {number: signal.getsignal(number) or signal.SIG_DFL for number in STOP_SIGNALS}
        for number, handler in self.before.items():
            if handler != signal.SIG_IGN:  # as nohup and a shell's background jobs have Ctrl-C
                signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        self.listen_no_more()

    def listen_no_more(self) -> None:
        """Let the signals do again what they did before."""
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def leave(self, iteration: int, *, is_alone: bool) -> NoReturn:
        """Say how to go on, and leave with the exit code of the signal."""
        script, *words = sys.argv
        words += ["--resume"] * ("--resume" not in words)
        command = (
            with_settings(Path(script), *words) if is_alone else "the same torchrun command and --resume"
        )
        name = "the stop of another rank" if self.signal is None else self.signal.name
        logger.info(f"Stopped by {name} after iteration {iteration}; go on with: {command}")
        sys.exit(FIRST_SIGNAL_CODE + (self.signal or signal.SIGTERM))


def start_worker(parent: int) -> None:
    """Leave Ctrl-C, which reaches all processes of a terminal, to the parent process, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with(parent)
