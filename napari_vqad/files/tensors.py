"""Reads safetensors of unknown origin; the whole header is checked before a tensor is read.

Format: 8 bytes, the length n of the header; n bytes of JSON, name → dtype, shape and data offsets; the numbers.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_vqad.errors import InputError
from napari_vqad.files import limits
from napari_vqad.files.jsonfile import parse_json, short

DTYPES = {"BOOL": "?", "BF16": "<u2", "F16": "<f2", "F32": "<f4", "F64": "<f8"}
DTYPES |= {f"{letter}{8 * n}": f"<{kind}{n}" for letter, kind in (("U", "u"), ("I", "i")) for n in (1, 2, 4, 8)}


class Readable(Protocol):
    """A binary stream."""

    def read(self, n: int = -1, /) -> bytes:
        """Read up to n bytes."""


@dataclass(frozen=True)
class Entry:
    """Header entry of a tensor: dtype name, shape, and begin and end of its bytes among the numbers."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def is_float(self) -> bool:
        """True if the numbers are floating point."""
        return self.dtype in ("F16", "BF16", "F32", "F64")


def read_tensors(
    stream: Readable, size: int, path: str | Path, fits: Callable[[Mapping[str, Entry]], None] | None = None
) -> dict[str, NDArray]:
    """Read all tensors of a stream; bfloat16 is converted to float32, other dtypes are kept.

    Args:
        stream: at the beginning of the file.
        size: size of the file in bytes, already checked against a limit.
        path: the file, for messages.
        fits: checks the header before any tensor is read; raises `InputError` if it does not fit.

    Raises:
        InputError: the file is not safetensors, is cut short, has an unsupported dtype, or floats that are not finite.
    """
    entries = read_entries(stream, size, path)
    if fits is not None:
        fits(entries)
    found: dict[str, NDArray] = {}
    for name, entry in sorted(entries.items(), key=lambda item: item[1].begin):
        array = np.empty(entry.shape, DTYPES[entry.dtype])
        if not fill(stream, array):
            raise unreadable(path)
        if entry.dtype == "BF16":  # the upper half of a float32
            array = (array.astype("<u4") << 16).view("<f4")
        if entry.is_float and not np.isfinite(array).all():
            raise InputError(f"{path} has '{short(name)}' with values that are not finite numbers.")
        if entry.dtype == "BOOL":
            array = array.view(np.uint8) != 0  # bytes other than 0 and 1 are invalid bools
        found[name] = array
    return found


def parse_tensors(
    raw: bytes, path: str | Path, fits: Callable[[Mapping[str, Entry]], None] | None = None
) -> dict[str, NDArray]:
    """Read all tensors from bytes, like `read_tensors`."""
    return read_tensors(io.BytesIO(raw), len(raw), path, fits)


def read_entries(stream: Readable, size: int, path: str | Path) -> dict[str, Entry]:
    """Read the header of a safetensors file; the stream is left at the first number.

    Raises:
        InputError: as in `read_tensors`.
    """
    length = int.from_bytes(stream.read(8), "little")
    if size < 8 or length > min(size - 8, limits.TENSOR_HEADER):
        raise unreadable(path)
    raw = stream.read(length)
    if len(raw) != length or not raw.startswith(b"{"):
        raise unreadable(path)
    try:
        header = parse_json(raw, path)
    except InputError as error:
        raise unreadable(path) from error
    header.pop("__metadata__", None)
    if len(header) > limits.TENSORS:
        raise InputError(f"{path} has {len(header)} tensors; at most {limits.TENSORS} are read.")
    entries = {name: _entry(name, given, path) for name, given in header.items()}
    at = 0
    for entry in sorted(entries.values(), key=lambda e: (e.begin, e.end)):  # consecutive, without gaps
        if entry.begin != at:
            raise unreadable(path)
        at = entry.end
    if at != size - 8 - length:
        raise unreadable(path)
    return entries


def unreadable(path: str | Path) -> InputError:
    """Return the error for a file that is not readable safetensors."""
    return InputError(f"{path} is not a readable safetensors file.")


def _entry(name: str, given: Any, path: str | Path) -> Entry:
    if not isinstance(given, dict) or set(given) != {"dtype", "shape", "data_offsets"}:
        raise unreadable(path)
    dtype, shape, offsets = given["dtype"], given["shape"], given["data_offsets"]
    lists_of_sizes = all(isinstance(v, list) and all(type(n) is int and n >= 0 for n in v) for v in (shape, offsets))
    if not isinstance(dtype, str) or not lists_of_sizes or len(offsets) != 2 or len(shape) > 8:
        raise unreadable(path)
    if dtype not in DTYPES:
        raise InputError(
            f"{path} stores '{short(name)}' as {short(dtype)}, which is not read; F16, BF16, F32 and F64 are."
        )
    entry = Entry(dtype, tuple(shape), *offsets)
    if entry.end - entry.begin != prod(shape) * np.dtype(DTYPES[dtype]).itemsize:
        raise unreadable(path)
    return entry


def fill(stream: Readable, array: NDArray) -> bool:
    """Fill a contiguous array from a stream, piece by piece; False if the stream ends early."""
    target, at = memoryview(array.reshape(-1).view(np.uint8).data), 0
    while at < len(target):
        piece = stream.read(min(limits.MIB, len(target) - at))
        if not piece:
            return False
        target[at : at + len(piece)] = piece
        at += len(piece)
    return True
