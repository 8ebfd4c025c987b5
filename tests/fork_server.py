"""Runs commands in forks of a process that has their libraries imported, which takes longer than most tests.

Each line of the input asks for one: a JSON object with `arguments` (the script first), `environment`,
`stdout` and `stderr` (paths), and perhaps `stdin` and `folder`. The exit code is printed when it has ended.
A command has a process of its own, as in a shell.
"""

import gc
import importlib
import json
import os
import runpy
import signal
import sys
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


def main() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for library in LIBRARIES:
            importlib.import_module(library)
    gc.freeze()  # the forks share these objects' memory as long as their collectors leave them alone
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            become(json.loads(line))
            break
        _, status = os.waitpid(process, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
