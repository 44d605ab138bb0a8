"""Opens a DICOM file safely: regular files only, and never more bytes than the file has."""

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

# Exceptions that pydicom raises on truncated or corrupt files.
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
    """Open a file with pydicom's `dcmread`, passing `options`. The preamble may be missing; warnings are suppressed.

    Raises:
        InputError: as `open_regular`; or the file, deflated or inflated, is larger than `limits.VOXELS`.
        one of BROKEN: the file is damaged.
    """
    with open_regular(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_size(os.fstat(file.fileno()).st_size, limits.VOXELS, path)
        return dcmread(_Limited(file, path), force=True, **options)  # type: ignore[arg-type]  # read, seek and tell are enough


class _Limited:
    """Wraps a file so that reads stop at its end; a damaged header with 4-byte lengths could ask for 4 GiB."""

    def __init__(self, file: io.BufferedReader, path: str | Path) -> None:
        self.file, self.name, self.size = file, str(path), os.fstat(file.fileno()).st_size

    def read(self, n: int | None = None) -> bytes:
        left = max(self.size - self.file.tell(), 0)
        if n is None or n < 0:
            # pydicom reads the whole rest only of a deflated file, to inflate it in one step.
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
