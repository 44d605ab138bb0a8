"""Do the pixels of a DICOM file agree with its header? Asked before anything is unpacked for them."""

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

SIZES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # the markers of JPEG and JPEG-LS that a picture's size follows
BARE = {0x01, *range(0xD0, 0xD8)}  # those that nothing follows


def check_pixels(image: Dataset, size: tuple[int, int], path: Path) -> None:
    """Refuse a file whose pixel data are not what its header says, or beyond the limit.

    Args:
        image: the whole file, nothing decoded.
        size: rows and columns that it is to have.
        path: names it in the sentence.

    Raises:
        InputError: as above.
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
        # Run lengths make nothing twice as long, but up to 64 times as short: a longer one unpacks to something else.
        if syntax == RLELossless and len(coded) > 2 * plain + 1024:
            raise damaged
        if coded_size(coded) not in (None, size):
            raise damaged


def coded_size(coded: bytes) -> tuple[int, int] | None:
    """Rows and columns as a picture in JPEG, JPEG-LS or JPEG 2000 says them; None where it says nothing of the kind."""
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
        if marker == 0xFF:  # filling
            at += 1
        else:
            at += 2 if marker in BARE else 2 + int.from_bytes(coded[at + 2 : at + 4], "big")
    return None


def _frames(image: Dataset, frames: int) -> Iterator[bytes]:
    yield from generate_frames(image.PixelData, number_of_frames=frames)
