"""Replaces values of `utils/config.py` by those of the file that SED_CONFIG names."""

import math
import os
import runpy
import types
from pathlib import Path
from typing import Any

from utils.system.errors import SedError, exit_with_error

CONFIG_VARIABLE = "SED_CONFIG"
POSITIVE = ("sample_rate", "clip_seconds", "window_size", "hop_size", "mel_bins", "median_filter_outputs")


def public_values(namespace: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a module's namespace: no private names, imported modules, functions or classes."""
    no_values = (types.ModuleType, types.FunctionType, type)
    return {
        name: value
        for name, value in namespace.items()
        if not name.startswith("_") and not isinstance(value, no_values)
    }


def read_overrides(path: Path, known: dict[str, Any]) -> dict[str, Any]:
    """Run the Python file `path` and return its values.

    Raises
    ------
    SedError
        If the file cannot be run, or if a name or the type of a value is none of `known`.
    """
    where = f"{CONFIG_VARIABLE}={path}"
    if not path.is_file():
        raise SedError(f"{where}: there is no such file; name a Python file with values of utils/config.py")
    try:
        values = public_values(runpy.run_path(str(path)))
    except Exception as error:
        raise SedError(f"{where}: cannot be run as Python: {type(error).__name__}: {error}") from error
    for name, value in values.items():
        if name not in known:
            raise SedError(f"{where}: unknown name '{name}'; the known ones are {', '.join(sorted(known))}")
        check_type(where, name, value, known[name])
    return values


def check_type(where: str, name: str, value: object, default: object) -> None:
    """Raise SedError unless `value` can stand in the place of `default`."""
    if isinstance(default, bool | str):
        expected: tuple[type, ...] = (type(default),)
    elif isinstance(default, int):
        expected = (int,)
    elif isinstance(default, float):
        expected = (int, float)
    else:
        expected = (list, tuple)
    if not isinstance(value, expected) or (isinstance(value, bool) and not isinstance(default, bool)):
        names = " or ".join(kind.__name__ for kind in expected)
        raise SedError(f"{where}: {name} must be {names}, but is {value!r}")


def check_labels(labels: list[str], where: str) -> None:
    """Raise SedError unless the labels are distinct, non-empty strings that a table can hold."""
    for label in labels:
        if not isinstance(label, str) or label != label.strip() or not label or set(label) & set(",\t\n\r"):
            raise SedError(f"{where}: {label!r} is no label: it must be text without commas or tabs")
    if not labels or len(set(labels)) != len(labels):
        raise SedError(f"{where}: labels must be distinct and at least one, but they are {labels}")


def check_values(settings: dict[str, Any], where: str = "config") -> None:
    """Raise SedError unless features can be computed with the settings; they are of the right types.

    Parameters
    ----------
    settings : dict
        Values by name; those of the config's namespace, or some of them.
    where : str
        What holds them, for the message.
    """
    check_labels(settings["labels"], where)
    for name in POSITIVE:
        if not 0 < settings[name] < math.inf:
            raise SedError(f"{where}: {name} must be more than 0, but is {settings[name]}")
    if not 0 <= settings["window_overlap"] < 1:
        raise SedError(
            f"{where}: window_overlap must be 0 or more and less than 1, but is {settings['window_overlap']}"
        )
    samples = settings["clip_seconds"] * settings["sample_rate"]
    if samples < max(settings["window_size"], settings["hop_size"]):
        raise SedError(
            f"{where}: a clip of {settings['clip_seconds']} s has fewer samples than window_size or hop_size"
        )
    if not 0 <= settings["mel_min_frequency"] < settings["mel_max_frequency"] <= settings["sample_rate"] / 2:
        raise SedError(
            f"{where}: mel_min_frequency {settings['mel_min_frequency']} Hz must be below mel_max_frequency "
            f"{settings['mel_max_frequency']} Hz, and that at most half of sample_rate "
            f"{settings['sample_rate']} Hz"
        )


def own_overrides(known: dict[str, Any]) -> dict[str, Any]:
    """Return the values of the file that SED_CONFIG names; none where it names none."""
    path = os.environ.get(CONFIG_VARIABLE)
    return read_overrides(Path(path), known) if path else {}


def apply_overrides(settings: dict[str, Any]) -> None:
    """Replace values in `settings` (the namespace of the config module) by those of SED_CONFIG's file.

    The config is read while modules are imported, before any `main` could report an error: so a wrong
    file ends the program here.
    """
    try:
        settings.update(own_overrides(public_values(settings)))
        check_values(settings)
    except SedError as error:
        exit_with_error(error)
