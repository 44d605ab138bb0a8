"""Lists the DICOM images in a folder by series, without reading pixels.

A DICOM file is recognised by `DICM` after 128 bytes, or else by its first elements, not by its name. Files that are not
images (DICOMDIR, reports, segmentations, maps written by napari-vqad) are skipped.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from pydicom import Dataset
from pydicom.uid import UID

from napari_vqad.errors import InputError
from napari_vqad.files.regular import is_regular, open_regular
from napari_vqad.files.search import listed, search
from napari_vqad.io.dicom_bare import HEAD, is_bare
from napari_vqad.io.dicom_open import BROKEN, open_dicom

LOOK = 100  # files checked to tell whether a folder holds DICOM; also the most nearby folders searched
ENDS = 3  # number of first, and of last, files of a folder whose series is read
TAGS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "ImageType",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PixelSpacing",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]


@dataclass(frozen=True)
class SeriesEntry:
    """The images of a series.

    Attributes:
        uid: SeriesInstanceUID.
        number: SeriesNumber; None if missing.
        description: SeriesDescription, at most 64 characters; the only text about the patient that is kept.
        images: path and header of each, in the order in which the files were found.
        copies: number of further files that are copies of these images.
    """

    uid: str
    number: int | None
    description: str
    images: tuple[tuple[Path, Dataset], ...]
    copies: int = 0

    @property
    def n_slices(self) -> int:
        """Number of slices: images, or frames of multi-frame images."""
        return sum(frames_of(header) for _, header in self.images)

    @property
    def is_localizer(self) -> bool:
        """True if all images are marked as localizers."""
        return all(is_localizer(header) for _, header in self.images)

    @property
    def name(self) -> str:
        """The description, or the number if there is none."""
        return self.description or (f"Series {self.number}" if self.number is not None else "DICOM series")

    @property
    def words(self) -> str:
        """One line for a list: "3: t1_mprage, 176 slices"."""
        number = "?" if self.number is None else self.number
        plural = "" if self.n_slices == 1 else "s"
        return f"{number}: {self.description or 'without a description'}, {self.n_slices} slice{plural}"


class SeveralSeriesError(InputError):
    """The folder holds several series, and none was chosen.

    Attributes:
        folder: the folder.
        series: the series that can be scans.
    """

    def __init__(self, folder: Path, series: list[SeriesEntry]) -> None:
        self.folder, self.series = folder, series
        super().__init__(f"{folder} holds {len(series)} series; choose one with --series: {_list(series)}.")


def is_dicom(path: str | Path) -> bool:
    """Say whether a regular file has `DICM` after 128 bytes, or begins with a data set; False for other files."""
    try:
        with open_regular(path) as file:
            # Kernel files (/proc) have size zero, and reading them may block.
            head = file.read(HEAD) if os.fstat(file.fileno()).st_size else b""
        return head[128:132] == b"DICM" or is_bare(head)
    except (InputError, OSError):
        return False


def series_uid(path: str | Path) -> str | None:
    """Return the SeriesInstanceUID of a DICOM file; None if it cannot be read."""
    if not is_dicom(path):
        return None
    try:
        header = open_dicom(path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"])
        return str(header.get("SeriesInstanceUID") or "") or None
    except BROKEN:  # an InputError is a ValueError
        return None


def holds_dicom(folder: str | Path) -> bool:
    """Say whether one of the first 100 files in a folder is DICOM; later files are not checked, to be quick."""
    try:
        return any(is_dicom(path) for path in islice(search(Path(folder), is_regular), LOOK))
    except InputError:  # too many files to search
        return False


def series_in(folder: Path) -> list[SeriesEntry]:
    """List the series of images in a folder and its subfolders, sorted by number.

    Raises:
        InputError: the folder has no DICOM image, a damaged one or one without SeriesInstanceUID, or too many files.
    """
    return _listed(folder, search(folder, _is_candidate))


def series_of(path: Path) -> SeriesEntry:
    """Return the series of an image file: the images with its SeriesInstanceUID in its folder and nearby folders.

    Exports on CD split a series over folders. A sibling folder or subfolder is read if one of its first or last files
    belongs to the series. Images at a position already read count as copies.

    Raises:
        InputError: the file is not a DICOM image, or is damaged.
    """
    (own,) = _listed(path, [path])

    def within(folder: Path) -> SeriesEntry:
        return next(s for s in _listed(folder, filter(_is_candidate, _flat(folder))) if s.uid == own.uid)

    whole = within(path.parent)
    if any(frames_of(header) > 1 for _, header in whole.images):  # a multi-frame file is a whole series
        return whole
    for folder in _near(path.parent):
        if any(series_uid(file) == own.uid for file in _ends(folder)):
            places = {_place(header) for _, header in whole.images}
            near = within(folder)
            new = tuple((p, h) for p, h in near.images if _place(h) not in places and frames_of(h) == 1)
            copies = whole.copies + near.copies + len(near.images) - len(new)
            whole = replace(whole, images=whole.images + new, copies=copies)
    return whole


def pick(
    folder: Path, listed: list[SeriesEntry], series: str | int | None = None
) -> tuple[SeriesEntry, tuple[str, ...]]:
    """Choose a series; also return notes for the user on the series that were skipped.

    If `series` is None, the only one that can be a scan is chosen; localizers and single images are skipped.

    Args:
        folder: the folder, for messages.
        listed: the series in the folder.
        series: SeriesNumber or SeriesInstanceUID.

    Raises:
        SeveralSeriesError: several series can be scans, and `series` is None.
        InputError: no series, or more than one, matches `series`.
    """
    if series is not None:
        wanted = str(series).strip()
        found = [s for s in listed if wanted in (s.uid, str(s.number))]
        if not found:
            raise InputError(f"{folder} holds no series {wanted}, but {_list(listed)}.")
        if len(found) > 1:
            uids = " or ".join(s.uid for s in found)
            raise InputError(f"{folder} holds {len(found)} series of the number {wanted}; give the UID: {uids}.")
        return found[0], ()
    scans = [s for s in listed if s.n_slices > 1 and not s.is_localizer] or listed
    if len(scans) > 1:
        raise SeveralSeriesError(folder, scans)
    left = [s for s in listed if s is not scans[0]]
    note = f"Passed over in the folder, as localizers or single images: {_list(left)}."
    return scans[0], (note,) if left else ()


def frames_of(header: Dataset) -> int:
    """Return the number of frames of an image; 1 if it is not given."""
    try:
        return int(header.get("NumberOfFrames") or 1)
    except (ValueError, TypeError):
        return 1


def is_localizer(header: Dataset) -> bool:
    """Say whether an image is marked as a localizer (scout)."""
    kinds = header.get("ImageType") or ()
    return "LOCALIZER" in [str(kind).upper() for kind in ([kinds] if isinstance(kinds, str) else kinds)]


def _flat(folder: Path) -> list[Path]:
    """List the regular files in a folder, sorted by name; empty if the folder cannot be read."""
    return [path for path in listed(folder) if is_regular(path)]


def _is_candidate(path: Path) -> bool:
    return is_dicom(path) or (path.suffix.lower() == ".dcm" and is_regular(path))


def _ends(folder: Path) -> list[Path]:
    files = _flat(folder)
    return files[:ENDS] + files[ENDS:][-ENDS:]


def _near(folder: Path) -> list[Path]:
    """List the subfolders and siblings of a folder; of too many siblings, those next to it by name."""
    folder = Path(os.path.abspath(folder))

    def within(place: Path) -> list[Path]:
        try:
            return [p for p in listed(place) if p.is_dir()]
        except (InputError, OSError):  # InputError: too many files to search, so this is not an export on CD
            return []

    above = folder.parent
    beside = within(above) if above != above.parent else []  # folders at the root do not belong to a scan
    at = beside.index(folder) if folder in beside else 0
    return within(folder)[:LOOK] + [p for p in beside[max(at - LOOK // 2, 0) : at + LOOK // 2] if p != folder]


def _listed(where: Path, files: Iterable[Path]) -> list[SeriesEntry]:
    series: dict[str, list[tuple[Path, Dataset]]] = {}
    known: set[tuple[str, ...]] = set()
    copies: Counter[str] = Counter()
    others = 0
    for path in files:
        header = _header(path)
        if header is None:
            others += 1
            continue
        uid, instance = str(header.SeriesInstanceUID), str(header.get("SOPInstanceUID") or "")
        # Includes the position, since some anonymisers give all images the same SOPInstanceUID.
        image = uid, instance, _place(header)
        if instance and image in known:
            copies[uid] += 1
        else:
            known.add(image)
            series.setdefault(uid, []).append((path, header))
    if not series:
        without = "no DICOM image" if others else "no DICOM file"
        raise InputError(f"{where} holds {without}." if where.is_dir() else f"{where} is {without}.")
    found = [
        SeriesEntry(
            uid, _number(images[0][1]), _text(images[0][1].get("SeriesDescription")), tuple(images), copies[uid]
        )
        for uid, images in series.items()
    ]
    return sorted(found, key=lambda s: (s.number is None, s.number or 0, s.uid))


def _place(header: Dataset) -> str:
    return str(header.get("ImagePositionPatient"))


def _header(path: Path) -> Dataset | None:
    """Read the `TAGS` of an image, without its pixels; None if the file is not an image.

    Raises:
        InputError: the file is damaged, or is named .dcm but is not DICOM.
    """
    damaged = InputError(f"{path} is cut short or damaged: its DICOM header cannot be read.")
    if not is_dicom(path):  # named .dcm: skipping it might lose the last slice of a scan
        raise damaged
    try:
        header = open_dicom(path, stop_before_pixels=True, specific_tags=list(TAGS))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # harmless oddities need not be shown to the user
            kind = UID(header.file_meta.get("MediaStorageSOPClassUID") or header.get("SOPClassUID") or "")
            if "Image Storage" not in kind.name:
                if header.preamble and not header.file_meta.get("TransferSyntaxUID"):  # cut short before the class
                    raise damaged
                return None
            for _ in header.iterall():  # pydicom decodes a value on access; access all of them here
                pass
            sides = header.get("Rows"), header.get("Columns")
            if not header.get("SeriesInstanceUID") or not all(isinstance(n, int) and n > 0 for n in sides):
                raise damaged
    except InputError:
        raise
    except BROKEN as error:
        raise damaged from error
    return header


def _number(header: Dataset) -> int | None:
    try:
        return int(header.SeriesNumber)
    except (AttributeError, TypeError, ValueError):
        return None


def _text(value: object) -> str:
    """Convert to one line of at most 64 characters, the standard's limit."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(value or "")).split())[:64]


def _list(series: list[SeriesEntry]) -> str:
    """List series in words; with the UID where the number is missing or not unique."""
    numbers = [s.number for s in series]
    alone = [s.number is not None and numbers.count(s.number) == 1 for s in series]
    return "; ".join(s.words if known else f"{s.words} ({s.uid})" for s, known in zip(series, alone, strict=True))
