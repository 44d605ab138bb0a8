"""Labelled cases: from a folder of files, or made of validation scans with simulated anomalies."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_vqad.errors import InputError
from napari_vqad.files import limits
from napari_vqad.files.regular import read_text
from napari_vqad.imaging.brain_mask import make_mask
from napari_vqad.imaging.grid import Grid
from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.imaging.layout import to_grid
from napari_vqad.imaging.template import Template
from napari_vqad.io.nifti import read_labels, read_mask, read_scan
from napari_vqad.simulate.anomalies import KINDS, add_anomaly
from napari_vqad.train.data import Stack

NORMAL, LESION = "normal", "lesion"
SEQUENCES = ("t1", "t1c", "t2", "flair")  # ends of the names of scans
PER_SUBJECT = 3  # simulated cases: one without an anomaly, two with one
POSITIVE_VOXELS = 10  # grid voxels; a slice with fewer is at the edge of a lesion and is not counted


@dataclass(frozen=True)
class Case:
    """A scan with its label.

    Attributes:
        name: name of the case.
        kind: kind of anomaly; "normal" for a scan without one.
        grid: the scan on the model's grid.
        label: float (n, H, W) on the grid, anomalous share of each voxel.
        truth: bool, the label, on the voxels of the scan or of the grid.
        counted: bool, same shape as `truth`: the mask of the voxels that are counted.
        positive: bool (n,), whether each slice is abnormal, if the data set says so; else None.
        subject: the person, if the data set says so; several cases may be of one person.
        beyond: bool, same shape as `truth`: counted voxels beyond the brain mask, which no detector can find; None if
            there are none.
    """

    name: str
    kind: str
    grid: Grid
    label: np.ndarray
    truth: np.ndarray
    counted: np.ndarray
    positive: np.ndarray | None = None
    subject: str = ""
    beyond: np.ndarray | None = None

    def of_slices(self) -> tuple[np.ndarray, np.ndarray]:
        """Return which slices are counted and which are abnormal, bool (n,) each.

        Slices with brain are counted. If `positive` is None, slices with labelled voxels but fewer than
        `POSITIVE_VOXELS` are not counted.
        """
        brain = np.asarray(self.grid.mask.any((1, 2)))
        if self.positive is not None:
            return brain, self.positive
        voxels = self.label.sum((1, 2))
        clear = (voxels >= POSITIVE_VOXELS) | (voxels == 0)
        return clear & brain, voxels > 0

    def on_truth(self, stack: np.ndarray) -> np.ndarray:
        """Return the values of a map (n, H, W) at the counted voxels, as a vector; the lowest value beyond the mask.

        A map is zero beyond the mask. That is not its lowest value if healthy scores may be negative.
        """
        there = stack if self.truth.shape == self.grid.mask.shape else self.grid.to_scan(stack)
        values = there[self.counted]
        if self.beyond is not None and len(values):
            values[self.beyond[self.counted]] = values.min()
        return values


def folder_cases(
    folder: Path, spec: GridSpec, template: Template | None = None, names: list[str] | None = None
) -> Iterator[Case]:
    """Read the cases of a folder with `cases.csv` and `caseNN_{t1,mask,label}.nii.gz`.

    The scans' own voxels within the mask are counted. If `names` is given, only these cases are read.

    Raises:
        InputError: the folder has no cases.csv, or a file cannot be read.
    """
    table = Path(folder) / "cases.csv"
    if not table.exists():
        raise InputError(f"{folder} has no cases.csv.")
    for row in (r for r in read_table(table) if names is None or r["case"] in names):
        scan = read_scan(table.parent / f"{row['case']}_t1.nii.gz")
        mask = read_mask(table.parent / f"{row['case']}_mask.nii.gz", scan)
        answer = table.parent / f"{row['case']}_label.nii.gz"
        label = read_mask(answer, scan) if row["kind"] != NORMAL else np.zeros_like(mask)
        grid = to_grid(scan, mask, spec, template=template)
        subject = row.get("subject") or row["case"]
        yield Case(row["case"], row["kind"], grid, grid.from_scan(label), label, mask, subject=subject)


def paired_cases(
    folder: Path, spec: GridSpec, template: Template | None = None, names: list[str] | None = None
) -> Iterator[Case]:
    """Read the labelled scans of a folder without a table: NAME_t1, _t1c, _t2 or _flair, with NAME_label or NAME_gold.

    Voxels with any label count as abnormal. The brain mask is NAME_mask, or is computed. NAME is the subject. If
    `names` is given, only the scans of these names are read, such as "NAME_t1".

    Raises:
        InputError: the folder has no such pair, or a file cannot be read.
    """
    found = {
        path.name.removesuffix(".nii.gz"): (path, answer, path.name.rpartition("_")[0])
        for path in sorted(Path(folder).glob("*.nii.gz"))
        if path.name.removesuffix(".nii.gz").rpartition("_")[2] in SEQUENCES
        and (answer := beside(path, path.name.rpartition("_")[0], ("label", "gold")))
    }
    if not found:
        raise InputError(f"{folder} has neither cases.csv nor scans with labels, such as a_t1.nii.gz, a_label.nii.gz.")
    for name, (path, labels, subject) in found.items():
        if names is None or name in names:
            scan = read_scan(path)
            given = beside(path, subject, ("mask",))
            mask = read_mask(given, scan) if given else make_mask(scan).voxels
            label = read_labels(labels, scan) > 0
            yield lesion_case(name, to_grid(scan, mask, spec, template=template), label, mask, subject)


def lesion_case(name: str, grid: Grid, label: NDArray[np.bool_], mask: NDArray[np.bool_], subject: str = "") -> Case:
    """Make the case of a scan on a model's grid, with a label and a brain mask, bool (R, A, S) on its voxels.

    No detector can find labelled voxels beyond the mask. They count as missed, as they would for a reader; the mask is
    the same for all detectors.
    """
    return Case(name, LESION, grid, grid.from_scan(label), label, mask | label, subject=subject, beyond=label & ~mask)


def labelled_cases(
    folder: Path, spec: GridSpec, template: Template | None = None, names: list[str] | None = None
) -> Iterator[Case]:
    """Read the cases of a folder with a table (`folder_cases`) or without one (`paired_cases`).

    Raises:
        InputError: see these two; or none of the cases has one of `names`.
    """
    read = folder_cases if (Path(folder) / "cases.csv").exists() else paired_cases
    at_least_one = False
    for case in read(folder, spec, template, names):
        at_least_one = True
        yield case
    if not at_least_one:
        raise InputError(f"{folder} has no case {' or '.join(names or ['at all'])}.")


def beside(scan: Path, stem: str, names: tuple[str, ...]) -> Path | None:
    """Return a file such as STEM_mask.nii.gz beside a scan; None if there is none."""
    return next((p for n in names if (p := scan.parent / f"{stem}_{n}.nii.gz").exists()), None)


def read_table(path: Path) -> list[dict[str, str]]:
    """Read the rows of `cases.csv`, each with a "case" and a "kind".

    Raises:
        InputError: the file is not such a table, is too large or not UTF-8, or a case's name contains a path.
    """
    text = read_text(path, limits.TEXT)
    try:
        rows = list(csv.DictReader(io.StringIO(text), strict=True))
    except csv.Error as error:
        raise InputError(f"{path} is not a readable table: {error}.") from error
    for number, row in enumerate(rows, 2):
        name, kind = row.get("case"), row.get("kind")
        if not name or not kind or not name.isprintable() or {"/", "\\"} & set(name) or len(name) > 100:
            raise InputError(f"{path} has no case and kind in line {number}, or a case that is no plain name.")
    return rows


def simulated_cases(stack: Stack, spec: GridSpec, each: int = PER_SUBJECT - 1, seed: int = 77) -> Iterator[Case]:
    """Make cases of each scan of a stack: the scan itself, and `each` copies with one anomaly of alternating kind."""
    kinds = list(KINDS)
    for number, grid in enumerate(stack.grids(spec)):
        nothing = np.zeros(grid.mask.shape, bool)
        yield Case(f"scan{number}", NORMAL, grid, nothing.astype(np.float32), nothing, grid.mask)
        for turn in range(each):
            kind = kinds[(each * number + turn) % len(kinds)]
            changed, label = add_anomaly(grid, kind, np.random.default_rng([seed, number, turn]))
            yield Case(f"scan{number}-{turn}", kind, changed, label.astype(np.float32), label & grid.mask, grid.mask)
