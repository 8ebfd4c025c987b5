"""Replaces values of `utils/config.py` by those of the file that SED_CONFIG names."""

import ast
import os
import runpy
import shlex
import types
from pathlib import Path
from typing import Any

from utils.settings.groups import Settings
from utils.system.errors import SedError, exit_with_error
from utils.system.terminal import command_to_type, short_path
from utils.system.words import did_you_mean

CONFIG_VARIABLE = "SED_CONFIG"
CONFIG_FILE = "utils/config.py"
DATASET_SETTINGS_NAME = "settings.py"  # in the folder of a data set


def public_values(namespace: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a module's namespace: no private names, modules, functions or classes."""
    no_values = (types.ModuleType, types.FunctionType, type, Settings)
    return {
        name: value
        for name, value in namespace.items()
        if not name.startswith("_") and not isinstance(value, no_values)
    }


def settings_file() -> Path | None:
    """Return the absolute path of the file that SED_CONFIG names; None where it names none."""
    path = os.environ.get(CONFIG_VARIABLE)
    return Path(path).absolute() if path else None


def settings_source() -> str:
    """Return where the settings are from, for messages."""
    path = settings_file()
    return f"{CONFIG_VARIABLE}={path}" if path else CONFIG_FILE


def source_of(name: str) -> str:
    """Return where the value of a setting is from, for messages."""
    return settings_source() if name in read_overrides() else CONFIG_FILE


def with_settings(script: Path, *words: str | Path) -> str:
    """Return a command for a shell in the current directory, with the settings file that it needs."""
    path, command = settings_file(), command_to_type(script, *words)
    return f"{CONFIG_VARIABLE}={shlex.quote(short_path(path))} {command}" if path else command


def require_settings_of(dataset_dir: Path) -> None:
    """Raise SedError where a data set has settings of its own, and SED_CONFIG names none."""
    path = dataset_dir / DATASET_SETTINGS_NAME
    if settings_file() is None and path.is_file():
        raise SedError(
            f"{dataset_dir}: has settings of its own; use them with: export "
            f"{CONFIG_VARIABLE}={shlex.quote(str(path.absolute()))}"
        )


def read_overrides() -> dict[str, Any]:
    """Run the Python file that SED_CONFIG names and return its values; none where it names none.

    Raises
    ------
    SedError
        If the file cannot be run, or holds an unknown name.
    """
    path, where = settings_file(), settings_source()
    if path is None:
        return {}
    if not path.is_file():
        raise SedError(
            f"{where}: there is no such file; name a Python file with values of utils/config.py, "
            "by an absolute path"
        )
    try:
        values = literal_values(path) if is_of_dataset(path) else public_values(runpy.run_path(str(path)))
    except Exception as error:
        raise SedError(f"{where}: cannot be run as Python: {type(error).__name__}: {error}") from error
    known = Settings.names()
    for name in values:
        if name not in known:
            raise SedError(
                f"{where}: unknown name '{name}'{did_you_mean(name, known)}; the names are those in "
                f"{CONFIG_FILE}"
            )
    return values


def is_of_dataset(path: Path) -> bool:
    """Tell whether a settings file lies in the folder of a data set, which may come from somebody else."""
    return path.name == DATASET_SETTINGS_NAME and (path.parent / "metadata").is_dir()


def literal_values(path: Path) -> dict[str, Any]:
    """Return the values of a file that holds nothing but names and values; none of its text is run.

    Raises
    ------
    SyntaxError
        If it holds anything else.
    """
    values = {}
    for statement in ast.parse(path.read_text(encoding="utf-8"), str(path)).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                try:
                    values[name] = ast.literal_eval(value)
                except ValueError:
                    raise SyntaxError(f"line {statement.lineno}: {name} must be a plain value") from None
            case ast.Expr(value=ast.Constant()):  # a docstring
                pass
            case _:
                raise SyntaxError(
                    f"line {statement.lineno}: the settings of a data set may hold nothing but name = value"
                )
    return values


def apply_overrides(namespace: dict[str, Any]) -> Settings:
    """Replace values in the namespace of the config module; return all of them, checked, in their groups.

    The config is read while modules are imported, before any `main` could report an error: so a wrong
    file ends the program here.
    """
    try:
        namespace.update(read_overrides())
        return Settings.of(namespace, settings_source())
    except SedError as error:
        exit_with_error(error)
