"""Words of messages: numbers of things, and guesses what was meant by a name that is not known."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from unicodedata import normalize

LEAST_SIMILARITY = 0.7  # of two names, 1 being the same


def name_key(name: str) -> str:
    """Return a name such that those that differ in case or Unicode form, or in quotes around, are alike."""
    return normalize("NFC", name).casefold().strip(" '\"")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like `name`; None where none is like it."""
    by_key = {name_key(one): one for one in known}
    found = get_close_matches(name_key(name), by_key, 1, LEAST_SIMILARITY)
    return by_key[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` (did you mean Dog?)` where a known name is like `name`, else no text."""
    guess = nearest(name, known)
    return f" (did you mean {guess}?)" if guess else ""


def name_some(names: Sequence[str], shown: int = 3) -> str:
    """Return the first few names, and dots for the others."""
    return ", ".join(names[:shown]) + ", …" * (len(names) > shown)


def counted(number: int, noun: str) -> str:
    """Return `1 clip`, `2 clips`."""
    return f"{number} {noun}{'s' * (number != 1)}"
