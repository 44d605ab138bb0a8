"""One DICOM file, read with limits: nothing but a regular file, and no more bytes than it can have."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.errors import BytesLengthException, InvalidDicomError

from napari_vqad.errors import InputError
from napari_vqad.files import limits
from napari_vqad.files.limits import gib
from napari_vqad.files.regular import check_size, open_regular

# What pydicom raises on files that are cut short or hold nonsense.
BROKEN = (
    InvalidDicomError,
    BytesLengthException,
    struct.error,
    zlib.error,
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RuntimeError,
    ArithmeticError,
    AssertionError,
    MemoryError,
)


def open_dicom(path: str | Path, **options: Any) -> Dataset:
    """A file by pydicom's `dcmread`, which gets these options; it may lack a preamble; what is harmless is not told.

    Raises:
        InputError: as `open_regular`; or the file, or what a deflated one unpacks to, is larger than
            `limits.VOXELS`.
        one of BROKEN: it is damaged.
    """
    with open_regular(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_size(os.fstat(file.fileno()).st_size, limits.VOXELS, path)
        return dcmread(_Limited(file, path), force=True, **options)  # type: ignore[arg-type]  # read, seek and tell are enough


class _Limited:
    """A file of which nobody reads more than it has: lengths of four bytes in a damaged header ask for 4 GiB."""

    def __init__(self, file: io.BufferedReader, path: str | Path) -> None:
        self.file, self.name, self.size = file, str(path), os.fstat(file.fileno()).st_size

    def read(self, n: int | None = None) -> bytes:
        left = max(self.size - self.file.tell(), 0)
        if n is None or n < 0:
            # pydicom asks for all the rest of one kind of file alone, a deflated one, to unpack it at one go.
            return self._inflatable(self.file.read(left))
        return self.file.read(min(n, left))

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def _inflatable(self, packed: bytes) -> bytes:
        inflate, n, rest = zlib.decompressobj(-zlib.MAX_WBITS), 0, packed
        while rest and not inflate.eof:
            n += len(inflate.decompress(rest, limits.MIB))
            rest = inflate.unconsumed_tail
            if n > limits.VOXELS:
                raise InputError(f"{self.name} is too large: it unpacks to more than {gib(limits.VOXELS)}.")
        return packed
