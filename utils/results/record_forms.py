"""What a line of statistics must hold for the table, the figures and the page; other keys do no harm."""

import sys
from typing import Any

from utils.workspace.run import STUDENT, TEACHER, Variant

EACH = "*"  # a key that stands for all keys of an object
OPTIONAL = "?"  # ends a key that may be absent
NUMBER = "a number or null"

VARIANTS = [Variant(weights, tuned) for weights in (STUDENT, TEACHER) for tuned in (False, True)]
AVERAGE = {"f1": NUMBER}
METRIC = {"macro": AVERAGE, "micro": AVERAGE, "classwise": {EACH: {}}}
SCORES = {
    "mean_average_precision": NUMBER,
    "clips": NUMBER,
    "clips_listed": NUMBER,
    "event": METRIC,
    "segment": {EACH: METRIC},
    f"psds{OPTIONAL}": {EACH: NUMBER},
}
SCORED = {f"{variant.scores_key}{OPTIONAL}": SCORES for variant in VARIANTS}
SCORED |= {f"{name}{OPTIONAL}": NUMBER for name in ("loss", "train_seconds")}
LOSS = {"loss": NUMBER}


def misfit(value: Any, form: Any, name: str) -> str | None:
    """Return what of a value, read from JSON, is not of the form; None if all is.

    Parameters
    ----------
    value : object
    form : dict or str
        Of an object the forms of its values by their keys; of a number `NUMBER`.
    name : str
        Of the value.
    """
    if form == NUMBER:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        is_right = value is None or (is_number and abs(value) <= sys.float_info.max)
        return None if is_right else f"{name} is not {NUMBER}"
    if not isinstance(value, dict):
        return f"{name} is not an object"
    for key, of_key in form.items():
        plain = key.removesuffix(OPTIONAL)
        if key != EACH and plain not in value:
            if plain == key:
                return f"{name} has no '{key}'"
            continue
        for inner in value if key == EACH else [plain]:
            if found := misfit(value[inner], of_key, inner):
                return found
    return None
