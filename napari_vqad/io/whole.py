"""A file, or a folder of files, is written whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_vqad.errors import InputError


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A new file beside `path` to write to, with the same ending; it takes the place of `path` when all went well.

    Raises:
        InputError: `path` cannot be written; what was there is left as it was.
    """
    temporary = None
    try:
        # In the same folder, so that the last step is one rename; a reader sees the old file or the whole new one.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".vqad-", suffix=path.name[-12:].lower())
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {(error.strerror or str(error)).lower()}.") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(folder: Path, stale: Iterable[str] = ()) -> Iterator[Path]:
    """A new folder to write files to; all of them move into `folder`, which may be made, when all went well.

    Files of the names `stale` that were there before and are not written anew would be taken for the new ones': they
    are removed.

    Raises:
        InputError: the folder cannot be written to; what was there is left as it was.
    """
    work = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".vqad-", dir=folder))
        yield work
        names = [file.name for file in work.iterdir()]
        for name in names:
            os.replace(work / name, folder / name)
        for name in set(stale).difference(names):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be written to: {error.strerror or error}.") from error
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
