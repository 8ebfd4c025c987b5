"""Replaces values of `utils/config.py` by those of the file that SED_CONFIG names."""

import os
import runpy
import types
from pathlib import Path
from typing import Any

from utils.settings.groups import Settings
from utils.system.errors import SedError, exit_with_error

CONFIG_VARIABLE = "SED_CONFIG"


def public_values(namespace: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a module's namespace: no private names, imported modules, functions or classes."""
    no_values = (types.ModuleType, types.FunctionType, type)
    return {
        name: value
        for name, value in namespace.items()
        if not name.startswith("_") and not isinstance(value, no_values)
    }


def read_overrides() -> dict[str, Any]:
    """Run the Python file that SED_CONFIG names and return its values; none where it names none.

    Raises
    ------
    SedError
        If the file cannot be run, or holds an unknown name.
    """
    path = os.environ.get(CONFIG_VARIABLE)
    if not path:
        return {}
    where = f"{CONFIG_VARIABLE}={path}"
    if not Path(path).is_file():
        raise SedError(f"{where}: there is no such file; name a Python file with values of utils/config.py")
    try:
        values = public_values(runpy.run_path(path))
    except Exception as error:
        raise SedError(f"{where}: cannot be run as Python: {type(error).__name__}: {error}") from error
    known = Settings.names()
    for name in values:
        if name not in known:
            raise SedError(f"{where}: unknown name '{name}'; the known ones are {', '.join(sorted(known))}")
    return values


def apply_overrides(namespace: dict[str, Any]) -> None:
    """Replace values in the namespace of the config module, and check all of them.

    The config is read while modules are imported, before any `main` could report an error: so a wrong
    file ends the program here.
    """
    try:
        namespace.update(read_overrides())
        path = os.environ.get(CONFIG_VARIABLE)
        Settings.of(namespace, f"{CONFIG_VARIABLE}={path}" if path else "utils/config.py")
    except SedError as error:
        exit_with_error(error)
