"""Labelled cases: those of a folder of files, and validation scans with simulated anomalies."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_vqad.errors import InputError
from napari_vqad.files import limits
from napari_vqad.files.regular import read_text
from napari_vqad.imaging.grid import Grid
from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.imaging.layout import to_grid
from napari_vqad.imaging.template import Template
from napari_vqad.io.nifti import read_mask, read_scan
from napari_vqad.simulate.anomalies import KINDS, add_anomaly
from napari_vqad.train.data import Stack

NORMAL = "normal"
PER_SUBJECT = 3  # simulated cases: untouched, and twice with an anomaly
POSITIVE_VOXELS = 10  # of the grid; fewer in a slice are the rim of a lesion, and the slice is left out


@dataclass(frozen=True)
class Case:
    """One scan with its answer.

    Attributes:
        name, kind: `kind` is "normal" for an untouched scan.
        grid: the scan on the model's grid.
        label: float (n, H, W) on the grid, share of the voxel that is anomalous.
        truth: bool, the label on the voxels that are counted; with `counted`, the mask on the same voxels.
        positive: bool (n,), where it is known of each slice whether anything in it is anomalous.
    """

    name: str
    kind: str
    grid: Grid
    label: np.ndarray
    truth: np.ndarray
    counted: np.ndarray
    positive: np.ndarray | None = None

    def of_slices(self) -> tuple[np.ndarray, np.ndarray]:
        """Which slices count, and their answers, both bool (n,).

        Without `positive` those with brain count that have at least `POSITIVE_VOXELS` labelled voxels, or none.
        """
        brain = np.asarray(self.grid.mask.any((1, 2)))
        if self.positive is not None:
            return brain, self.positive
        voxels = self.label.sum((1, 2))
        clear = (voxels >= POSITIVE_VOXELS) | (voxels == 0)
        return clear & brain, voxels > 0

    def on_truth(self, stack: np.ndarray) -> np.ndarray:
        """A map of the grid at the counted voxels, as a vector."""
        there = stack if self.truth.shape == self.grid.mask.shape else self.grid.to_scan(stack)
        return there[self.counted]


def folder_cases(
    folder: Path, spec: GridSpec, template: Template | None = None, names: list[str] | None = None
) -> Iterator[Case]:
    """`caseNN_{t1,mask,label}.nii.gz` with `cases.csv`; counted on the scans' own voxels within the mask.

    Only those of `names`, where they are given.

    Raises:
        InputError: the folder holds no such cases.
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
        yield Case(row["case"], row["kind"], grid, grid.from_scan(label), label, mask)


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of `cases.csv`, each with a "case" and a "kind".

    Raises:
        InputError: it is no such table, too large, not UTF-8, or a case has the name of a file elsewhere.
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
    """Every scan of a stack untouched, and `each` times with one anomaly; kinds take turns."""
    kinds = list(KINDS)
    for number, grid in enumerate(stack.grids(spec)):
        nothing = np.zeros(grid.mask.shape, bool)
        yield Case(f"scan{number}", NORMAL, grid, nothing.astype(np.float32), nothing, grid.mask)
        for turn in range(each):
            kind = kinds[(each * number + turn) % len(kinds)]
            changed, label = add_anomaly(grid, kind, np.random.default_rng([seed, number, turn]))
            yield Case(f"scan{number}-{turn}", kind, changed, label.astype(np.float32), label & grid.mask, grid.mask)
