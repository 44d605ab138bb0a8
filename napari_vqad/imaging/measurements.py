"""Diffusion measurements of a scan: a vector for each voxel, and the gradient of each of its entries.

A model of single voxels knows one set of measurements. `GradientTable.order_of` finds these in a scan, in whatever
order they were made, or says how the two sets differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from napari_vqad.errors import InputError

B_ZERO = 50.0  # s/mm²; a measurement with a lower b-value counts as one without diffusion weighting
# Scanners report b-values a few per cent off the nominal ones (diffusion and imaging gradients add up).
B_APART, B_SHARE = 50.0, 0.05  # s/mm², and share of the model's b-value
# A head that is tilted against the model's by less still has each direction nearest to the same one: 60 directions
# spread over the half sphere are about 20° apart.
ANGLE = 10.0  # degrees
FAR = 1e6  # cost of a pair that does not fit


@dataclass(frozen=True)
class GradientTable:
    """The measurements of a diffusion scan.

    Attributes:
        b_values: s/mm², (N,).
        directions: unit vectors in scanner space (R, A, S), (N, 3); zeros where the b-value is below `B_ZERO`. A
            direction and its opposite are the same measurement.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    b_values: tuple[float, ...]
    directions: tuple[tuple[float, float, float], ...]

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: there are none, their numbers differ, or a direction is no unit vector.
        """
        b, g = np.array(self.b_values, float), np.array(self.directions, float)
        if not 1 <= len(b) <= 10_000 or g.shape != (len(b), 3):
            raise ValueError("a gradient table has a b-value and a direction for each measurement")
        if not (np.isfinite(b).all() and np.isfinite(g).all() and (b >= 0).all()):
            raise ValueError("b-values are finite and not negative, and directions are finite")
        if not np.allclose(np.linalg.norm(g, axis=1)[b > B_ZERO], 1, atol=1e-3):
            raise ValueError("a direction has the length 1 where its b-value is above zero")

    @classmethod
    def of(cls, b_values: NDArray, directions: NDArray) -> GradientTable:
        """Make a table of arrays (N,) and (N, 3); directions of any length are normalised, those at b = 0 dropped.

        Raises:
            ValueError: as in `GradientTable`; a direction of no length has a b-value above `B_ZERO`.
        """
        b, g = np.asarray(b_values, float), np.asarray(directions, float)
        if g.shape != (len(b), 3):
            raise ValueError("a gradient table has a b-value and a direction for each measurement")
        length = np.linalg.norm(g, axis=1)
        weighted = b > B_ZERO
        unit = np.where(weighted[:, None], g / np.where(weighted & (length > 0), length, 1)[:, None], 0.0)
        return cls(tuple(b.tolist()), tuple(tuple(v) for v in np.round(unit, 6).tolist()))

    def __len__(self) -> int:
        return len(self.b_values)

    @property
    def b(self) -> NDArray[np.float64]:
        """The b-values, s/mm², (N,)."""
        return np.array(self.b_values)

    @property
    def g(self) -> NDArray[np.float64]:
        """The directions, (N, 3)."""
        return np.array(self.directions)

    @property
    def zero(self) -> NDArray[np.bool_]:
        """The measurements without diffusion weighting, bool (N,)."""
        return self.b <= B_ZERO

    @property
    def in_words(self) -> str:
        """The measurements in words: "3 at b = 0, 32 at b = 1000 s/mm²"; "102 at b = 0 to 4065" for many shells."""
        shells = self._shells()
        if len(shells) > 5:
            return f"{len(self)} at b = 0 to {self.b.max():.0f} s/mm²"
        return ", ".join(f"{n} at b = {b:.0f}" for b, n in shells) + " s/mm²"

    def order_of(self, scan: GradientTable) -> NDArray[np.intp]:
        """Find the model's measurements in a scan's: (N,), the number in the scan of each of the model's.

        Raises:
            ValueError: the sets differ; its words say how.
        """
        if len(scan) != len(self):
            raise ValueError(f"it has {len(scan)} measurements ({scan.in_words}), and the model {self.in_words}")
        b_apart = np.abs(self.b[:, None] - scan.b[None])
        near = b_apart <= np.maximum(B_APART, B_SHARE * self.b)[:, None]
        both_zero = self.zero[:, None] & scan.zero[None]
        cosine = np.abs(self.g @ scan.g.T).clip(0, 1)
        angle = np.where(both_zero, 0.0, np.degrees(np.arccos(cosine)))
        fits = (both_zero | near) & (angle <= ANGLE)
        cost = np.where(fits, angle + b_apart / 1000, FAR)
        rows, order = _assigned(cost)
        if fits[rows, order].all():
            return order
        same_shell = both_zero | near
        if not _pairs(same_shell):
            raise ValueError(f"it has {scan.in_words}, and the model {self.in_words}")
        lacking = int(rows[~fits[rows, order]][0])
        free = same_shell[lacking] & ~np.isin(np.arange(len(scan)), order[fits[rows, order]])
        apart = f"; the nearest is {angle[lacking][free].min():.0f}° away" if free.any() else ""
        vector = ", ".join(f"{v:.2f}" for v in self.directions[lacking])
        raise ValueError(
            f"it has no measurement within {ANGLE:.0f}° of the model's direction ({vector}) at b = "
            f"{self.b_values[lacking]:.0f} s/mm²{apart}"
        )

    def fits(self, scan: GradientTable) -> bool:
        """Say whether a scan has the model's measurements."""
        try:
            self.order_of(scan)
        except ValueError:
            return False
        return True

    def _shells(self) -> list[tuple[float, int]]:
        """Mean b-value and number of measurements of each shell; b-values less than `B_APART` apart are one."""
        b = np.sort(np.where(self.zero, 0.0, self.b))
        groups = np.split(b, np.flatnonzero(np.diff(b) > B_APART) + 1)
        return [(round(float(group.mean()), -1), len(group)) for group in groups]


def _assigned(cost: NDArray) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Assign columns to rows at the least total cost."""
    from scipy.optimize import linear_sum_assignment  # here, because the command line's help needs no scipy

    rows, columns = linear_sum_assignment(cost)
    return rows, columns


def _pairs(fits: NDArray[np.bool_]) -> bool:
    """Say whether each row can have a column of its own that fits."""
    rows, columns = _assigned(~fits)
    return bool(fits[rows, columns].all())


@dataclass(frozen=True)
class Measurements:
    """The diffusion measurements of a scan.

    Attributes:
        values: float32 (R, A, S, N), on the scan's canonical voxels, finite.
        gradients: the gradient table.
    """

    values: NDArray[np.float32]
    gradients: GradientTable

    def anatomy(self) -> NDArray[np.float32]:
        """Compute the mean of the measurements without diffusion weighting, float32 (R, A, S).

        Raises:
            InputError: there is none.
        """
        zero = self.gradients.zero
        if not zero.any():
            raise InputError(
                f"there is no measurement without diffusion weighting; the lowest b-value is "
                f"{self.gradients.b.min():.0f} s/mm²"
            )
        return self.values[..., zero].mean(-1, dtype=np.float32)


@dataclass(frozen=True)
class GridMeasurements:
    """The measurements on a model's grid, which are the scan's own: a view of the scan's array, scaled when read.

    Attributes:
        values: (n, H, W, N), slices first.
        order: (N,), the number in the scan of each of the model's measurements.
        mean: the mean of the scan within its mask, over voxels and measurements; the scan is divided by it.
    """

    values: NDArray[np.float32]
    order: NDArray[np.intp]
    mean: float

    def of(self, indices: Sequence[int]) -> NDArray[np.float32]:
        """Return some slices (B, H, W, N), in the model's order, divided by the scan's mean."""
        return self.values[list(indices)][..., self.order] / np.float32(self.mean)

    def inside(self, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return the voxels of a mask, bool (n, H, W), as vectors (M, N)."""
        return self.values[mask][:, self.order] / np.float32(self.mean)
