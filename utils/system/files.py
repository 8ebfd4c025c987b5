"""Writes files atomically, and locks them against a second process."""

import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from utils.system.errors import SedError

LONGEST_NAME_BYTES = 255  # of Linux's and macOS's file systems
LONGEST_WAIT_SECONDS = 10.0  # for another process to write a file, which takes it milliseconds
SECONDS_BETWEEN_TRIES = 0.02


def make_folder(path: Path) -> Path:
    """Create the folder where it is missing, and return it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        places = [*reversed(path.parents), path]
        obstacle = next((one for one in places if os.path.lexists(one) and not one.is_dir()), path)
        what = "a link to what is not there" if obstacle.is_symlink() else "not a folder"
        raise SedError(f"{obstacle}: is {what}; remove it, or name another folder") from error
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


def require_regular(path: Path) -> None:
    """Raise SedError where the path is a pipe, a device or the like, as reading one might never end."""
    if path.exists() and not path.is_file():
        raise SedError(f"{path}: is not a regular file; replace or remove it")


def identity(path: Path) -> tuple[str, int, int]:
    """Return what identifies a version of a file: path, size, and time of change in ns."""
    status = path.stat()
    return str(path.absolute()), status.st_size, status.st_mtime_ns


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's content; raises SedError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SedError(f"{path}: cannot be read: {error.strerror}; name a file that is there") from error


def is_same_file(descriptor: int, path: Path) -> bool:
    """Tell whether the open file still is the one at the path."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def claim(lock: Path, what: object, *, wait_seconds: float = 0.0) -> int:
    """Lock a file; the operating system releases the lock when this process ends, however it ends.

    Parameters
    ----------
    lock : Path
        The file; it is created where it is missing.
    what : object
        What the lock guards, for the error message.
    wait_seconds : float
        How long to wait for another process that holds the lock.

    Returns
    -------
    int
        The file descriptor; closing it releases the lock.

    Raises
    ------
    SedError
        If another process holds the lock, the file cannot be created, or the file system has no locks.
    """
    make_folder(lock.parent)
    give_up_at = time.monotonic() + wait_seconds
    while True:
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise SedError(f"{what}: cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            if time.monotonic() < give_up_at:
                time.sleep(SECONDS_BETWEEN_TRIES)
                continue
            raise SedError(f"{what}: another process writes here; wait until it ends, or stop it") from error
        except OSError as error:
            os.close(descriptor)
            raise SedError(
                f"{what}: its file system cannot lock files (flock: {error.strerror}), without which two "
                "processes could write the same one; write to another file system, such as a local disk"
            ) from error
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


def unfinished_beside(path: Path) -> Path:
    """Return where a file is written to before it is whole: a hidden one, named after it where that fits."""
    name = f".{path.name}.unfinished"
    if len(os.fsencode(name)) > LONGEST_NAME_BYTES:
        name = f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()}.unfinished"
    return path.with_name(name)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to; it replaces `path` when all went well.

    Raises
    ------
    SedError
        If the operating system refuses to write, or another process writes the same file for long.
    """
    make_folder(path.parent)
    unfinished = unfinished_beside(path)
    descriptor = claim(unfinished, path, wait_seconds=LONGEST_WAIT_SECONDS)
    try:
        yield unfinished
        unfinished.replace(path)
    except OSError as error:
        raise SedError(f"{path}: cannot be written: {error}") from error
    finally:
        if is_same_file(descriptor, unfinished):  # once renamed, it may be another process's
            with suppress(OSError):
                unfinished.unlink()
        os.close(descriptor)
