"""What a causal network has seen: activations of rows that are final, kept so that they are not computed again.

A causal layer at row r looks at its input at r and at some rows above. Once the rows above are final, so is everything
that was computed of them, and a new row costs one row of the network instead of a whole pass.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import NamedTuple

from torch import Tensor


class CacheSpan(NamedTuple):
    """The memory of a network that knows some of the rows alone: `rows` of `width` places, from `first` on."""

    memory: RowCache
    first: int
    rows: int
    width: int

    def within(self, row: int) -> int:
        """A row of the whole grid, as this network counts; 0 or `rows` where it lies before or after."""
        return min(max(row - self.first, 0), self.rows)


class RowCache:
    """What each causal layer has seen, of M chains.

    Rows from `row` on are *open*: they may be evaluated again and again, by all chains or by the chosen ones. `close`
    makes them final and moves on. Layers keep what they see under a key of their own.

    Attributes:
        row: the first open row.
    """

    def __init__(self) -> None:
        self.row = 0
        self._chosen: Tensor | None = None
        self._windows: dict[Hashable, Tensor] = {}  # (M, reach + n, w + 2·side, C): what convolutions look at
        self._pasts: dict[Hashable, Tensor] = {}  # (M, heads, places, d): what attention looks at
        self._reach: dict[Hashable, int] = {}
        self._ends: dict[Hashable, int] = {}
        self._prepared: dict[Hashable, Tensor] = {}
        self._parts: dict[Hashable, CacheSpan] = {}

    def convolution_window(self, key: Hashable, x: Tensor, reach: int, side: int = 0) -> Tensor:
        """The open rows x (m, n, w, C) of the chosen chains, `reach` rows above them and `side` columns beside them.

        Returns:
            (m, reach + n, w + 2·side, C), zero where it lies beyond the grid.
        """
        m, n, w, c = x.shape
        if key not in self._windows:
            self._windows[key] = x.new_zeros(m, reach + n, w + 2 * side, c)
            self._reach[key] = reach
        kept = self._windows[key][:, : reach + n]
        if self._chosen is None:
            kept[:, reach:, side : side + w] = x
            return kept
        chosen = kept[self._chosen]
        chosen[:, reach:, side : side + w] = x
        kept[self._chosen, reach:] = chosen[:, reach:]
        return chosen

    def past_keys(self, key: Hashable, x: Tensor) -> Tensor:
        """x (m, heads, n·w, d) of the open rows of the chosen chains, after all that came before: (m, heads, …, d)."""
        places = x.shape[2]
        if key not in self._pasts:
            self._pasts[key], self._ends[key] = x, 0
            return x
        first = self._ends[key]
        kept = self._pasts[key][:, :, : first + places]
        if self._chosen is None:
            kept[:, :, first:] = x
            return kept
        kept[self._chosen, :, first:] = x
        return kept[self._chosen]

    def span(self, key: Hashable, first: int, rows: int, width: int) -> RowCache:
        """The memory of a network that knows the rows from `first` on alone; it goes where this one goes."""
        if key not in self._parts:
            self._parts[key] = CacheSpan(RowCache(), first, rows, width)
        return self._parts[key].memory

    def prepared(self, key: Hashable, prepare: Callable[[], Tensor]) -> Tensor:
        """What a layer makes of its weights before it starts: made once for this memory and all its forks."""
        if key not in self._prepared:
            self._prepared[key] = prepare()
        return self._prepared[key]

    def select(self, chains: Tensor | None) -> None:
        """The chains that the next evaluation is of, by their numbers; None for all."""
        self._chosen = chains
        for part in self._parts.values():
            part.memory.select(chains)

    def commit(self, rows: int, width: int) -> None:
        """Take the open rows, as they were last evaluated, for final."""
        for key, kept in self._windows.items():
            reach = self._reach[key]
            kept[:, :reach] = kept[:, rows : rows + reach].clone()
        for key in self._ends:
            self._ends[key] += rows * width
        for part in self._parts.values():
            part.memory.commit(part.within(self.row + rows) - part.within(self.row), part.width)
        self.row += rows

    def fork(self, row: int, rows: int, width: int, owner: Tensor) -> RowCache:
        """A memory that opens `rows` rows from `row` on, of what lies open here; chain i goes on from owner[i]."""
        other = RowCache()
        other.row, other._reach, other._prepared = self.row + row, self._reach, self._prepared
        for key, kept in self._windows.items():
            reach = self._reach[key]
            fresh = kept.new_zeros(len(owner), reach + rows, *kept.shape[2:])
            fresh[:, :reach] = kept[:, row : row + reach][owner]
            other._windows[key] = fresh
        for key, kept in self._pasts.items():
            other._pasts[key], other._ends[key] = kept[owner], row * width
        for key, part in self._parts.items():
            start = part.within(other.row) - part.memory.row
            other._parts[key] = part._replace(memory=part.memory.fork(start, rows, part.width, owner))
        return other

    def keep(self, chains: Tensor) -> None:
        """Forget all chains but these."""
        self._windows = {key: kept[chains] for key, kept in self._windows.items()}
        self._pasts = {key: kept[chains] for key, kept in self._pasts.items()}
        for part in self._parts.values():
            part.memory.keep(chains)
