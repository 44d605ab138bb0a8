"""An enhanced image, made of the files of a plain series."""

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def make_enhanced(make_series, tmp_path):
    """path, array (column, row, slice), affine, order → an enhanced MR image whose frames are in that order."""
    from pydicom import Dataset, dcmread
    from pydicom.uid import EnhancedMRImageStorage

    def item(**values) -> list[Dataset]:
        data = Dataset()
        for name, value in values.items():
            setattr(data, name, value)
        return [data]

    def make(path: Path, array: np.ndarray, affine: np.ndarray, order=None, slope: float = 1.0) -> Path:
        plain = sorted(make_series(tmp_path / "plain", array, affine).iterdir())
        images = [dcmread(plain[k]) for k in (range(len(plain)) if order is None else order)]
        made = images[0]
        turn, spacing = made.ImageOrientationPatient, made.PixelSpacing
        made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
        made.NumberOfFrames = len(images)
        made.PixelData = b"".join(image.PixelData for image in images)
        made.SharedFunctionalGroupsSequence = item(
            PlaneOrientationSequence=item(ImageOrientationPatient=turn),
            PixelMeasuresSequence=item(PixelSpacing=spacing, SliceThickness=1.23),
            PixelValueTransformationSequence=item(RescaleSlope=slope, RescaleIntercept=-7.0, RescaleType="US"),
        )
        made.PerFrameFunctionalGroupsSequence = [
            item(PlanePositionSequence=item(ImagePositionPatient=image.ImagePositionPatient))[0] for image in images
        ]
        for keyword in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing", "SliceThickness"):
            delattr(made, keyword)
        path.parent.mkdir(parents=True, exist_ok=True)
        made.save_as(path, enforce_file_format=True)
        return path

    return make
