"""Checks that the pixel data of a DICOM file match its header, before memory is allocated to decode them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from pydicom import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import RLELossless

from napari_vqad.errors import InputError
from napari_vqad.files import limits
from napari_vqad.files.limits import gib
from napari_vqad.io.dicom_index import frames_of

SIZES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # JPEG and JPEG-LS markers followed by the image size
BARE = {0x01, *range(0xD0, 0xD8)}  # markers without a segment


def check_pixels(image: Dataset, size: tuple[int, int], path: Path) -> None:
    """Check that a file's pixel data match its header and are within the size limit.

    Args:
        image: the whole file, not decoded.
        size: expected rows and columns.
        path: the file, for messages.

    Raises:
        InputError: they do not match, or exceed the limit.
        one of BROKEN: the header is damaged.
    """
    damaged = InputError(f"{path} is cut short or damaged: it has not the pixels that its header promises.")
    rows, columns, frames, bits = int(image.Rows), int(image.Columns), frames_of(image), int(image.BitsAllocated)
    if (rows, columns) != size or frames < 1 or bits not in (1, 8, 16, 32, 64):
        raise damaged
    count = rows * columns * frames
    if 4 * count > limits.VOXELS:
        raise InputError(
            f"{path} is too large: {frames} × {rows}×{columns} pixels are {gib(4 * count)} as float32, and at most "
            f"{gib(limits.VOXELS)} are read."
        )
    syntax = image.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated:
        if len(image.PixelData) < count * bits // 8:
            raise damaged
        return
    plain = rows * columns * bits // 8
    for coded in _frames(image, frames):
        # RLE at most doubles the size but may shrink it up to 64 times, so longer data belong to another image.
        if syntax == RLELossless and len(coded) > 2 * plain + 1024:
            raise damaged
        if coded_size(coded) not in (None, size):
            raise damaged


def coded_size(coded: bytes) -> tuple[int, int] | None:
    """Read rows and columns from JPEG, JPEG-LS or JPEG 2000 data; None if they are not found."""
    at = coded.find(b"\xff\x4f\xff\x51")
    if at >= 0:  # JPEG 2000
        if len(coded) < at + 24:
            return None
        right, bottom, left, top = struct.unpack(">4I", coded[at + 8 : at + 24])
        return bottom - top, right - left
    if not coded.startswith(b"\xff\xd8"):
        return None
    at = 2
    while at + 9 <= len(coded) and coded[at] == 0xFF:
        marker = coded[at + 1]
        if marker in SIZES:
            return struct.unpack(">HH", coded[at + 5 : at + 9])
        if marker == 0xFF:  # fill byte
            at += 1
        else:
            at += 2 if marker in BARE else 2 + int.from_bytes(coded[at + 2 : at + 4], "big")
    return None


def _frames(image: Dataset, frames: int) -> Iterator[bytes]:
    yield from generate_frames(image.PixelData, number_of_frames=frames)
