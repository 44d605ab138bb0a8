"""A file is written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
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


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
