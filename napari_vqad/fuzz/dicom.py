"""A small DICOM series, and ways to damage one of its files."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
from pydicom import Dataset, FileMetaDataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    MRImageStorage,
    RLELossless,
)

from napari_vqad.fuzz.mutate import Rng, any_bytes

TAGS = ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "SamplesPerPixel", "PixelRepresentation")
VALUES = (0, 1, 7, 8, 16, 32, 255, 1000, 65535)


def write_series(folder: Path) -> None:
    """Write a series of four slices of 8×6 pixels."""
    for k in range(4):
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = MRImageStorage
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.3.{k + 1}")
        image.SeriesInstanceUID, image.SeriesNumber, image.SeriesDescription = "1.2.4", 3, "t1"
        image.Rows, image.Columns, image.SamplesPerPixel, image.PhotometricInterpretation = 8, 6, 1, "MONOCHROME2"
        image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 0
        image.PixelSpacing, image.ImageOrientationPatient = [2, 2], [1, 0, 0, 0, 1, 0]
        image.ImagePositionPatient = [0, 0, 2 * k]
        image.PixelData = np.random.default_rng(k).integers(0, 900, (8, 6)).astype("<u2").tobytes()
        image.save_as(folder / f"IM{k}.dcm", enforce_file_format=True)


def dicom_bytes(raw: bytes, rng: Rng) -> bytes:
    """Change an element of the file or its transfer syntax."""
    image = dcmread(io.BytesIO(raw))
    way = int(rng.integers(7))
    syntax: UID = ExplicitVRLittleEndian
    if way <= 2:
        setattr(image, str(rng.choice(TAGS)), int(rng.choice(VALUES)))
    elif way == 3:
        image.NumberOfFrames = int(rng.choice((0, 2, 1000, 10**9)))
    elif way == 4:
        name = str(rng.choice(("PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient")))
        setattr(image, name, [float(rng.choice((0, -1, 1e9, 1e-9))) for _ in getattr(image, name)])
    elif way == 5:  # compressed data that are invalid, or that expand to a large size
        image.PixelData = encapsulate([_run_lengths(rng) if rng.random() < 0.5 else _jpeg(rng)])
        image["PixelData"].VR, image["PixelData"].is_undefined_length = "OB", True
        syntax = RLELossless if rng.random() < 0.5 else JPEGBaseline8Bit
    else:
        syntax, image.PixelData = DeflatedExplicitVRLittleEndian, bytes(2 ** int(rng.integers(8, 25)))
    packed = io.BytesIO()
    image.file_meta.TransferSyntaxUID = syntax
    image.save_as(packed, enforce_file_format=True)
    spoilt = packed.getvalue()
    return any_bytes(spoilt, rng) if rng.random() < 0.2 else spoilt


def _run_lengths(rng: Rng) -> bytes:
    """RLE data: two segments of zeros with a random length."""
    n = int(rng.choice((1, 20, 10_000, 200_000)))
    return struct.pack("<16L", 2, 64, 64 + 2 * n, *[0] * 13) + b"\x81\0" * (2 * n)


def _jpeg(rng: Rng) -> bytes:
    """The beginning of a JPEG image with a random size."""
    rows, columns = (int(n) for n in rng.choice((0, 6, 8, 65535), 2))
    return b"\xff\xd8\xff\xc0" + struct.pack(">HBHHB", 11, 8, rows, columns, 1) + b"\x01\x11\0\xff\xd9"
