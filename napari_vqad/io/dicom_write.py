"""Writes a binary segmentation and a parametric map of a scan that was read from DICOM; both refer to its series.

highdicom (the extra `dicom`) writes the files. Their frames copy plane position and orientation from the source, so
that both match exactly. They contain only the patient and study attributes that the standard requires, `CARRIED`. Only
these, and the attributes needed to refer to the images, are read from the source.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid
from pydicom.valuerep import DA, TM

import napari_vqad
from napari_vqad.errors import InputError
from napari_vqad.files.atomic import atomic_write
from napari_vqad.imaging.volume import Volume
from napari_vqad.io.dicom_open import BROKEN, open_dicom
from napari_vqad.io.dicom_series import Series

NAME = "napari-vqad"
LIMITS = "research use only"
COMMENT = 10240  # most characters of ImageComments (LT)
# Attributes that the modules Patient and General Study require (PS3.3 C.7.1.1 and C.7.2.1, types 1 and 2). All but
# StudyInstanceUID may be empty, and are if anonymisation removed them from the source.
CARRIED = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
)
# Attributes needed to refer to the source's images and to copy their geometry.
REFERRED = (
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "Modality",
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
    "Rows",
    "Columns",
    "PixelSpacing",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "NumberOfFrames",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)


@dataclass(frozen=True)
class Maker:
    """The model and settings that produced the files.

    Attributes:
        model: name of the bundle.
        serial: hash of the bundle.
        parameters: the settings, as text.
    """

    model: str
    serial: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Segment:
    """Label and description of a segment.

    Attributes:
        label: up to 64 characters.
        description: a sentence.
    """

    label: str
    description: str


def check_source(volume: Volume) -> None:
    """Check that results of a scan can be written as DICOM, by making a one-voxel segment without writing it.

    Raises:
        InputError: the scan was not read from DICOM; highdicom is not installed; the source's files are missing or
            changed, or lack attributes needed to refer to them.
    """
    labels = np.zeros(volume.voxels.shape, np.uint8)
    labels[0, 0, 0] = 1
    _segmentation(volume, labels, [Segment("Check", "A voxel")], Maker(NAME, napari_vqad.__version__))


def write_segments(path: Path, volume: Volume, labels: NDArray, segments: Sequence[Segment], maker: Maker) -> None:
    """Write a binary DICOM SEG.

    Args:
        path: the file; an existing file is overwritten.
        volume: the scan, read from DICOM.
        labels: integers (R, A, S), up to 65535: i + 1 for segments[i], 0 elsewhere; each segment needs a voxel.
        segments: one or more.
        maker: model and settings.

    Raises:
        InputError: as `check_source`; or the file cannot be written.
    """
    _write(path, _segmentation(volume, labels, segments, maker))


def _segmentation(volume: Volume, labels: NDArray, segments: Sequence[Segment], maker: Maker) -> Dataset:
    images, hd = _source(volume), _highdicom()
    algorithm = hd.AlgorithmIdentificationSequence(
        name=NAME,
        family=codes.DCM.ArtificialIntelligence,
        version=napari_vqad.__version__,
        parameters={"model": maker.model, **maker.parameters},
    )
    described = []
    for number, segment in enumerate(segments, start=1):
        about = hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=segment.label[:64],
            # The code states where the region is, not what it is: the reader decides whether it is a lesion.
            segmented_property_category=codes.SCT.SpatialAndRelationalConcept,
            segmented_property_type=hd.sr.CodedConcept("flagged-region", "99VQAD", "Flagged region"),
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
        )
        about.SegmentDescription = segment.description
        described.append(about)

    def make() -> Dataset:
        return hd.seg.Segmentation(
            source_images=images,
            pixel_array=_in_source_order(labels.astype(np.uint16), volume),
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=described,
            pixel_measures=_measures(volume),
            content_label="FINDINGS",
            content_description=_described(volume, f"Flagged by a model; {LIMITS}"),
            series_description=_described(volume, f"{NAME} findings, {LIMITS}"),
            **_common(images[0], maker, 1),
        )

    return _made(make, volume)


def write_score(path: Path, volume: Volume, score: NDArray, meaning: str, maker: Maker) -> None:
    """Write a DICOM Parametric Map, one unitless 32-bit float per voxel.

    Args:
        path: the file; an existing file is overwritten.
        volume: the scan, read from DICOM.
        score: (R, A, S).
        meaning: meaning of the values, up to 64 characters.
        maker: model and settings.

    Raises:
        InputError: as `write_segments`.
    """
    images, hd = _source(volume), _highdicom()
    stored = _in_source_order(score.astype(np.float32), volume)
    low, high = float(min(stored.min(), 0.0)), float(max(stored.max(), 1e-3))
    mapping = hd.pm.RealWorldValueMapping(
        lut_label="PIXEL_SCORE",
        lut_explanation=meaning[:64],
        unit=codes.UCUM.NoUnits,  # SD of healthy intensity or of healthy scores: a ratio
        value_range=(low, high),
        slope=1.0,
        intercept=0.0,
        quantity_definition=hd.sr.CodedConcept("pixel-score", "99VQAD", "Pixel score"),
    )

    def make() -> Dataset:
        return hd.pm.ParametricMap(
            source_images=images,
            pixel_array=stored,
            contains_recognizable_visual_features=False,
            real_world_value_mappings=[mapping],
            voi_lut_transformations=[hd.VOILUTTransformation(window_center=(low + high) / 2, window_width=high - low)],
            pixel_measures=_measures(volume),
            content_label="PIXEL_SCORE",
            content_description=_described(volume, f"Score of a model; {LIMITS}"),
            series_description=_described(volume, f"{NAME} pixel score, {LIMITS}"),
            **_common(images[0], maker, 2),
        )

    _write(path, _made(make, volume))


def _highdicom() -> Any:
    try:
        import highdicom
    except ImportError as error:
        raise InputError(f'Writing DICOM needs highdicom: pip install "{NAME}[dicom]".') from error
    return highdicom


def _source(volume: Volume) -> list[Dataset]:
    """Read the source's images without their pixels: one per slice, in array order, or one with all frames."""
    if not isinstance(volume.header, Series):
        raise InputError(f"{volume.name} was not read from DICOM; only what was can be written out as DICOM.")
    series = volume.header
    known = dict(zip(series.files, series.instances, strict=True))
    images: list[Dataset] = []
    for file, instance in known.items():
        try:
            image = open_dicom(file, stop_before_pixels=True, specific_tags=[*CARRIED, *REFERRED])
            same = image.SOPInstanceUID == instance
        except BROKEN as error:
            raise InputError(f"{file}, which the scan was read from, cannot be read any more.") from error
        if not same:
            raise InputError(f"{file} is no longer the image that the scan was read from.")
        _in_order(image)
        # highdicom requires it and some series lack it; the value written comes from `_measures`.
        image.SliceThickness = float(np.linalg.norm(volume.file_affine[:3, 2]))
        if images and "ImageOrientationPatient" in image:
            # Orientations may differ by rounding, which `dicom_geometry` allows and highdicom does not.
            image.ImageOrientationPatient = images[0].ImageOrientationPatient
        images.append(image)
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID"):
        if not images[0].get(keyword):
            raise InputError(
                f"{volume.name} cannot be referred to in DICOM: its files have no {keyword}, as after some "
                "anonymisation; its maps can be written as NIfTI."
            )
    return images


def _in_order(image: Dataset) -> None:
    """Set all `CARRIED` attributes, in UTF-8; empty if the source lacks them or their form is invalid in DICOM."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for keyword in set(CARRIED) - {"StudyInstanceUID"}:
            value = str(image.get(keyword) or "")
            setattr(image, keyword, value if _is_allowed(keyword, value) else None)
    image.SpecificCharacterSet = "ISO_IR 192"


def _is_allowed(keyword: str, value: str) -> bool:
    if keyword == "PatientSex":
        return value in ("M", "F", "O")
    try:
        if keyword.endswith("Date"):
            DA(value)
        elif keyword.endswith("Time"):
            TM(value)
    except ValueError:
        return False
    return bool(value)


def _in_source_order(array: NDArray, volume: Volume) -> NDArray:
    """Convert a canonical array to (slice, row, column), with slices in the order of the source's images or frames."""
    stack = np.ascontiguousarray(volume.to_file(array).transpose(2, 1, 0))
    series: Series = volume.header
    if len(set(series.files)) > 1:  # one file per slice
        return stack
    ordered = np.empty_like(stack)
    ordered[list(series.frames)] = stack
    return ordered


def _measures(volume: Volume) -> Any:
    """Return the pixel measures; slice spacing comes from the slice positions."""
    column, row, slices = np.linalg.norm(volume.file_affine[:3, :3], axis=0)
    return _highdicom().PixelMeasuresSequence(
        pixel_spacing=(float(row), float(column)), slice_thickness=float(slices), spacing_between_slices=float(slices)
    )


def _described(volume: Volume, text: str) -> str:
    """Put in front of a description that the scan was edited, so that no viewer shows it as the patient's."""
    return text if volume.edited is None else f"EDITED SCAN, {text}"[:64]


def _common(image: Dataset, maker: Maker, which: int) -> dict[str, Any]:
    try:
        number = int(image.get("SeriesNumber") or 0)
    except (TypeError, ValueError):
        number = 0
    return {
        "series_instance_uid": generate_uid(),
        "series_number": 100 * max(number, 0) + which,  # scanners number derived series in this way
        "sop_instance_uid": generate_uid(),
        "instance_number": 1,
        "manufacturer": NAME,
        "manufacturer_model_name": maker.model[:64],
        "software_versions": napari_vqad.__version__,
        "device_serial_number": maker.serial[:64],
    }


def _made(make: Callable[[], Dataset], volume: Volume) -> Dataset:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings about unusual values in the source's header
            made = make()
    except (AttributeError, ValueError, TypeError) as error:
        raise InputError(f"{volume.name} cannot be referred to in DICOM: {error}") from error
    if volume.edited is not None:
        made.ImageComments = "\n".join([f"{volume.edited.headline}.", *volume.edited.lines])[:COMMENT]
    return made


def _write(path: Path, made: Dataset) -> None:
    """Write atomically: the last step is a rename in the same folder."""
    with atomic_write(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.save_as(file)
