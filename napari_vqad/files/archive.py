"""Zips of unknown origin, and the arrays of an npz: checked by what they declare, read no further than that."""

from __future__ import annotations

import io
import os
import re
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from napari_vqad.errors import InputError
from napari_vqad.files import limits
from napari_vqad.files.limits import gib
from napari_vqad.files.regular import open_regular
from napari_vqad.files.tensors import fill

BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    EOFError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
    SyntaxError,  # of the header of an npy, which is a Python literal
    tokenize.TokenError,
    OverflowError,
)
END, END64 = b"PK\x05\x06", b"PK\x06\x07"  # the end of a zip's list of contents, and of a list beyond 4 GiB
LONGEST_END = 22 + 2**16
NPY_HEADER = 10_000  # bytes; longer ones are refused by NumPy


@contextmanager
def open_zip(path: str | Path, refusal: str) -> Iterator[zipfile.ZipFile]:
    """A zip of regular size, to read from.

    Args:
        path: of the file.
        refusal: what is said of a file that is damaged or none, without its name and the full stop.

    Raises:
        InputError: as `open_regular`; or it is no such zip, or what is read within the `with` is damaged.
    """
    with open_regular(path) as file:
        try:
            _check_list(file)
            with zipfile.ZipFile(file) as archive:
                yield archive
        except InputError:
            raise
        except BROKEN as error:
            raise InputError(f"{path} {refusal}.") from error


@contextmanager
def open_member(archive: zipfile.ZipFile, name: str, limit: int, path: str | Path) -> Iterator[tuple[IO[bytes], int]]:
    """A file within a zip, to read from, and its size; reading ends there, and the checksum is looked at.

    Raises:
        InputError: it declares more than `limit` bytes.
        KeyError, NotImplementedError: there is none, or it is packed in another way than zips usually are.
    """
    info = archive.getinfo(name)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise NotImplementedError("neither stored nor deflated")
    if info.file_size > limit:
        raise InputError(
            f"{path} is too large: its {name} would unpack to {gib(info.file_size)}, and at most {gib(limit)} are read."
        )
    with archive.open(info) as stream:
        yield stream, info.file_size


def read_npz(path: str | Path, names: Iterable[str], what: str, limit: int) -> dict[str, NDArray]:
    """Those of the named arrays that an npz has; nothing is unpickled.

    Args:
        path: of the file.
        names: of the arrays that may be read.
        what: the file is to be, such as "clip".
        limit: bytes of an array.

    Raises:
        InputError: as `open_regular`; or it is no npz of plain arrays, damaged, or has an array beyond the limit.
    """
    found: dict[str, NDArray] = {}
    with open_zip(path, f"is not a readable {what}: an npz of plain arrays was expected") as archive:
        there = set(archive.namelist())
        for name in names:
            if f"{name}.npy" in there:
                with open_member(archive, f"{name}.npy", limit + NPY_HEADER, path) as (stream, size):
                    found[name] = _array(stream, size)
    return found


def holds(path: str | Path, name: str) -> bool:
    """Is this a zip that holds a file of that name? Nothing is read but its list of contents."""
    try:
        with open_zip(path, "") as archive:
            return name in archive.namelist()
    except InputError:
        return False


def _check_list(file: io.BufferedReader) -> None:
    """Refuse a list of contents that is larger than any zip of ours; zipfile would keep all of it."""
    size = os.fstat(file.fileno()).st_size
    file.seek(max(size - LONGEST_END, 0))
    end = file.read(LONGEST_END)
    places = [found.start() for found in re.finditer(re.escape(END), end)]  # which of them counts, zipfile decides
    for at in places:
        if end[:at][-20:].startswith(END64) or int.from_bytes(end[at + 12 : at + 16], "little") > limits.ZIP_LIST:
            raise zipfile.BadZipFile("a very long list of contents")
    file.seek(0)


def _array(stream: IO[bytes], size: int) -> NDArray:
    """One npy: its header first, then as many bytes as that and the zip agree on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd literals in the header
        version = npy.read_magic(stream)
        read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
        if read_header is None:
            raise ValueError("another version of npy")
        shape, fortran, dtype = read_header(stream)
    count = 1
    for n in shape:
        count *= int(n)
    # What is left of the member is known from its size, not from how far a stream says it is.
    if dtype.hasobject or dtype.itemsize == 0 or count < 0 or stream.tell() + count * dtype.itemsize != size:
        raise ValueError("objects, or another size than the header says")
    array = np.empty(count, dtype)
    if not fill(stream, array) or stream.read(1):  # reading on to the end looks at the checksum
        raise ValueError("cut short")
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)
