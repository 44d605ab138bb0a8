"""One process at a time: locks that the operating system drops when their process ends, however it ends."""

from __future__ import annotations

import errno
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from napari_vqad.errors import InputError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

WAIT = 60.0  # seconds; files are moved in far less
HELD = (errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK, errno.EDEADLK)  # by another, in the words of each system


@dataclass(frozen=True)
class Lock:
    """A lock that this process holds, and its file."""

    path: Path
    handle: int

    def release(self) -> None:
        """Give it back and remove its file."""
        # The file goes before the lock: a process that waits sees that it has gone, and makes a new one.
        # Windows removes no open file.
        if sys.platform == "win32":
            os.close(self.handle)
        with suppress(OSError):
            self.path.unlink()
        if sys.platform != "win32":
            os.close(self.handle)


def take(path: Path) -> Lock | None:
    """Take the lock of a file, which is made where it is missing; None when another process or thread holds it.

    Raises:
        OSError: the file cannot be made.
    """
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except PermissionError:
            if sys.platform == "win32":  # it is being removed
                return None
            raise
        try:
            if not _lock(handle):
                os.close(handle)
                return None
        except OSError:  # a file system without locks
            os.close(handle)
            return _take_by_name(path)
        with suppress(OSError):
            if os.path.samestat(os.stat(path), os.fstat(handle)):
                return Lock(path, handle)
        os.close(handle)  # the holder removed the file while it was waited for


@contextmanager
def locked(path: Path, busy: str, wait: float = WAIT) -> Iterator[None]:
    """Hold the lock of a file.

    Args:
        path: of the file; it is there only as long as the lock is held.
        busy: what to say when another holds it, in a sentence.
        wait: how long to wait for it, in seconds.

    Raises:
        InputError: another holds it still.
        OSError: the file cannot be made.
    """
    end = time.monotonic() + wait
    while (lock := take(path)) is None:
        if time.monotonic() >= end:
            raise InputError(busy)
        time.sleep(0.02)
    try:
        yield
    finally:
        lock.release()


def _lock(handle: int) -> bool:
    try:
        if sys.platform == "win32":
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in HELD:
            return False
        raise
    return True


def _take_by_name(path: Path) -> Lock | None:
    """Where the file system knows no locks: a file that only one process can make, and that says whose it is."""
    mine, name = f"{platform.node()} {os.getpid()}", path.with_name(f"{path.name}-held")
    with suppress(OSError):
        path.unlink()
    for _ in range(2):
        try:
            handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            with suppress(OSError, ValueError):
                host, pid = name.read_text(encoding="utf-8").rsplit(" ", 1)
                if host == platform.node() and not _lives(int(pid)):
                    name.unlink()
                    continue
            return None
        os.write(handle, mine.encode("utf-8"))
        return Lock(name, handle)
    return None


def _lives(pid: int) -> bool:
    """Is there such a process on this machine? Where that cannot be told, as on Windows, it is taken to live."""
    if sys.platform == "win32":  # there, signal 0 ends a process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
