"""The rooms of the pipeline, and its commands on data and results."""

import sys
from importlib.util import find_spec

for name in ("torch", "sed_eval"):  # which a Python without requirements.txt lacks
    if find_spec(name) is None:
        print(
            f"error: {name} is not installed in {sys.executable}; run: source .venv/bin/activate, which "
            "runme.sh makes, or install requirements.txt",
            file=sys.stderr,
        )
        sys.exit(2)
