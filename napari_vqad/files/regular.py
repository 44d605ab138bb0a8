"""Only regular files are opened: a pipe would wait for ever, and a device has no end."""

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
# Windows knows neither O_NONBLOCK nor pipes among the files, and asks for O_BINARY.
FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
PIECE = 2**20


def open_regular(path: str | Path, missing: str = "does not exist") -> io.BufferedReader:
    """Open a regular file for reading, through links as well, without ever waiting for a pipe.

    Args:
        path: of the file.
        missing: what the sentence says of a file that is not there.

    Raises:
        InputError: there is no such file, it is a folder, pipe, socket or device, or it may not be read.
    """
    handle = -1
    try:
        _check(path, os.stat(path).st_mode)  # before it is opened: opening alone moves a tape
        handle = os.open(path, FLAGS)
        _check(path, os.fstat(handle).st_mode)  # and after: it may have been replaced
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
    """All bytes of a regular file that has at most `limit` of them.

    Raises:
        InputError: as `open_regular`; or the file is larger, or cannot be read.
    """
    with open_regular(path, missing) as file:
        return read_all(file, limit, path)


def read_all(file: io.BufferedReader, limit: int, path: str | Path) -> bytes:
    """All bytes of an open regular file that has at most `limit` of them; `path` names it in the sentence.

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
    """The text of a regular file, UTF-8.

    Raises:
        InputError: as `read_regular`; or it is not UTF-8.
    """
    try:
        return read_regular(path, limit, missing).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text in UTF-8.") from error


def hash_regular(path: str | Path, limit: int, digest: hashlib._Hash) -> None:
    """Add the bytes of a regular file to a digest, piece by piece.

    Raises:
        InputError: as `read_regular`.
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
    """Refuse what is larger than a limit.

    Raises:
        InputError: it is.
    """
    if n_bytes > limit:
        raise InputError(f"{path} is too large: it has {gib(n_bytes)}, and at most {gib(limit)} are read.")


def is_regular(path: str | Path) -> bool:
    """Is there a regular file, through links as well?"""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def reason(error: Exception) -> str:
    """Why the system refused, for the end of a sentence."""
    return (getattr(error, "strerror", None) or str(error)).lower().rstrip(".")


def _check(path: str | Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        said = next((words for is_kind, words in KINDS if is_kind(mode)), "is not a file")
        raise InputError(f"{path} {said}.")


def _close(handle: int) -> None:
    if handle >= 0:
        os.close(handle)
