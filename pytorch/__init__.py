"""Networks, their training, and the commands on trained models."""

import utils  # noqa: F401 (ends a command with one line where packages are missing)
