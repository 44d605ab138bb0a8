"""DICOM out, for a scan that came from DICOM: a binary segmentation and a parametric map that refer to its series.

highdicom (the extra `dicom`) writes them. Their frames take plane position and orientation from the source's own, so
that they lie where it lies to the bit. Of the patient and the study they carry what the standard demands, `CARRIED`,
and nothing else: only that, and what is needed to refer to the images, is read of the source.
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
# What the modules Patient and General Study demand (PS3.3 C.7.1.1 and C.7.2.1, types 1 and 2): it must be there, and
# all but StudyInstanceUID may be empty, as it is where the source, after some anonymisation, has none.
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
# What the new files need to refer to the source's images and to lie where these lie.
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
    """What made the files.

    Attributes:
        model: name of the bundle.
        serial: its hash.
        parameters: the settings, as text.
    """

    model: str
    serial: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Segment:
    """What a segment is called.

    Attributes:
        label: up to 64 characters.
        description: a sentence.
    """

    label: str
    description: str


def check_source(volume: Volume) -> None:
    """Can what is found in a scan be written out as DICOM? A segment of one voxel is made, and not written.

    Raises:
        InputError: the scan did not come from DICOM; highdicom is not installed; the source's files have gone or
            changed, or lack what is needed to refer to them.
    """
    labels = np.zeros(volume.voxels.shape, np.uint8)
    labels[0, 0, 0] = 1
    _segmentation(volume, labels, [Segment("Check", "A voxel")], Maker(NAME, napari_vqad.__version__))


def write_segments(path: Path, volume: Volume, labels: NDArray, segments: Sequence[Segment], maker: Maker) -> None:
    """A binary DICOM SEG.

    Args:
        path: the file; what is there is written over.
        volume: the scan, read from DICOM.
        labels: integers (R, A, S), up to 65535; i + 1 where segments[i] is, each of which has a voxel, 0 elsewhere.
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
            # Where something is, and not what: that it is a lesion is for the reader to say.
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
            content_description=f"Flagged by a model; {LIMITS}",
            series_description=f"{NAME} findings, {LIMITS}",
            **_common(images[0], maker, 1),
        )

    return _made(make, volume)


def write_score(path: Path, volume: Volume, score: NDArray, meaning: str, maker: Maker) -> None:
    """A DICOM Parametric Map in 32-bit floats, a number without a unit a voxel.

    Args:
        path: the file; what is there is written over.
        volume: the scan, read from DICOM.
        score: (R, A, S).
        meaning: what the numbers are, up to 64 characters.
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
            content_description=f"Score of a model; {LIMITS}",
            series_description=f"{NAME} pixel score, {LIMITS}",
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
    """The source's images without their pixels: one a slice, in the array's order, or the one that has all frames."""
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
        # Wanted by highdicom, missing in some series, and of no consequence: `_measures` gives what is written.
        image.SliceThickness = float(np.linalg.norm(volume.file_affine[:3, 2]))
        if images and "ImageOrientationPatient" in image:
            # Rounding may tell slices apart, which `dicom_slices` allows and highdicom does not.
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
    """All that is carried is there, in UTF-8; empty where the source has none, or none of a form that DICOM allows."""
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
    """A canonical array as (slice, row, column); slices in the order of the source's images or frames."""
    stack = np.ascontiguousarray(volume.to_file(array).transpose(2, 1, 0))
    series: Series = volume.header
    if len(set(series.files)) > 1:  # a file a slice
        return stack
    ordered = np.empty_like(stack)
    ordered[list(series.frames)] = stack
    return ordered


def _measures(volume: Volume) -> Any:
    """Spacing, that of slices from their positions."""
    column, row, slices = np.linalg.norm(volume.file_affine[:3, :3], axis=0)
    return _highdicom().PixelMeasuresSequence(
        pixel_spacing=(float(row), float(column)), slice_thickness=float(slices), spacing_between_slices=float(slices)
    )


def _common(image: Dataset, maker: Maker, which: int) -> dict[str, Any]:
    try:
        number = int(image.get("SeriesNumber") or 0)
    except (TypeError, ValueError):
        number = 0
    return {
        "series_instance_uid": generate_uid(),
        "series_number": 100 * max(number, 0) + which,  # as scanners number what they derive
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
            warnings.simplefilter("ignore")  # of odd words in the source's header
            return make()
    except (AttributeError, ValueError, TypeError) as error:
        raise InputError(f"{volume.name} cannot be referred to in DICOM: {error}") from error


def _write(path: Path, made: Dataset) -> None:
    """Whole or not at all: the last step is one rename in the same folder."""
    with atomic_write(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.save_as(file)
