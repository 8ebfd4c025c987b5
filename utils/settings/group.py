"""A group of settings: a frozen dataclass whose fields say which values they may hold."""

import math
import sys
import typing
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from functools import cache
from typing import Any, Self

from utils.system.errors import SedError


@dataclass(frozen=True)
class Limits:
    """The values that a setting may hold: a range of finite numbers, or one of a few words."""

    at_least: float = -math.inf
    above: float = -math.inf
    below: float = math.inf
    at_most: float = math.inf
    choices: tuple[str, ...] | None = None

    def allow(self, value: Any) -> bool:
        """Tell whether the value is within the limits; NaN and infinity never are."""
        if isinstance(value, str):
            return self.choices is None or value in self.choices
        in_range = self.at_least <= value <= self.at_most and self.above < value < self.below
        return in_range and abs(value) <= sys.float_info.max

    def __str__(self) -> str:
        if self.choices is not None:
            return f"one of {', '.join(self.choices)}"
        bounds = {
            "at least": self.at_least,
            "more than": self.above,
            "less than": self.below,
            "at most": self.at_most,
        }
        finite = [f"{words} {bound:g}" for words, bound in bounds.items() if math.isfinite(bound)]
        return " and ".join(finite) or "finite"


def setting(**limits: Any) -> Any:
    """Return a dataclass field with `Limits` made of the keywords; of a tuple they hold for each element."""
    return field(metadata={"limits": Limits(**limits)})


class SettingsGroup:
    """Base of the groups: checks types and limits when an object is made, however it is made.

    Raises
    ------
    SedError
        If a value is of the wrong type, outside its limits, or does not go together with another one.
    """

    def __post_init__(self) -> None:
        for one in fields(self):  # type: ignore[arg-type]
            value = checked(one, type_of(type(self), one.name), getattr(self, one.name))
            object.__setattr__(self, one.name, value)
        self.check_together()

    def check_together(self) -> None:
        """Raise SedError where values do not go together."""

    @classmethod
    def of(cls, values: Mapping[str, Any], where: str) -> Self:
        """Make the group of the values that bear its fields' names; `where` they are goes into messages."""
        for name in names_of(cls):
            if name not in values:
                raise SedError(f"{where}: {name} is missing")
        try:
            return cls(**{name: values[name] for name in names_of(cls)})
        except SedError as error:
            raise SedError(f"{where}: {error}") from error


def differences(group: SettingsGroup, other: SettingsGroup) -> list[str]:
    """Return `name=value` of each setting that is not as in another one of the group, for a folder's name."""
    return [f"{name}={text_of(getattr(group, name))}" for name in differing(group, other)]


def differing(group: SettingsGroup, other: SettingsGroup) -> list[str]:
    """Return the names of the settings that are not as in another one of the group."""
    return [name for name in names_of(type(group)) if getattr(group, name) != getattr(other, name)]


def text_of(value: Any) -> str:
    """Return a value as it stands in a folder's name."""
    if isinstance(value, tuple):
        return "-".join(map(text_of, value))
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def names_of(group: type) -> list[str]:
    """Return the names of a group's settings."""
    return [one.name for one in fields(group)]


def limits_of(group: type, name: str) -> Limits:
    """Return the limits of a setting."""
    return next(one.metadata["limits"] for one in fields(group) if one.name == name)


@cache
def type_of(group: type, name: str) -> Any:
    return typing.get_type_hints(group)[name]


def checked(one: Field, expected: Any, value: Any) -> Any:
    """Return the value as the setting's type: lists become tuples, and whole numbers floats where need be."""
    if typing.get_origin(expected) is tuple:
        if not isinstance(value, list | tuple) or not value:
            raise SedError(f"{one.name} must be a list of at least one value, but is {value!r}")
        kinds = typing.get_args(expected)
        if kinds[-1] is not Ellipsis and len(value) != len(kinds):
            raise SedError(f"{one.name} must be {len(kinds)} values, but is {shown(value)}")
        return tuple(checked_value(one, kinds[0], element) for element in value)
    return checked_value(one, expected, value)


def checked_value(one: Field, kind: type, value: Any) -> Any:
    """Return a single value as the type `kind`, within the setting's limits."""
    accepted = (int, float) if kind is float else (kind,)
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise SedError(f"{one.name} must be {KINDS[kind]}, but is {shown(value)}")
    limits = one.metadata.get("limits", Limits())
    if kind is not bool and not limits.allow(value):
        raise SedError(f"{one.name} must be {limits}, but is {shown(value)}")
    return float(value) if kind is float else value


def shown(value: Any) -> str:
    """Return a value for a message, shortened where it is long."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to print whole numbers of thousands of digits
        text = "a huge number"
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


KINDS = {float: "a number", int: "a whole number", bool: "True or False", str: "text"}
LONGEST_SHOWN = 80  # characters
