"""Reads zips of unknown origin, and the arrays of an npz: declared sizes are checked first and never exceeded."""

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
    SyntaxError,  # from an npy header, which is a Python literal
    tokenize.TokenError,
    OverflowError,
)
END, END64 = b"PK\x05\x06", b"PK\x06\x07"  # markers at the end of a zip's list of contents; the second is of Zip64
LONGEST_END = 22 + 2**16
NPY_HEADER = 10_000  # bytes; NumPy rejects longer headers


@contextmanager
def open_zip(path: str | Path, refusal: str) -> Iterator[zipfile.ZipFile]:
    """Open a zip for reading, after checking the size of its list of contents.

    Args:
        path: the file.
        refusal: message for a file that is damaged or not a zip, without the file name and the full stop.

    Raises:
        InputError: as in `open_regular`; or the file is not a readable zip, or data read in the `with` are damaged.
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
    """Open a file within a zip; return its stream and size. Reading stops at that size, and the checksum is verified.

    Raises:
        InputError: it declares more than `limit` bytes.
        KeyError: the zip has no such file.
        NotImplementedError: the file is neither stored nor deflated.
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
    """Read the named arrays of an npz that it contains; nothing is unpickled.

    Args:
        path: the file.
        names: names of the arrays to read.
        what: expected kind of file, such as "clip", for messages.
        limit: most bytes of an array.

    Raises:
        InputError: as in `open_regular`; or the file is not an npz of plain arrays, is damaged, or has too large an
            array.
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
    """Say whether this is a zip that contains a file of that name; only its list of contents is read."""
    try:
        with open_zip(path, "") as archive:
            return name in archive.namelist()
    except InputError:
        return False


def _check_list(file: io.BufferedReader) -> None:
    """Reject a list of contents beyond `limits.ZIP_LIST`, since zipfile would load all of it."""
    size = os.fstat(file.fileno()).st_size
    file.seek(max(size - LONGEST_END, 0))
    end = file.read(LONGEST_END)
    places = [found.start() for found in re.finditer(re.escape(END), end)]  # zipfile decides which one counts
    for at in places:
        if end[:at][-20:].startswith(END64) or int.from_bytes(end[at + 12 : at + 16], "little") > limits.ZIP_LIST:
            raise zipfile.BadZipFile("a very long list of contents")
    file.seek(0)


def _array(stream: IO[bytes], size: int) -> NDArray:
    """Read one npy: its header, then its data, whose size must agree with the header and the zip."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings about odd literals in the header
        version = npy.read_magic(stream)
        read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
        if read_header is None:
            raise ValueError("another version of npy")
        shape, fortran, dtype = read_header(stream)
    count = 1
    for n in shape:
        count *= int(n)
    # The header and the data must fill the zip member exactly.
    if dtype.hasobject or dtype.itemsize == 0 or count < 0 or stream.tell() + count * dtype.itemsize != size:
        raise ValueError("objects, or another size than the header says")
    array = np.empty(count, dtype)
    if not fill(stream, array) or stream.read(1):  # reading to the end verifies the checksum
        raise ValueError("cut short")
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)
