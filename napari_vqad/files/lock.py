"""Locks between processes; the operating system releases a lock when its process ends, even after a crash."""

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

WAIT = 60.0  # seconds; moving files takes far less
HELD = (errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK, errno.EDEADLK)  # lock held by another process, on any system


@dataclass(frozen=True)
class Lock:
    """A lock that this process holds, and its file."""

    path: Path
    handle: int

    def release(self) -> None:
        """Release the lock and remove its file."""
        # The file is removed before the lock is released: a waiting process notices this and creates a new file.
        # Windows cannot remove an open file.
        if sys.platform == "win32":
            os.close(self.handle)
        with suppress(OSError):
            self.path.unlink()
        if sys.platform != "win32":
            os.close(self.handle)


def take(path: Path) -> Lock | None:
    """Lock a file, creating it if missing; None if another process or thread holds the lock.

    Raises:
        OSError: the file cannot be created.
    """
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except PermissionError:
            if sys.platform == "win32":  # the file is being removed
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
        os.close(handle)  # the previous holder removed the file meanwhile


@contextmanager
def locked(path: Path, busy: str, wait: float = WAIT) -> Iterator[None]:
    """Hold the lock of a file.

    Args:
        path: the lock file; it exists only while the lock is held.
        busy: message if another process holds the lock.
        wait: longest time to wait for it, in seconds.

    Raises:
        InputError: another process still holds the lock.
        OSError: the file cannot be created.
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
    """Lock by name, for file systems without locks: only one process can create the file, which names its owner."""
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
    """Say whether a process runs on this machine; True if this cannot be checked, as on Windows."""
    if sys.platform == "win32":  # on Windows, os.kill with signal 0 ends the process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
