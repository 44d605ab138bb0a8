"""A file, or a folder of files, is written whole or not at all.

What is written goes into a hidden work folder first, beside the place where it belongs. A work folder holds a lock
as long as its process lives; one without is what a dead process left, and the next that writes there removes it.
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
WORK = re.compile(rf"{re.escape(PREFIX)}[a-z0-9_]{{8}}")  # as `tempfile.mkdtemp` names it
FOLDER_LOCK = f"{PREFIX}lock"  # of a folder that files are being moved into
LOCK, FILES, BEFORE, MOVING = "lock", "files", "before", "moving.json"  # within a work folder


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A new file to write to, with the ending of `path`; it takes the place of `path` when all went well.

    Raises:
        InputError: `path` cannot be written; what was there is left as it was.
    """
    try:
        if path.exists() and not path.is_file():  # a device or a pipe would be replaced, too
            raise InputError(f"{path} is {'a folder' if path.is_dir() else 'no regular file'}; give another name.")
        # In the same folder, so that the last step is one rename; a reader sees the old file or the whole new one.
        with _work_folder(path.parent) as work:
            new = work / f"new{path.name[-12:].lower()}"
            yield new
            os.replace(new, path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {(error.strerror or str(error)).lower()}.") from error


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    with atomic_write(path) as file:
        file.write_text(text, encoding="utf-8")


@contextmanager
def atomic_folder(folder: Path, stale: Iterable[str] = (), check: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """A new folder to write files to; all of them move into `folder`, which may be made, when all went well.

    Two processes that write into one folder move their files one after the other, and never mix them. Files of a move
    that was cut short by the death of its process are put back by the next one.

    Args:
        folder: where the files belong.
        stale: names of files that were there before and would be taken for the new ones': those that are not written
            anew are removed.
        check: called when no other process can move files any more; what it raises leaves all as it was.

    Raises:
        InputError: the folder cannot be written to; what was there is left as it was.
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
    """Make a folder and its parents; returns those that were not there, the innermost last."""
    missing = [f for f in (folder, *folder.parents) if not f.exists()][::-1]
    made = []
    try:
        for one in missing:
            one.mkdir(exist_ok=True)
            made.append(one)
        folder.mkdir(exist_ok=True)  # it is a folder, or this says what it is
    except OSError:
        remove_empty(made)
        raise
    return made


def remove_empty(folders: list[Path]) -> None:
    """Remove folders as `make_folders` returned them; one that holds something stays."""
    for folder in reversed(folders):
        with suppress(OSError):
            folder.rmdir()


def sweep(folder: Path) -> None:
    """Remove the work folders that dead processes left in a folder, and put back the files of an unfinished move."""
    try:
        with os.scandir(folder) as entries:
            found = [Path(e.path) for e in entries if WORK.fullmatch(e.name) and e.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for work in found:
        with suppress(OSError, ValueError):  # another user's, or gone meanwhile
            lock = take(work / LOCK)
            if lock is None:  # of a living process
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
    """A folder for what is being written, removed at the end."""
    sweep(parent)
    lock = None
    while lock is None:
        work = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        with suppress(FileNotFoundError):  # swept by another process before it was locked
            lock = take(work / LOCK)
    try:
        yield work
    finally:
        lock.release()
        if not (work / MOVING).exists():  # else it holds what could not be put back, and the next one tries again
            shutil.rmtree(work, ignore_errors=True)


def _move(work: Path, folder: Path, stale: Iterable[str]) -> None:
    """Move all files of a work folder to where they belong, or none."""
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
    (work / MOVING).unlink()  # from here on it is done


def _keep(file: Path, copy: Path) -> None:
    """Keep what is in a place; a second name of the same file, so that the place is never empty."""
    if not os.path.lexists(file):
        return
    try:
        os.link(file, copy, follow_symlinks=False)
    except (OSError, NotImplementedError):  # a file system without links
        os.replace(file, copy)


def _put_back(work: Path, folder: Path) -> None:
    """Undo what `_move` has done so far."""
    files, before = work / FILES, work / BEFORE
    names = json.loads((work / MOVING).read_text(encoding="utf-8"))
    for name in names:
        if not (files / name).exists() and not os.path.lexists(before / name):  # moved to where nothing was
            (folder / name).unlink(missing_ok=True)
    for kept in before.iterdir():
        os.replace(kept, folder / kept.name)
    (work / MOVING).unlink()
