"""A folder of results of cases, so that an interrupted evaluation of several hours can be continued."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings
from napari_vqad.errors import InputError
from napari_vqad.evaluate.cases import Case
from napari_vqad.files import limits
from napari_vqad.files.archive import read_npz
from napari_vqad.files.atomic import atomic_write
from napari_vqad.files.regular import read_regular


class CaseResult(NamedTuple):
    """Result of a case with one variant.

    Attributes:
        voxels, slices: scores of the counted voxels and of the clear slices.
        scan: sum of the scores of all slices with brain.
        seconds: time in the networks.
        details: further numbers of the case, if `experiment.collect` was asked for them; else empty.
    """

    voxels: NDArray
    slices: NDArray
    scan: float
    seconds: float
    details: NDArray = np.zeros(0)


@dataclass(frozen=True)
class ResultCache:
    """Stored results of one bundle with one set of settings.

    Attributes:
        folder: created with the first result; if None, no results are stored.
    """

    folder: Path | None = None

    @classmethod
    def of(cls, folder: Path | None, bundle: Bundle, settings: Settings, over: str = "max") -> ResultCache:
        """Return the cache in `folder` for a bundle, its calibration, settings, and `over`.

        `over` names what else the results depend on: see `Variant`, and the details that are stored.
        """
        if folder is None:
            return cls()
        calibration = read_regular(bundle.folder / "calibration.json", limits.JSON)
        key = hashlib.sha256(
            bundle.hash.encode() + calibration + f"{settings.model_dump_json()}{over}".encode()
        ).hexdigest()
        return cls(Path(folder) / f"{bundle.name}-{key[:12]}")

    def has(self, case: Case, way: str) -> bool:
        """Check whether there is a stored result of a case with a variant."""
        return self.folder is not None and self._file(self.folder, case, way).exists()

    def read(self, case: Case, way: str) -> CaseResult | None:
        """Return the stored result of a case with a variant; None if there is none, or its file is damaged."""
        if self.folder is None or not (file := self._file(self.folder, case, way)).exists():
            return None
        return _read(file)

    def write(self, case: Case, way: str, found: CaseResult) -> None:
        """Store the result of a case with a variant.

        Raises:
            InputError: the file cannot be written.
        """
        if self.folder is None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"Results cannot be stored in {self.folder}: {error.strerror}.") from error
        with atomic_write(self._file(self.folder, case, way)) as fresh:
            np.savez(fresh, **found._asdict())

    def measured(self, case: Case, way: str, measure: Callable[[], CaseResult]) -> CaseResult:
        """Return the stored result; if there is none, call `measure` and store its result."""
        if (known := self.read(case, way)) is not None:
            return known
        found = measure()
        self.write(case, way, found)
        return found

    def _file(self, folder: Path, case: Case, way: str) -> Path:
        """Return the file of a result. Its name has a hash of the case, because other data may have equal names."""
        content = hashlib.sha256()
        for part in (case.grid.slices, case.grid.mask, case.truth, case.counted):
            content.update(np.ascontiguousarray(part).tobytes())
        return folder / f"{case.name} {content.hexdigest()[:12]} {way}.npz"


def _read(file: Path) -> CaseResult | None:
    """Read a stored result; None if the file is damaged, so that the case is measured again."""
    try:
        known = read_npz(file, CaseResult._fields, "measurement", limits.VOXELS)
        details = known.pop("details", np.zeros(0))  # earlier versions did not store them
        voxels, slices, scan, seconds = (known[name] for name in ("voxels", "slices", "scan", "seconds"))
        if not voxels.ndim == slices.ndim == details.ndim == 1:
            return None
        return CaseResult(voxels, slices, float(scan), float(seconds), details)
    except (InputError, KeyError, TypeError):
        return None
