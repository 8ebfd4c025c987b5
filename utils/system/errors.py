"""The one exception for mistakes that the user can mend."""

import sys
from typing import NoReturn


class SedError(Exception):
    """A mistake the user can mend: one sentence with what is wrong, where, and what to do."""


def exit_with_error(error: SedError) -> NoReturn:
    """Print the error as one line on standard error and leave with exit code 2."""
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    sys.exit(2)
