"""Writing files so that a half-written one is never taken for a whole one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from utils.errors import SedError


def make_folder(path: Path) -> Path:
    """Create the folder where it is missing, and return it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SedError(f"{path}: the folder cannot be created: {error.strerror}") from error
    return path


def remove_file(path: Path) -> None:
    """Remove the file if there is one."""
    try:
        path.unlink(missing_ok=True)
    except NotADirectoryError:
        pass  # then there is no such file either
    except OSError as error:
        raise SedError(f"{path}: cannot be removed: {error.strerror}") from error


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to; it takes the place of `path` when all went well.

    Raises
    ------
    SedError
        If the operating system refuses to write.
    """
    make_folder(path.parent)
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        yield unfinished
        unfinished.replace(path)
    except OSError as error:
        raise SedError(f"{path}: cannot be written: {error}") from error
    finally:
        unfinished.unlink(missing_ok=True)
