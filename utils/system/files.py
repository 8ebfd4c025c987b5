"""Writes files atomically, and locks them against a second process."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from utils.system.errors import SedError


def make_folder(path: Path) -> Path:
    """Create the folder where it is missing, and return it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SedError(f"{path}: the folder cannot be created: {error.strerror}") from error
    return path


def require_writable(folder: Path) -> None:
    """Create the folder where it is missing; raise SedError where no file can be written into it."""
    make_folder(folder)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise SedError(f"{folder}: cannot be written to: {error.strerror}; name another folder") from error


def remove_file(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except NotADirectoryError:
        pass  # then there is no such file either
    except OSError as error:
        raise SedError(f"{path}: cannot be removed: {error.strerror}") from error


def is_same_file(descriptor: int, path: Path) -> bool:
    """Tell whether the open file still is the one at the path."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def claim(lock: Path, what: object) -> int:
    """Lock a file; the operating system releases the lock when this process ends, however it ends.

    Parameters
    ----------
    lock : Path
        The file; it is created where it is missing.
    what : object
        What the lock guards, for the error message.

    Returns
    -------
    int
        The file descriptor; closing it releases the lock.

    Raises
    ------
    SedError
        If another process holds the lock, or the file cannot be created.
    """
    make_folder(lock.parent)
    while True:
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise SedError(f"{what}: cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise SedError(f"{what}: another process writes here; wait until it ends, or stop it") from error
        if is_same_file(descriptor, lock):
            return descriptor
        os.close(descriptor)  # the process that held the lock has just renamed or removed the file


@contextmanager
def claimed(lock: Path, what: object) -> Iterator[None]:
    """Hold the lock of `claim`."""
    descriptor = claim(lock, what)
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to; it replaces `path` when all went well.

    Raises
    ------
    SedError
        If the operating system refuses to write, or another process writes the same file.
    """
    make_folder(path.parent)
    unfinished = path.with_name(f".{path.name}.unfinished")
    with claimed(unfinished, path):
        try:
            yield unfinished
            unfinished.replace(path)
        except OSError as error:
            raise SedError(f"{path}: cannot be written: {error}") from error
        finally:
            unfinished.unlink(missing_ok=True)
