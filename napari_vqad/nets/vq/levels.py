"""Codes of several levels in one grid: the coarsest on top, all left-aligned, so that raster order is coarse to fine.

    t t t . . .
    b b b b b b      a level of 1×3 codes above one of 2×6; the dots are not codes, and are zero
    b b b b b b

Code that processes codes in raster order then works for any number of levels.
"""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F


class CodeLevels:
    """The positions of the codes of each level in the grid.

    Attributes:
        shapes: (h, w) of each level, coarse to fine.
    """

    def __init__(self, *shapes: tuple[int, int]) -> None:
        self.shapes = shapes

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of the grid with all levels."""
        return sum(h for h, _ in self.shapes), max(w for _, w in self.shapes)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the levels; empty if there is only one."""
        return ("top", "bottom") if len(self.shapes) == 2 else ()

    @cached_property
    def is_code(self) -> Tensor:
        """The places with a code, bool (rows, columns)."""
        return self.join([torch.ones(1, *shape, dtype=torch.bool) for shape in self.shapes])[0]

    def split(self, grid: Tensor) -> list[Tensor]:
        """Split a grid (B, rows, columns) into its levels, (B, h, w) each."""
        ends = [0]
        for h, _ in self.shapes:
            ends.append(ends[-1] + h)
        return [grid[:, a:b, :w] for (a, b), (_, w) in zip(pairwise(ends), self.shapes, strict=True)]

    def join(self, levels: list[Tensor]) -> Tensor:
        """Join levels (B, h, w) to a grid (B, rows, columns), zero where there is no code."""
        width = self.shape[1]
        return torch.cat([F.pad(level, (0, width - level.shape[2])) for level in levels], 1)

    def descendants(self, changed: Tensor) -> Tensor:
        """Find the codes of finer levels that refine a code in `changed`, bool (B, rows, columns), the same shape.

        A fine code describes what its coarse code leaves out. If the coarse code changes, the fine code is meaningless.
        """
        below = [torch.zeros_like(part) for part in self.split(changed)]
        for i, coarse in enumerate(self.split(changed)[:-1]):
            h, w = self.shapes[i + 1]
            above = coarse | below[i]
            below[i + 1] = above.repeat_interleave(h // above.shape[1], 1).repeat_interleave(w // above.shape[2], 2)
        return self.join(below)
