"""Opens regular files only: reading a pipe could block forever, and a device may have no end."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Callable
from pathlib import Path

from napari_vqad.errors import InputError
from napari_vqad.files.limits import gib

KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "is not a file but a folder"),
    (stat.S_ISFIFO, "is not a file but a pipe"),
    (stat.S_ISSOCK, "is not a file but a socket"),
    (stat.S_ISCHR, "is not a file but a device"),
    (stat.S_ISBLK, "is not a file but a device"),
)
# Windows has no O_NONBLOCK and no pipes in the file system, and needs O_BINARY.
FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
PIECE = 2**20


def open_regular(path: str | Path, missing: str = "does not exist") -> io.BufferedReader:
    """Open a regular file for reading, following links, without ever waiting for a pipe.

    Args:
        path: the file.
        missing: what the message says of a missing file.

    Raises:
        InputError: the file is missing, is a folder, pipe, socket or device, or cannot be opened.
    """
    handle = -1
    try:
        _check(path, os.stat(path).st_mode)  # before opening: opening a tape device already moves the tape
        handle = os.open(path, FLAGS)
        _check(path, os.fstat(handle).st_mode)  # after opening: the file may have been replaced
        return os.fdopen(handle, "rb")
    except (FileNotFoundError, NotADirectoryError) as error:
        _close(handle)
        raise InputError(f"{path} {missing}.") from error
    except PermissionError as error:
        _close(handle)
        raise InputError(f"{path} may not be read: permission denied.") from error
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL
        _close(handle)
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be opened: {reason(error)}.") from error


def read_regular(path: str | Path, limit: int, missing: str = "does not exist") -> bytes:
    """Read a regular file of at most `limit` bytes.

    Raises:
        InputError: as in `open_regular`; or the file is larger, or cannot be read.
    """
    with open_regular(path, missing) as file:
        return read_all(file, limit, path)


def read_all(file: io.BufferedReader, limit: int, path: str | Path) -> bytes:
    """Read an open regular file of at most `limit` bytes; `path` is named in messages.

    Raises:
        InputError: the file is larger, or cannot be read.
    """
    check_size(os.fstat(file.fileno()).st_size, limit, path)
    try:
        raw = file.read(limit + 1)  # the file may have grown
    except OSError as error:
        raise InputError(f"{path} cannot be read: {reason(error)}.") from error
    check_size(len(raw), limit, path)
    return raw


def read_text(path: str | Path, limit: int, missing: str = "does not exist") -> str:
    """Read a regular file as UTF-8 text.

    Raises:
        InputError: as in `read_regular`; or the file is not UTF-8.
    """
    try:
        return read_regular(path, limit, missing).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text in UTF-8.") from error


def hash_regular(path: str | Path, limit: int, digest: hashlib._Hash) -> None:
    """Add the bytes of a regular file to a digest, piece by piece.

    Raises:
        InputError: as in `read_regular`.
    """
    with open_regular(path) as file:
        check_size(os.fstat(file.fileno()).st_size, limit, path)
        left = limit
        try:
            while piece := file.read(PIECE):
                left -= len(piece)
                check_size(limit - left, limit, path)
                digest.update(piece)
        except OSError as error:
            raise InputError(f"{path} cannot be read: {reason(error)}.") from error


def check_size(n_bytes: int, limit: int, path: str | Path) -> None:
    """Check that a size is within a limit.

    Raises:
        InputError: it is larger.
    """
    if n_bytes > limit:
        raise InputError(f"{path} is too large: it has {gib(n_bytes)}, and at most {gib(limit)} are read.")


def is_regular(path: str | Path) -> bool:
    """Say whether a path is a regular file, or a link to one."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def reason(error: Exception) -> str:
    """Return the system's reason for an error, for the end of a sentence."""
    return (getattr(error, "strerror", None) or str(error)).lower().rstrip(".")


def _check(path: str | Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        said = next((words for is_kind, words in KINDS if is_kind(mode)), "is not a file")
        raise InputError(f"{path} {said}.")


def _close(handle: int) -> None:
    if handle >= 0:
        os.close(handle)
