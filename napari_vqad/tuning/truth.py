"""Labels as the truth about a scan: from an array with its affine, or from a folder of label files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_vqad.errors import InputError
from napari_vqad.imaging.resample import resample_affine
from napari_vqad.imaging.volume import Volume
from napari_vqad.io.nifti import ENDINGS, read_labels

ENDS = ("label", "gold")  # of the names of label files, as in `evaluate.cases.paired_cases`
NEAR = 0.5  # voxels; labels that lie closer to the scan's voxels are taken as they are


@dataclass(frozen=True, eq=False)
class Truth:
    """Which voxels of a scan are abnormal.

    Attributes:
        voxels: bool (R, A, S), on the scan's voxels.
        source: where the labels come from, such as "the layer 'lesions'".
        note: a sentence on how they were brought onto the scan's voxels; empty if nothing was changed.
    """

    voxels: NDArray[np.bool_]
    source: str
    note: str = ""


def is_on(shape: tuple[int, ...], affine: NDArray, scan: Volume) -> bool:
    """Say whether labels of a shape and an affine, voxel → scanner mm, lie on a scan's voxels."""
    if tuple(shape) != scan.voxels.shape:
        return False
    corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)], float)
    corners[:, :3] *= np.array(shape) - 1
    apart = corners @ (np.linalg.inv(scan.affine) @ affine).T - corners
    return bool(np.abs(apart).max() < NEAR)


def on_scan(labels: NDArray[np.bool_], affine: NDArray, scan: Volume, source: str) -> Truth:
    """Bring labels, bool (R, A, S), onto a scan's voxels; labels on another grid are resampled.

    Args:
        labels: the labels.
        affine: 4×4, voxel of the labels → scanner mm.
        scan: the scan.
        source: where the labels come from, for messages.

    Raises:
        InputError: the labels do not overlap the scan.
    """
    if is_on(labels.shape, affine, scan):
        return Truth(labels, source)
    to_labels = np.linalg.inv(affine) @ scan.affine
    if not resample_affine(np.ones(labels.shape, np.float32), to_labels, scan.voxels.shape, order=0).any():
        raise InputError(f"The voxels of {source} do not overlap {scan.name}; choose labels of this scan.")
    found = resample_affine(labels.astype(np.float32), to_labels, scan.voxels.shape, order=0) > 0
    sizes = " and ".join("×".join(map(str, shape)) for shape in (labels.shape, scan.voxels.shape))
    return Truth(
        found,
        source,
        f"The labels have another grid than the scan ({sizes} voxels); they were resampled to the nearest voxels.",
    )


def read_truth(folder: Path, scan: Volume) -> Truth:
    """Read the labels of a scan from a folder of NIfTI files; every label above zero is abnormal.

    The names are matched as in `evaluate`: NAME_label or NAME_gold for the scan NAME_t1, _t1c, _t2 or _flair. Else a
    file with the name of the scan is taken. In a folder with `cases.csv`, a case of the kind "normal" needs no file.

    Raises:
        InputError: no file or several files match, or the file does not fit the scan.
    """
    from napari_vqad.evaluate.cases import NORMAL, SEQUENCES, read_table  # slow to import

    folder = Path(folder)
    own = _stem(scan.path) if scan.path is not None else scan.name
    stems = [own, *([own.rpartition("_")[0]] if own.rpartition("_")[2] in SEQUENCES else [])]
    names = [f"{stem}_{end}" for stem in stems for end in ENDS]
    if (folder / "cases.csv").exists():
        kinds = {row["case"]: row["kind"] for row in read_table(folder / "cases.csv")}
        if any(kinds.get(stem) == NORMAL for stem in stems):
            none = np.zeros(scan.voxels.shape, bool)
            return Truth(none, f"{folder.name}/cases.csv", "cases.csv says that this scan is normal.")
    for wanted in (names, stems):
        found = [
            p for name in wanted for end in ENDINGS if (p := folder / f"{name}{end}").is_file() and not _is(p, scan)
        ]
        if len(found) > 1:
            raise InputError(f"{folder} has several label files for {own}: {', '.join(p.name for p in found)}.")
        if found:
            return Truth(read_labels(found[0], scan) > 0, found[0].name)
    raise InputError(f"{folder} has no label file for {own}, such as {stems[-1]}_label.nii.gz.")


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".nii")


def _is(path: Path, scan: Volume) -> bool:
    """Is this the file of the scan itself?"""
    return scan.path is not None and scan.path.exists() and path.samefile(scan.path)
