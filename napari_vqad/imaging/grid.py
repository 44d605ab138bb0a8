"""A scan on a model's grid of slices, and every map of the grid exactly back on the scan.

Three ways of laying it, by what the model was trained on:

* **centred**: the grid's axes are the scan's, its middle the brain mask's; grey values are z-scored within the mask;
* **aligned**: the grid is the template's, reached through a 12-parameter affine; grey values are harmonised to it;
* **clip**: the frames of a fixed camera, pixel for pixel and all of each; grey values are z-scored by the model's own
  mean and SD, and no frame has a position, since the model knows no time.

What is shown stands in the *view*, voxels along the scan's own axes, so that nothing on the canvas is ever sheared.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from pydantic import ConfigDict
from torch.nn import functional as F

from napari_vqad.errors import InputError
from napari_vqad.imaging.intensity import Intensity, harmonise, linear
from napari_vqad.imaging.registration import align
from napari_vqad.imaging.resample import Frame, along_axes, through, within
from napari_vqad.imaging.template import Template
from napari_vqad.imaging.volume import Kind, Volume, along

AXES = {"sagittal": 0, "coronal": 1, "axial": 2}
PLAIN = linear(0.0, 1.0)


@dataclass(frozen=True)
class GridSpec:
    """The grid a model was trained on.

    Attributes:
        shape: in-plane size of a slice, in the order of the two in-plane canonical axes.
        spacing: mm, isotropic; pixels, of a clip.
        background: value outside the mask, in SD; close to CSF, so that the brain's edge is no cliff.
        clip: lowest and highest z-score that the model sees.
        aligned: the grid is that of the bundle's template.
        grey: mean and SD of the grey values of healthy frames, for a model of clips; None for one of heads, each of
            which is z-scored for itself.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    shape: tuple[int, int] = (80, 104)
    spacing: float = 2.0
    background: float = -2.0
    clip: tuple[float, float] = (-3.0, 4.0)
    aligned: bool = False
    grey: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Refuse, by ValueError, what no model was trained on."""
        if not all(1 <= n <= 2048 for n in self.shape):
            raise ValueError("the sides of a slice are 1 to 2048 pixels")
        if not 0.05 <= self.spacing <= 50:
            raise ValueError("the spacing is 0.05 to 50 mm")
        if not (np.isfinite([self.background, *self.clip]).all() and self.clip[0] < self.clip[1]):
            raise ValueError("background and clip are finite numbers, and clip rises")
        if self.grey is not None and not np.isfinite(self.grey).all():
            raise ValueError("grey values are finite numbers")
        if self.grey is not None and (self.aligned or not self.grey[1] > 0):
            raise ValueError("the grey values of a model of clips have an SD above zero, and no template")

    @property
    def kind(self) -> Kind:
        """What the model knows."""
        return "head" if self.grey is None else "clip"


@dataclass(frozen=True)
class Grid:
    """A scan on a model's grid.

    Attributes:
        slices: float32 (n, H, W), SD of healthy intensity, background outside the mask.
        mask: bool (n, H, W).
        position: float32 (n,), −0.5 … 0.5 from the lowest to the highest slice of the mask, or of the template; 0 for
            every frame of a clip.
        axis: canonical axis that the slices are stacked along.
        placement: 4×4, grid index along canonical axes → mm in the scan's diagonal frame.
        view: voxels along the scan's axes with the grid's spacing, where maps are shown.
        scan: the canonical voxels it came from.
        intensity: how grey values became SD, and back.
        outside: share of the mask's voxels that lie beyond the grid, 0 to 1.
        aligned: place means the same as in every other aligned scan.
        failed: the alignment was of no use, and only middle and extent of the brain agree with the template's.
        note: how it was laid, for the person.
        oblique: mm along the scan's axes are not the scanner's (`Volume.oblique`).
        kind: what it shows. The slices of a clip are its frames, (time, row, column).
    """

    slices: np.ndarray
    mask: np.ndarray
    position: np.ndarray
    axis: int
    placement: np.ndarray
    view: Frame
    scan: Frame
    intensity: Intensity = field(default=PLAIN, repr=False)
    outside: float = 0.0
    aligned: bool = False
    note: str = ""
    oblique: bool = False
    kind: Kind = "head"
    failed: bool = False

    @classmethod
    def of_slices(
        cls,
        slices: np.ndarray,
        mask: np.ndarray,
        position: np.ndarray,
        spacing: float,
        aligned: bool = False,
        kind: Kind = "head",
    ) -> Grid:
        """Axial slices, or frames, (n, H, W) that belong to no scan, at the origin of nowhere."""
        n, h, w = mask.shape
        frame = Frame(np.zeros(3), np.full(3, spacing), (h, w, n) if kind == "head" else (w, h, n))
        return cls(slices, mask, position, 2, frame.to_mm, frame, frame, aligned=aligned, kind=kind)

    def __len__(self) -> int:
        return len(self.slices)

    @property
    def spacing(self) -> float:
        """mm of the scan between the grid's voxels, the mean of its axes."""
        return float(abs(np.linalg.det(self.placement[:3, :3])) ** (1 / 3))

    @property
    def voxel_ml(self) -> float:
        """mL of the scan that a voxel of the grid holds."""
        return float(abs(np.linalg.det(self.placement[:3, :3]))) / 1000

    @property
    def remarks(self) -> list[str]:
        """Sentences for the person: how the alignment went, and what is not analysed."""
        beyond = f"{self.outside:.0%} of the mask lies beyond the model's grid and is not analysed."
        return [*([self.note] if self.note else []), *([beyond] if self.outside > 0.02 else [])]

    def to_axes(self, stack: np.ndarray) -> np.ndarray:
        """(n, H, W) of the grid as a view with canonical axes (R, A, S)."""
        return stack.transpose(2, 1, 0) if self.kind == "clip" else np.moveaxis(stack, 0, self.axis)

    def axes_index(self, index: np.ndarray) -> np.ndarray:
        """Indices (…, 3) of the grid, (slice, row, column), as indices along its canonical axes (R, A, S)."""
        if self.kind == "clip":
            return index[..., ::-1]
        return np.insert(index[..., 1:], self.axis, index[..., 0], axis=-1)

    def grid_index(self, index: np.ndarray) -> np.ndarray:
        """The way back of `axes_index`: (R, A, S) as (slice, row, column)."""
        if self.kind == "clip":
            return index[..., ::-1]
        return np.concatenate([index[..., [self.axis]], np.delete(index, self.axis, -1)], -1)

    def index_at(self, mm: np.ndarray) -> tuple[int, int, int] | None:
        """The voxel (slice, row, column) at a point, mm (R, A, S) of the diagonal frame; None beyond the grid."""
        on_axes = np.rint((np.linalg.inv(self.placement) @ [*mm, 1.0])[:3]).astype(int)
        i, j, k = (int(v) for v in self.grid_index(on_axes))
        inside = all(0 <= v < n for v, n in zip((i, j, k), self.mask.shape, strict=True))
        return (i, j, k) if inside else None

    def from_axes(self, array: np.ndarray) -> np.ndarray:
        """The way back: canonical axes of the grid as a view (n, H, W)."""
        return array.transpose(2, 1, 0) if self.kind == "clip" else np.moveaxis(array, self.axis, 0)

    def to_scan(self, stack: np.ndarray, order: int = 1) -> np.ndarray:
        """A map of the grid, (n, H, W), resampled to the canonical voxels of the scan.

        Zero beyond the grid, which ends half a voxel past its last centres. `order` 0 for labels. Exact where a centred
        grid and its scan have the same spacing, since the grid is laid on the scan's voxel centres; through the exact
        inverse of the affine where the scan was aligned.
        """
        stack = np.asarray(stack)
        on_axes = self.to_axes(stack.astype(np.float32))
        if self.aligned:
            found = through(on_axes, np.linalg.inv(self.placement) @ self.scan.to_mm, self.scan.shape, order=order)
        else:
            found = along_axes(on_axes, self.view, self.scan, order=order, cval=0.0)
        return found.astype(stack.dtype if order == 0 else np.float32)

    def from_scan(self, label: np.ndarray) -> np.ndarray:
        """A label of the scan, (R, A, S), at the grid's voxel centres, float32 (n, H, W); zero beyond the scan."""
        to_index = np.linalg.inv(self.scan.to_mm) @ self.placement
        found = through(label.astype(np.float32), to_index, self.to_axes(self.mask).shape, order=0)
        return self.from_axes(found)

    def on_view(self, stack: np.ndarray, order: int = 1, beyond: float = 0.0) -> np.ndarray:
        """A map of the grid, (n, H, W), on the view's voxels, (R, A, S); `beyond` where the grid does not reach."""
        if not self.aligned:
            return self.to_axes(stack)
        on_axes = torch.from_numpy(np.ascontiguousarray(self.to_axes(stack), np.float32) - np.float32(beyond))[
            None, None
        ]
        found = F.grid_sample(on_axes, self._field, "bilinear" if order else "nearest", "zeros", align_corners=True)
        return (found[0, 0].numpy() + np.float32(beyond)).astype(stack.dtype)

    def view_to_scan(self, array: np.ndarray, order: int = 1) -> np.ndarray:
        """An array on the view's voxels, (R, A, S), on the scan's."""
        return along_axes(array.astype(np.float32), self.view, self.scan, order=order, cval=0.0)

    @cached_property
    def _field(self) -> torch.Tensor:
        """Where each voxel of the view lies in the grid, as `grid_sample` wants it: last axis first, −1 to 1."""
        to_index = np.linalg.inv(self.placement) @ self.view.to_mm
        shape = self.to_axes(self.slices).shape
        voxels = np.stack(np.meshgrid(*(np.arange(n) for n in self.view.shape), indexing="ij"), -1)
        index = voxels @ to_index[:3, :3].T + to_index[:3, 3]
        scaled = 2 * index / np.maximum(np.array(shape) - 1, 1) - 1
        return torch.from_numpy(scaled[..., ::-1].astype(np.float32).copy())[None]

    def slice_of(self, mm: float) -> int:
        """The slice whose middle is nearest to a coordinate in mm along the stacking axis."""
        return int(np.clip(round((mm - self.mm_of(0)) / self._step), 0, len(self) - 1))

    def mm_of(self, index: int) -> float:
        """Where the middle of a slice lies along the stacking axis, mm of the scan's diagonal frame."""
        middle = (np.array(self.to_axes(self.slices).shape) - 1) / 2
        middle[self.axis] = 0
        return float((self.placement @ [*middle, 1.0])[self.axis] + self._step * index)

    def place_of(self, index: int) -> str:
        """Where the middle of a slice lies, in words: "I 12 mm" in the scanner; "−12 mm" `own_axis`; "frame 12"."""
        mm = self.mm_of(index)
        return f"frame {mm:.0f}" if self.kind == "clip" else along(self.axis, mm, self.oblique)

    @property
    def own_axis(self) -> str:
        """What the mm of an oblique scan's slices are, after a number of them; nothing where they are the scanner's."""
        return " along the scan's own axis" if self.oblique else ""

    @property
    def _step(self) -> float:
        return float(self.placement[self.axis, self.axis])


def to_grid(
    volume: Volume, mask: np.ndarray, spec: GridSpec, axis: str = "axial", template: Template | None = None
) -> Grid:
    """Lay a scan on the model's grid.

    Args:
        volume: the scan.
        mask: bool (R, A, S), the brain, on the scan's canonical voxels; all of a clip.
        spec: the model's grid.
        axis: stacking direction, one of `AXES`; a clip has frames, whatever is asked.
        template: of a model that knows aligned heads, which are stacked axially.

    Raises:
        InputError: the scan is of another kind than the model knows; the mask has another shape, or no voxels, or the
            scan is constant within it; or the axis is one that the model does not know.
    """
    check_kind(volume, spec)
    mask = np.asarray(mask, bool)
    if mask.shape != volume.voxels.shape:
        raise InputError(
            f"The mask has the shape {mask.shape} and {volume.name} has {volume.voxels.shape} (right, anterior, "
            "superior); they must agree."
        )
    if spec.grey is not None:
        return _frames(volume, mask, spec, linear(*spec.grey))
    if not mask.any():
        raise InputError(f"The mask of {volume.name} has no voxels.")
    inside = volume.voxels[mask]
    mean, sd = float(inside.mean()), float(inside.std())
    if not sd > 1e-6 * max(1.0, abs(mean)):
        raise InputError(f"{volume.name} has one single value within its mask.")
    if template is None:
        return _centred(volume, mask, spec, AXES[axis], linear(mean, sd))
    if axis != "axial":
        raise InputError(f"This model knows heads that are aligned and cut axially; {axis} slices need another model.")
    return _aligned(volume, mask, spec, template)


def check_kind(volume: Volume, spec: GridSpec) -> None:
    """Can the model look at this at all?

    Raises:
        InputError: it knows heads and this is a clip, or the other way round.
    """
    if volume.kind != spec.kind:
        raise InputError(
            f"{volume.name} is a {volume.kind}, and the chosen model knows {spec.kind}s alone; choose a model of "
            f"{volume.kind}s."
        )


def _frames(volume: Volume, mask: np.ndarray, spec: GridSpec, intensity: Intensity) -> Grid:
    width, height, n = volume.voxels.shape
    if (height, width) != tuple(spec.shape):
        asks = "×".join(map(str, spec.shape))
        raise InputError(f"{volume.name} has frames of {height}×{width} pixels, and the model asks for {asks}.")
    if not mask.all():
        raise InputError(f"The frames of {volume.name} are analysed whole; a mask that leaves pixels out is of no use.")
    z_scored = np.clip(intensity.z(volume.voxels), *spec.clip).astype(np.float32)
    frame = Frame(np.zeros(3), np.full(3, spec.spacing), volume.voxels.shape)
    return Grid(
        slices=np.ascontiguousarray(z_scored.transpose(2, 1, 0)),
        mask=np.ones((n, height, width), bool),
        position=np.zeros(n, np.float32),
        axis=2,
        placement=frame.to_mm,
        view=frame,
        scan=frame,
        intensity=intensity,
        kind="clip",
    )


def _aligned(volume: Volume, mask: np.ndarray, spec: GridSpec, template: Template) -> Grid:
    alignment = align(volume, mask, template)
    placement = alignment.affine @ template.frame.to_mm
    to_index, shape = np.linalg.inv(volume.frame.to_mm) @ placement, template.voxels.shape
    share = through(mask.astype(np.float32), to_index, shape, order=1)
    on_grid = share >= 0.5
    if not on_grid.any():
        raise InputError(f"The brain mask of {volume.name} is too small for the model's grid.")
    # Within the mask alone, so that what surrounds the brain does not bleed into its rim.
    voxels = through(volume.voxels * mask, to_index, shape, order=1) / np.maximum(share, 0.5)
    intensity = harmonise(voxels, on_grid, template)
    z_scored = np.where(on_grid, np.clip(intensity.z(voxels), *spec.clip), spec.background).astype(np.float32)
    n, stack = shape[2], AXES["axial"]
    inside = float(on_grid.sum() * abs(np.linalg.det(placement[:3, :3])) / (mask.sum() * np.prod(volume.spacing)))
    return Grid(
        slices=np.ascontiguousarray(np.moveaxis(z_scored, stack, 0)),
        mask=np.ascontiguousarray(np.moveaxis(on_grid, stack, 0)),
        position=np.linspace(-0.5, 0.5, n, dtype=np.float32),
        axis=stack,
        placement=placement,
        view=_view(volume, mask, spec.spacing),
        scan=volume.frame,
        intensity=intensity,
        outside=max(0.0, 1.0 - inside),
        aligned=True,
        note=alignment.note,
        oblique=volume.oblique,
        failed=alignment.failed,
    )


def _view(volume: Volume, mask: np.ndarray, spacing: float, margin: float = 6.0) -> Frame:
    """Voxels of `spacing` along the scan's axes, about the mask; none above the scan's last, where counting begins."""
    bounds = _bounds(mask)
    low = volume.origin + np.maximum(volume.spacing * bounds[:, 0] - margin, 0)
    last = volume.spacing * (np.array(mask.shape) - 1)
    high = volume.origin + np.minimum(volume.spacing * bounds[:, 1] + margin, last)
    shape = tuple(int(n) for n in np.ceil((high - low) / spacing - 1e-6) + 1)
    return Frame(high - spacing * (np.array(shape) - 1), np.full(3, spacing), shape)


def _bounds(mask: np.ndarray) -> np.ndarray:
    """First and last index of the mask along each axis, (3, 2)."""
    return np.array([np.flatnonzero(mask.any(tuple(b for b in range(3) if b != a)))[[0, -1]] for a in range(3)])


def _centred(volume: Volume, mask: np.ndarray, spec: GridSpec, stack: int, intensity: Intensity) -> Grid:
    plane = [a for a in range(3) if a != stack]
    bounds = _bounds(mask)

    # The grid's centre sits on a voxel centre of the scan, so that equal spacings need no interpolation.
    shape, origin = np.zeros(3, int), np.zeros(3)
    for a, size in zip(plane, spec.shape, strict=True):
        shape[a] = size
        centre = volume.origin[a] + volume.spacing[a] * (bounds[a].sum() // 2)
        origin[a] = centre - spec.spacing * (size // 2)
    low, high = (volume.origin[stack] + volume.spacing[stack] * b for b in bounds[stack])
    # To the nearest slice, halves down: the mask's last voxel lies within half a slice of the grid's.
    shape[stack] = int(np.ceil((high - low) / spec.spacing - 0.5 - 1e-6)) + 1
    origin[stack] = low

    target = Frame(origin, np.full(3, spec.spacing), tuple(int(n) for n in shape))
    source = volume.frame
    z_scored = np.where(mask, intensity.z(volume.voxels), spec.background).astype(np.float32)
    voxels = along_axes(z_scored, source, target, order=1, cval=spec.background)
    on_grid = along_axes(mask.astype(np.float32), source, target, order=1, cval=0.0) >= 0.5
    voxels = np.where(on_grid, np.clip(voxels, *spec.clip), spec.background).astype(np.float32)

    n = int(shape[stack])
    reached = mask[np.ix_(*within(target, source))].sum()
    return Grid(
        slices=np.ascontiguousarray(np.moveaxis(voxels, stack, 0)),
        mask=np.ascontiguousarray(np.moveaxis(on_grid, stack, 0)),
        position=np.linspace(-0.5, 0.5, n, dtype=np.float32) if n > 1 else np.zeros(1, np.float32),
        axis=stack,
        placement=target.to_mm,
        view=target,
        scan=source,
        intensity=intensity,
        outside=float(1.0 - reached / mask.sum()),
        oblique=volume.oblique,
    )
