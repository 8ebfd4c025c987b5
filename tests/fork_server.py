"""Runs commands in forks of a process that has their libraries imported, which takes longer than most tests.

Each line of the input asks for one: a JSON object with `arguments` (the script first), `environment`,
`stdout` and `stderr` (paths), and perhaps `stdin` and `folder`. The exit code is printed when it has ended.
A command has a process of its own, as in a shell.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import signal
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

LIBRARIES = (
    "torch",
    "torch._dynamo",
    "h5py",
    "joblib",
    "librosa.filters",
    "matplotlib.figure",
    "scipy.fft",
    "scipy.ndimage",
    "scipy.optimize",
    "scipy.sparse",
    "sed_eval",
    "sklearn.metrics",
    "soundfile",
    "soxr",
    "tqdm",
)
LONGEST_COMMAND = 300  # s
STANDARD_FILES = {"stdin": (0, os.O_RDONLY), "stdout": (1, os.O_WRONLY), "stderr": (2, os.O_WRONLY)}


def become(request: dict[str, Any]) -> None:
    """Run the command in this process, as Python would if it had been started with it."""
    signal.alarm(LONGEST_COMMAND)
    for name, (number, mode) in STANDARD_FILES.items():
        file = os.open(request.get(name, os.devnull), mode)
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request.get("folder", "/"))
    sys.argv = request["arguments"]
    sys.path[0] = str(Path(sys.argv[0]).parent)
    sys.path[1:1] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    runpy.run_path(sys.argv[0], run_name="__main__")


def exit_code_of(request: dict[str, Any]) -> int:
    """Run the command in this process, and return the code that Python would end with."""
    try:
        become(request)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def end_process(exit_code: int) -> None:
    """End this process as Python does, without freeing every object first.

    To free them, the fork would need a copy of all memory that it shares with its parent: four times the
    work of a short command.
    """
    threading._shutdown()  # waits for the threads
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


def main() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for library in LIBRARIES:
            importlib.import_module(library)
    gc.freeze()  # the forks share these objects' memory as long as their collectors leave them alone
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            end_process(exit_code_of(json.loads(line)))
        _, status = os.waitpid(process, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
