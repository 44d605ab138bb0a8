"""DICOM files without a preamble: they lack the 128 bytes and `DICM`, and often the meta header.

Some consoles and archives write them (MR000001, IM_0001). They are recognised by their first elements: well-formed, in
ascending order, and including the UID of an image or object class that DICOM defines.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from pydicom import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, STANDARD_VR

HEAD = 4096  # bytes; the UID must lie within them
ROOT = b"1.2.840.10008."  # prefix of all UIDs of the standard
UIDS = {(0x0002, 0x0002), (0x0008, 0x0016)}  # MediaStorageSOPClassUID, SOPClassUID
FIRST = {0x0002, 0x0008}  # groups that may begin a data set
VRS = {str(vr).encode() for vr in STANDARD_VR}
LONG = {str(vr).encode() for vr in EXPLICIT_VR_LENGTH_32}


def is_bare(head: bytes) -> bool:
    """Say whether the first bytes of a file begin a little-endian data set."""
    if len(head) < 8 or struct.unpack("<H", head[:2])[0] not in FIRST:
        return False
    return any(
        tag in UIDS and value.startswith(ROOT)
        for explicit in (head[4:6] in VRS, False)
        for tag, value in _elements(head, explicit)
    )


def _elements(head: bytes, explicit: bool) -> Iterator[tuple[tuple[int, int], bytes]]:
    """Yield tags and values, as long as the elements are in ascending order and well-formed."""
    at, before = 0, (0, 0)
    while at + 12 <= len(head):
        tag = struct.unpack_from("<HH", head, at)
        vr = head[at + 4 : at + 6]
        if tag <= before or tag > (0x0008, 0xFFFF) or (explicit and vr not in VRS):
            return
        if explicit and vr not in LONG:
            begin, length = at + 8, struct.unpack_from("<H", head, at + 6)[0]
        else:
            begin, length = at + (12 if explicit else 8), struct.unpack_from("<I", head, at + (8 if explicit else 4))[0]
        yield tag, head[begin : begin + length]
        at, before = begin + length, tag


def name_syntax(image: Dataset) -> None:
    """Set the transfer syntax of an image without a meta header to that used for reading; it is uncompressed."""
    if image.file_meta.get("TransferSyntaxUID"):
        return
    implicit, little = image.original_encoding
    explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    image.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
