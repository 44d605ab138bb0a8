"""Which DICOM images lie in a folder, series by series; nothing of their pixels is read here.

A DICOM file is known by its mark, `DICM` after 128 bytes, or by how its data set begins where it has none, not by its
name. What is no image (DICOMDIR, reports, segmentations, maps of ours) is passed over.
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

LOOK = 100  # files of a folder that are looked at to tell whether it is one of DICOM; folders near a file's own
ENDS = 3  # first and last files of a folder that are asked for their series
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
        number: SeriesNumber, None where it is not given.
        description: SeriesDescription; the only words of the patient's that are taken from the files.
        images: path and header of each, in the order of the paths.
        copies: further files of the series, each of which is one of these images once more.
    """

    uid: str
    number: int | None
    description: str
    images: tuple[tuple[Path, Dataset], ...]
    copies: int = 0

    @property
    def n_slices(self) -> int:
        """Images, and frames of those that have many."""
        return sum(frames_of(header) for _, header in self.images)

    @property
    def is_localizer(self) -> bool:
        """Does every image say that it is one?"""
        return all(is_localizer(header) for _, header in self.images)

    @property
    def name(self) -> str:
        """The description, or the number where there is none."""
        return self.description or (f"Series {self.number}" if self.number is not None else "DICOM series")

    @property
    def words(self) -> str:
        """A line of a list: "3: t1_mprage, 176 slices"."""
        number = "?" if self.number is None else self.number
        plural = "" if self.n_slices == 1 else "s"
        return f"{number}: {self.description or 'without a description'}, {self.n_slices} slice{plural}"


class SeveralSeriesError(InputError):
    """Which series of a folder is meant has not been said.

    Attributes:
        folder: where they are.
        series: those that can be scans.
    """

    def __init__(self, folder: Path, series: list[SeriesEntry]) -> None:
        self.folder, self.series = folder, series
        super().__init__(f"{folder} holds {len(series)} series; choose one with --series: {_list(series)}.")


def is_dicom(path: str | Path) -> bool:
    """Does a file bear the mark of DICOM, or begin as a data set without that? Only a regular file is looked into."""
    try:
        with open_regular(path) as file:
            # Without a size there is nothing to read; the kernel's own files have none, and may wait when read.
            head = file.read(HEAD) if os.fstat(file.fileno()).st_size else b""
        return head[128:132] == b"DICM" or is_bare(head)
    except (InputError, OSError):
        return False


def series_uid(path: str | Path) -> str | None:
    """SeriesInstanceUID of one DICOM file; None where there is none to be read."""
    if not is_dicom(path):
        return None
    try:
        header = open_dicom(path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"])
        return str(header.get("SeriesInstanceUID") or "") or None
    except BROKEN:  # an InputError is a ValueError
        return None


def holds_dicom(folder: str | Path) -> bool:
    """Is there DICOM among the first files of a folder? Quick; a folder that does not say so soon is none."""
    try:
        return any(is_dicom(path) for path in islice(search(Path(folder), is_regular), LOOK))
    except InputError:  # more than is searched
        return False


def series_in(folder: Path) -> list[SeriesEntry]:
    """The series of images in a folder and the folders within, by number.

    Raises:
        InputError: it holds no DICOM image, or one that does not say which series it belongs to; or more than is
            searched.
    """
    return _listed(folder, search(folder, _is_candidate))


def series_of(path: Path) -> SeriesEntry:
    """The series that an image file belongs to: what has its SeriesInstanceUID in its folder, and near that.

    Exports on CD split a series over folders. One beside the file's own, or within it, is read where one of its first
    or last files is of the series; images that lie where those of the own folder do are taken for copies.

    Raises:
        InputError: the file is no DICOM image, or is damaged.
    """
    (own,) = _listed(path, [path])

    def within(folder: Path) -> SeriesEntry:
        return next(s for s in _listed(folder, filter(_is_candidate, _flat(folder))) if s.uid == own.uid)

    whole = within(path.parent)
    if any(frames_of(header) > 1 for _, header in whole.images):  # which is all of it
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
    """The series that is meant, and what was passed over for it, in sentences.

    Without a choice it is the only one that can be a scan: localizers and single images are not asked about.

    Args:
        folder: where they are, for the messages.
        listed: what it holds.
        series: SeriesNumber or SeriesInstanceUID.

    Raises:
        SeveralSeriesError: there is a choice and none was made.
        InputError: there is no such series, or more than one of that number.
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
    """Frames of an image, one where it does not say."""
    try:
        return int(header.get("NumberOfFrames") or 1)
    except (ValueError, TypeError):
        return 1


def is_localizer(header: Dataset) -> bool:
    """Does an image say that it is a localizer, or scout?"""
    kinds = header.get("ImageType") or ()
    return "LOCALIZER" in [str(kind).upper() for kind in ([kinds] if isinstance(kinds, str) else kinds)]


def _flat(folder: Path) -> list[Path]:
    """The files in a folder, by name; none where it cannot be looked into."""
    return [path for path in listed(folder) if is_regular(path)]


def _is_candidate(path: Path) -> bool:
    return is_dicom(path) or (path.suffix.lower() == ".dcm" and is_regular(path))


def _ends(folder: Path) -> list[Path]:
    files = _flat(folder)
    return files[:ENDS] + files[ENDS:][-ENDS:]


def _near(folder: Path) -> list[Path]:
    """The folders within a folder and those beside it, of very many those that are next to it by name."""
    folder = Path(os.path.abspath(folder))

    def within(place: Path) -> list[Path]:
        try:
            return [p for p in listed(place) if p.is_dir()]
        except (InputError, OSError):  # an InputError: more than is searched, and so no export on CD
            return []

    above = folder.parent
    beside = within(above) if above != above.parent else []  # what lies at the root is none of a scan's
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
        # With the place: some anonymisers give all images the same name.
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
    """What is asked of an image, without its pixels; None for what is no image.

    Raises:
        InputError: it is an image, and damaged.
    """
    damaged = InputError(f"{path} is cut short or damaged: its DICOM header cannot be read.")
    if not is_dicom(path):  # and named so: passed over, it might be the last slice of a scan
        raise damaged
    try:
        header = open_dicom(path, stop_before_pixels=True, specific_tags=list(TAGS))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is odd and harmless is none of the person's business
            kind = UID(header.file_meta.get("MediaStorageSOPClassUID") or header.get("SOPClassUID") or "")
            if "Image Storage" not in kind.name:
                if header.preamble and not header.file_meta.get("TransferSyntaxUID"):  # after the kind: cut before it
                    raise damaged
                return None
            for _ in header.iterall():  # values are decoded when they are looked at: all of them here
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
    """One line of at most 64 characters, as the standard has it."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(value or "")).split())[:64]


def _list(series: list[SeriesEntry]) -> str:
    """In words; with the UID where the number does not tell them apart."""
    numbers = [s.number for s in series]
    alone = [s.number is not None and numbers.count(s.number) == 1 for s in series]
    return "; ".join(s.words if known else f"{s.words} ({s.uid})" for s, known in zip(series, alone, strict=True))
