"""DICOM files without a preamble: a data set alone, with neither the 128 bytes and `DICM` nor, often, a meta header.

Some consoles and archives write them (MR000001, IM_0001). Nothing marks them, so they are known by how they begin:
well-formed elements in rising order, among them the UID of a kind of image or object that DICOM defines.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from pydicom import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, STANDARD_VR

HEAD = 4096  # bytes in which the UID has to come
ROOT = b"1.2.840.10008."  # of all UIDs of the standard
UIDS = {(0x0002, 0x0002), (0x0008, 0x0016)}  # MediaStorageSOPClassUID, SOPClassUID
FIRST = {0x0002, 0x0008}  # groups that a data set begins with
VRS = {str(vr).encode() for vr in STANDARD_VR}
LONG = {str(vr).encode() for vr in EXPLICIT_VR_LENGTH_32}


def is_bare(head: bytes) -> bool:
    """Do these first bytes of a file begin a data set in little endian?"""
    if len(head) < 8 or struct.unpack("<H", head[:2])[0] not in FIRST:
        return False
    return any(
        tag in UIDS and value.startswith(ROOT)
        for explicit in (head[4:6] in VRS, False)
        for tag, value in _elements(head, explicit)
    )


def _elements(head: bytes, explicit: bool) -> Iterator[tuple[tuple[int, int], bytes]]:
    """Tags and values, as long as they rise and are well-formed."""
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
    """Give an image without a meta header the transfer syntax that it was read in; its pixels are not compressed."""
    if image.file_meta.get("TransferSyntaxUID"):
        return
    implicit, little = image.original_encoding
    explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    image.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
