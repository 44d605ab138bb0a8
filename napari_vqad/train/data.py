"""Training data: the healthy slices of a folder of scans on the model's grid, packed into one small array."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from scipy import ndimage

from napari_vqad.errors import InputError
from napari_vqad.files import limits
from napari_vqad.files.archive import read_npz
from napari_vqad.imaging.grid import Grid
from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.imaging.layout import to_grid
from napari_vqad.imaging.template import Template
from napari_vqad.imaging.volume import Volume
from napari_vqad.io.nifti import read_scan
from napari_vqad.train.ped2_split import segments

Split = Literal["train", "validation", "calibration"]
LARGEST = 1e4  # SD of a clip range, or position; anything near it is nonsense
Item = TypeVar("Item")
SPLITS: tuple[Split, ...] = ("train", "validation", "calibration")


@dataclass(frozen=True)
class Stack:
    """Slices of many scans.

    Attributes:
        levels: uint8 (N, H, W), z-scores of the grid's clip range in 256 steps.
        mask: bool (N, H, W).
        position: float32 (N,).
        scan: int (N,), number of the scan of each slice.
        clip: z-scores of the levels 0 and 255.
    """

    levels: np.ndarray
    mask: np.ndarray
    position: np.ndarray
    scan: np.ndarray
    clip: tuple[float, float]

    def __len__(self) -> int:
        return len(self.levels)

    def slices(self, index: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return the chosen slices as z-scores, float32."""
        low, high = self.clip
        return self.levels[index].astype(np.float32) * ((high - low) / 255.0) + low

    def of_brain(self) -> Stack:
        """The slices that hold some brain; an aligned grid has empty ones above and below."""
        return self.chosen(np.asarray(self.mask.any((1, 2))))

    def chosen(self, some: np.ndarray) -> Stack:
        """The chosen slices, bool (N,)."""
        return replace(
            self, levels=self.levels[some], mask=self.mask[some], position=self.position[some], scan=self.scan[some]
        )

    def save(self, path: Path) -> None:
        """Write all data into one compressed npz, which is small enough to copy to a machine with a GPU."""
        packed = np.packbits(self.mask, axis=-1)
        np.savez_compressed(
            path, levels=self.levels, mask=packed, position=self.position, scan=self.scan, clip=np.array(self.clip)
        )

    @classmethod
    def load(cls, path: Path) -> Stack:
        """Read a file that `save` wrote.

        Raises:
            InputError: the file is not such a stack.
        """
        damaged = InputError(f"{path} is not a stack packed by 'napari-vqad train pack'.")
        names = ("levels", "mask", "position", "scan", "clip")
        try:
            found = read_npz(path, names, "stack", limits.VOXELS)
            levels, packed, position, scan, clip = (found[name] for name in names)
        except KeyError as error:
            raise damaged from error
        except InputError as error:
            raise InputError(f"{damaged.args[0][:-1]}: {str(error).removeprefix(f'{path} ')}") from error
        n, h, w = levels.shape if levels.ndim == 3 else (0, 0, 0)
        sizes = packed.shape == (n, h, -(-w // 8)) and position.shape == scan.shape == (n,) and clip.shape == (2,)
        kinds = levels.dtype == packed.dtype == np.uint8 and (position.dtype.kind, clip.dtype.kind) == ("f", "f")
        if not levels.size or not sizes or not kinds or scan.dtype.kind not in "iu" or scan.min() < 0:
            raise damaged
        if not (np.abs(position) < LARGEST).all() or not (np.abs(clip) < LARGEST).all() or not clip[0] < clip[1]:
            raise damaged
        mask = np.unpackbits(packed, axis=-1, count=w).astype(bool)
        return cls(levels, mask, position.astype(np.float32), scan, tuple(clip.tolist()))

    def grids(self, spec: GridSpec) -> Iterator[Grid]:
        """Yield the slices of each scan as a grid without a source scan."""
        for number in np.unique(self.scan):
            chosen = np.flatnonzero(self.scan == number)
            slices, mask = self.slices(chosen), self.mask[chosen]
            yield Grid.of_slices(slices, mask, self.position[chosen], spec.spacing, spec.aligned, spec.kind)

    @classmethod
    def of(cls, grids: list[Grid], spec: GridSpec) -> Stack:
        """Pack the slices of grids, in this order."""
        low, high = spec.clip
        levels = [np.rint((g.slices.clip(low, high) - low) * (255.0 / (high - low))).astype(np.uint8) for g in grids]
        return cls(
            np.concatenate(levels),
            np.concatenate([g.mask for g in grids]),
            np.concatenate([g.position for g in grids]),
            np.repeat(np.arange(len(grids)), [len(g) for g in grids]),
            spec.clip,
        )


def split_of(index: int) -> Split:
    """Return the split of a subject, given its index in the sorted list: mod 10, 0 validation, 1 calibration."""
    return {0: "validation", 1: "calibration"}.get(index % 10, "train")  # type: ignore[return-value]


def ixi_subjects(folder: Path, split: Split) -> list[tuple[Path, Path]]:
    """List scan and parcellation of the subjects of a split, in a folder with `t1/` and `dlmuse_seg/`.

    Raises:
        InputError: there are no scans, or a parcellation is missing.
    """
    folder = Path(folder)
    scans = sorted((folder / "t1").glob("*.nii.gz"))
    chosen = [s for i, s in enumerate(scans) if split_of(i) == split]
    pairs = [(s, folder / "dlmuse_seg" / s.name.replace(".nii.gz", "_DLMUSE.nii.gz")) for s in chosen]
    missing = [str(seg) for _, seg in pairs if not seg.exists()]
    if not pairs or missing:
        raise InputError(f"{folder} has no scans in t1/ with parcellations in dlmuse_seg/ for the {split} split.")
    return pairs


def brain_of_parcellation(labels: np.ndarray) -> np.ndarray:
    """Make a brain mask from a parcellation: labels > 0, closed by three voxels, holes filled, largest component."""
    closed = ndimage.binary_closing(np.pad(labels > 0, 4), iterations=3)[4:-4, 4:-4, 4:-4]
    segments, n = ndimage.label(ndimage.binary_fill_holes(closed))
    return closed if n == 0 else segments == 1 + np.argmax(np.bincount(segments.ravel())[1:])


def ixi_scans(folder: Path, split: Split, at_most: int | None = None) -> Iterator[tuple[Volume, np.ndarray]]:
    """(scan, brain mask) of each subject of a split, or of `at_most` of them (`evenly`), both canonical."""
    for scan, labels in evenly(ixi_subjects(folder, split), at_most):
        yield read_scan(scan), brain_of_parcellation(read_scan(labels).voxels)


def evenly(items: Sequence[Item], at_most: int | None) -> Sequence[Item]:
    """Choose `at_most` items, evenly spaced and in their order; all if it is None."""
    if at_most is None or at_most >= len(items):
        return items
    return [items[i * len(items) // at_most] for i in range(at_most)]


def clip_scans(folder: Path, split: Split) -> Iterator[tuple[Volume, np.ndarray]]:
    """Yield each piece of normal frames of a split, with a mask of all its pixels.

    There is no fourth part for calibration, which uses the normal frames of the validation part.
    """
    for piece in segments(folder, "train" if split == "train" else "validation"):
        if piece.abnormal is not None and not piece.abnormal.any():
            yield piece.volume(), np.ones(piece.frames.shape[::-1], bool)


def load_grids(
    folder: Path, split: Split, spec: GridSpec, template: Template | None = None, at_most: int | None = None
) -> list[Grid]:
    """The scans of a split on the model's grid, aligned to the template where it has one; clips of a model of clips."""
    if spec.kind == "clip":
        return [to_grid(volume, mask, spec) for volume, mask in evenly(list(clip_scans(folder, split)), at_most)]
    return [to_grid(volume, mask, spec, template=template) for volume, mask in ixi_scans(folder, split, at_most)]


def load_stack(
    data: Path, split: Split, spec: GridSpec, template: Template | None = None, at_most: int | None = None
) -> Stack:
    """The slices of a split, from a folder of scans or clips or of stacks packed as `train.npz` and so on.

    If `at_most` is given, only of that many scans (`evenly`).

    Raises:
        InputError: the packed slices have another size.
    """
    packed = Path(data) / f"{split}.npz"
    if not packed.exists():
        return Stack.of(load_grids(Path(data), split, spec, template, at_most), spec)
    stack = Stack.load(packed)
    if stack.levels.shape[1:] != spec.shape:
        has, asks = ("×".join(map(str, shape)) for shape in (stack.levels.shape[1:], spec.shape))
        raise InputError(f"{packed} holds slices of {has} pixels, and the model asks for {asks}.")
    return stack.chosen(np.isin(stack.scan, evenly(np.unique(stack.scan).tolist(), at_most)))
