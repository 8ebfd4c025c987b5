"""Networks, their training, and the commands on trained models."""

import os

import utils  # noqa: F401 (ends a command with one line where packages are missing)

# Before torch is imported. Threads that wait for each other spin so many times before they sleep: with
# OpenMP's default of 300 000, they keep other processes from the cores. In the demonstration, this halves the
# time of an iteration beside two busy processes, and costs nothing on idle cores (appendixes/speed.md).
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
