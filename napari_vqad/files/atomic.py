"""Atomic writing of a file, or of several files in a folder: all of it is written, or nothing is changed.

Files are first written to a hidden work folder beside their destination. The process locks its work folder. A work
folder without a lock was left by a process that died; the next process that writes there removes it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from napari_vqad.errors import InputError
from napari_vqad.files.lock import locked, take

PREFIX = ".vqad-"
WORK = re.compile(rf"{re.escape(PREFIX)}[a-z0-9_]{{8}}")  # names made by `tempfile.mkdtemp`
FOLDER_LOCK = f"{PREFIX}lock"  # lock of a folder while files are moved into it
LOCK, FILES, BEFORE, MOVING = "lock", "files", "before", "moving.json"  # within a work folder


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary file path with the ending of `path`; on success, it replaces `path`.

    Raises:
        InputError: `path` cannot be written; an existing file is unchanged.
    """
    try:
        if path.exists() and not path.is_file():  # os.replace would also replace a device or a pipe
            raise InputError(f"{path} is {'a folder' if path.is_dir() else 'no regular file'}; give another name.")
        # In the same folder, so that the last step is a rename: a reader sees either the old or the complete new file.
        with _work_folder(path.parent) as work:
            new = work / f"new{path.name[-12:].lower()}"
            yield new
            os.replace(new, path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {(error.strerror or str(error)).lower()}.") from error


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8, atomically.

    Raises:
        InputError: the file cannot be written.
    """
    with atomic_write(path) as file:
        file.write_text(text, encoding="utf-8")


@contextmanager
def atomic_folder(folder: Path, stale: Iterable[str] = (), check: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """Yield a temporary folder for files; on success, all of them move into `folder`, which is created if missing.

    If two processes write to one folder, their moves take turns, so that files are never mixed. If a process dies
    during a move, the next process restores the previous files.

    Args:
        folder: destination of the files.
        stale: names of existing files that would look like new results; they are removed unless written again.
        check: called after the folder is locked, before the move; if it raises, nothing is changed.

    Raises:
        InputError: the folder cannot be written to; its files are unchanged.
    """
    made: list[Path] = []
    try:
        made = make_folders(folder)
        with _work_folder(folder) as work:
            files = work / FILES
            files.mkdir()
            yield files
            with locked(folder / FOLDER_LOCK, f"Another process is moving files into {folder}; try again."):
                check()
                _move(work, folder, stale)
    except OSError as error:
        raise InputError(f"{folder} cannot be written to: {error.strerror or error}.") from error
    finally:
        remove_empty(made)


def make_folders(folder: Path) -> list[Path]:
    """Create a folder and its parents; return those that were missing, the innermost last."""
    missing = [f for f in (folder, *folder.parents) if not f.exists()][::-1]
    made = []
    try:
        for one in missing:
            one.mkdir(exist_ok=True)
            made.append(one)
        folder.mkdir(exist_ok=True)  # raises if it is not a folder
    except OSError:
        remove_empty(made)
        raise
    return made


def remove_empty(folders: list[Path]) -> None:
    """Remove the folders that `make_folders` returned, unless they contain something."""
    for folder in reversed(folders):
        with suppress(OSError):
            folder.rmdir()


def sweep(folder: Path) -> None:
    """Remove work folders left by dead processes, and undo their unfinished moves."""
    try:
        with os.scandir(folder) as entries:
            found = [Path(e.path) for e in entries if WORK.fullmatch(e.name) and e.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for work in found:
        with suppress(OSError, ValueError):  # belongs to another user, or was removed meanwhile
            lock = take(work / LOCK)
            if lock is None:  # its process is running
                continue
            try:
                if (work / MOVING).exists():
                    with locked(folder / FOLDER_LOCK, "busy"):
                        _put_back(work, folder)
            finally:
                lock.release()
            shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _work_folder(parent: Path) -> Iterator[Path]:
    """Yield a locked work folder; it is removed at the end."""
    sweep(parent)
    lock = None
    while lock is None:
        work = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        with suppress(FileNotFoundError):  # another process removed it before it was locked
            lock = take(work / LOCK)
    try:
        yield work
    finally:
        lock.release()
        if not (work / MOVING).exists():  # else it holds files that could not be restored; the next process tries again
            shutil.rmtree(work, ignore_errors=True)


def _move(work: Path, folder: Path, stale: Iterable[str]) -> None:
    """Move all files of a work folder to their destination, or none."""
    files, before = work / FILES, work / BEFORE
    names = sorted(file.name for file in files.iterdir())
    for name in names:
        if (folder / name).is_dir():
            raise InputError(f"{folder / name} is a folder, in the place of a file that is to be written.")
    before.mkdir()
    (work / MOVING).write_text(json.dumps(names), encoding="utf-8")
    try:
        for name in names:
            _keep(folder / name, before / name)
            os.replace(files / name, folder / name)
        for name in set(stale).difference(names):
            _keep(folder / name, before / name)
            (folder / name).unlink(missing_ok=True)
    except BaseException:
        _put_back(work, folder)
        raise
    (work / MOVING).unlink()  # from here on, the move is complete


def _keep(file: Path, copy: Path) -> None:
    """Save an existing file as a hard link, so that `file` never goes missing; without hard links, move it."""
    if not os.path.lexists(file):
        return
    try:
        os.link(file, copy, follow_symlinks=False)
    except (OSError, NotImplementedError):  # a file system without links
        os.replace(file, copy)


def _put_back(work: Path, folder: Path) -> None:
    """Undo an unfinished `_move`."""
    files, before = work / FILES, work / BEFORE
    names = json.loads((work / MOVING).read_text(encoding="utf-8"))
    for name in names:
        if not (files / name).exists() and not os.path.lexists(before / name):  # moved, and there was no file before
            (folder / name).unlink(missing_ok=True)
    for kept in before.iterdir():
        os.replace(kept, folder / kept.name)
    (work / MOVING).unlink()
