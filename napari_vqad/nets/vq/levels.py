"""Codes of several levels in one grid: the coarsest on top, each flush left, so that raster order is coarse to fine.

    t t t . . .
    b b b b b b      a level of 1×3 codes above one of 2×6; the dots are no codes and hold zero
    b b b b b b

Whoever counts, draws or restores codes in raster order then need not know that there are levels.
"""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F


class CodeLevels:
    """Where each level's codes stand.

    Attributes:
        shapes: (h, w) of each level, coarse to fine.
    """

    def __init__(self, *shapes: tuple[int, int]) -> None:
        self.shapes = shapes

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of the grid that holds them all."""
        return sum(h for h, _ in self.shapes), max(w for _, w in self.shapes)

    @property
    def names(self) -> tuple[str, ...]:
        """What to call them; none where there is but one."""
        return ("top", "bottom") if len(self.shapes) == 2 else ()

    @cached_property
    def is_code(self) -> Tensor:
        """bool (rows, columns): true where there is a code."""
        return self.join([torch.ones(1, *shape, dtype=torch.bool) for shape in self.shapes])[0]

    def split(self, grid: Tensor) -> list[Tensor]:
        """(B, rows, columns) → (B, h, w) of each level."""
        ends = [0]
        for h, _ in self.shapes:
            ends.append(ends[-1] + h)
        return [grid[:, a:b, :w] for (a, b), (_, w) in zip(pairwise(ends), self.shapes, strict=True)]

    def join(self, levels: list[Tensor]) -> Tensor:
        """(B, h, w) of each level → (B, rows, columns), zero where there is no code."""
        width = self.shape[1]
        return torch.cat([F.pad(level, (0, width - level.shape[2])) for level in levels], 1)

    def descendants(self, changed: Tensor) -> Tensor:
        """bool (B, rows, columns) → the same shape: the codes of finer levels that lie under a code that changed.

        A fine code says what the coarse one above it leaves out; of another coarse code it says nothing.
        """
        found = [torch.zeros_like(part) for part in self.split(changed)]
        for i, coarse in enumerate(self.split(changed)[:-1]):
            h, w = self.shapes[i + 1]
            above = coarse | found[i]
            found[i + 1] = above.repeat_interleave(h // above.shape[1], 1).repeat_interleave(w // above.shape[2], 2)
        return self.join(found)
