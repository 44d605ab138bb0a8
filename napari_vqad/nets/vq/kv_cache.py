"""A cache of a causal network's activations in rows of codes that are final.

A causal layer at row r reads its input at r and at some rows above. Once the rows above are final, so are the
activations computed from them. A new row then costs one row of the network instead of a whole pass.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import NamedTuple

from torch import Tensor


class CacheSpan(NamedTuple):
    """The cache of a network that sees only some of the rows: `rows` rows of `width` places, from row `first` on."""

    memory: RowCache
    first: int
    rows: int
    width: int

    def within(self, row: int) -> int:
        """Convert a row of the whole grid to a row of this network, limited to 0 … `rows`."""
        return min(max(row - self.first, 0), self.rows)


class RowCache:
    """The cached inputs of all causal layers, for M chains (restorations of slices).

    Rows from `row` on are *open*: they may be evaluated repeatedly, for all chains or for selected ones. `commit` makes
    them final and opens the next rows. Each layer has a key of its own.

    Attributes:
        row: the first open row.
    """

    def __init__(self) -> None:
        self.row = 0
        self._chosen: Tensor | None = None
        self._windows: dict[Hashable, Tensor] = {}  # (M, reach + n, w + 2·side, C), inputs of convolutions
        self._pasts: dict[Hashable, Tensor] = {}  # (M, heads, places, d), keys and values of attention
        self._reach: dict[Hashable, int] = {}
        self._ends: dict[Hashable, int] = {}
        self._prepared: dict[Hashable, Tensor] = {}
        self._parts: dict[Hashable, CacheSpan] = {}

    def convolution_window(self, key: Hashable, x: Tensor, reach: int, side: int = 0) -> Tensor:
        """Store the open rows x (m, n, w, C) of the selected chains, and return them with their surroundings.

        Args:
            key: key of the layer.
            x: input of the layer.
            reach, side: number of rows above, and of columns on each side, that the layer reads.

        Returns:
            (m, reach + n, w + 2·side, C), zero outside the grid.
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
        """Store x (m, heads, n·w, d) of the open rows, and return that of all rows so far: (m, heads, …, d)."""
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
        """Return the cache of a network that sees only the rows from `first` on; both are committed together."""
        if key not in self._parts:
            self._parts[key] = CacheSpan(RowCache(), first, rows, width)
        return self._parts[key].memory

    def prepared(self, key: Hashable, prepare: Callable[[], Tensor]) -> Tensor:
        """Return a layer's prepared weights, which are computed once for this cache and all its forks."""
        if key not in self._prepared:
            self._prepared[key] = prepare()
        return self._prepared[key]

    def select(self, chains: Tensor | None) -> None:
        """Select the chains of the next evaluation, by their numbers; None selects all."""
        self._chosen = chains
        for part in self._parts.values():
            part.memory.select(chains)

    def commit(self, rows: int, width: int) -> None:
        """Make the open rows final, with their last evaluation."""
        for key, kept in self._windows.items():
            reach = self._reach[key]
            kept[:, :reach] = kept[:, rows : rows + reach].clone()
        for key in self._ends:
            self._ends[key] += rows * width
        for part in self._parts.values():
            part.memory.commit(part.within(self.row + rows) - part.within(self.row), part.width)
        self.row += rows

    def fork(self, row: int, rows: int, width: int, owner: Tensor) -> RowCache:
        """Return a cache whose open rows are `rows` of those that are open here, from `row` on.

        Its chain i continues chain owner[i].
        """
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
        """Remove all chains except these."""
        self._windows = {key: kept[chains] for key, kept in self._windows.items()}
        self._pasts = {key: kept[chains] for key, kept in self._pasts.items()}
        for part in self._parts.values():
            part.memory.keep(chains)
