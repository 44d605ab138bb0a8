"""What the explorer keeps of restorations, within a byte budget."""

from __future__ import annotations

from collections import OrderedDict
from itertools import count

import numpy as np

Key = tuple[str, float, int]  # method, λ_p in nats, seed
_versions = count()


class Restorations:
    """All restorations of a scan for one method, λ_p and seed, as far as they are done.

    Attributes:
        codes: int16 (n, S, h, w), restored codes.
        difference: float16 (n, S, H, W), Y − X_j in SD.
        done: int (n,), how many restorations each slice has.
        version: another number whenever something is added, never used twice, so that what was computed from it
            can tell that it is old.
    """

    def __init__(self, n_slices: int, chains: int, codes: tuple[int, int], pixels: tuple[int, int]) -> None:
        self.codes = np.zeros((n_slices, chains, *codes), np.int16)
        self.difference = np.zeros((n_slices, chains, *pixels), np.float16)
        self.done = np.zeros(n_slices, int)
        self.version = next(_versions)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.codes.nbytes + self.difference.nbytes

    @property
    def chains(self) -> int:
        """S that there is room for."""
        return self.codes.shape[1]

    def grow(self, chains: int) -> None:
        """Make room for more restorations; what is done stays."""
        more = chains - self.chains
        if more > 0:
            self.codes = np.pad(self.codes, ((0, 0), (0, more), (0, 0), (0, 0)))
            self.difference = np.pad(self.difference, ((0, 0), (0, more), (0, 0), (0, 0)))

    def put(self, indices: list[int], chains: range, codes: np.ndarray, difference: np.ndarray) -> None:
        """Add restorations `chains` of the slices `indices`."""
        where = np.ix_(indices, list(chains))
        self.codes[where], self.difference[where] = codes, difference
        self.done[indices] = chains.stop
        self.version = next(_versions)


class Budget:
    """The most recently used `Restorations` that fit into `n_bytes`; the one in use is kept whatever its size."""

    def __init__(self, n_bytes: int) -> None:
        self.n_bytes = n_bytes
        self._kept: OrderedDict[Key, Restorations] = OrderedDict()

    def get(self, key: Key) -> Restorations | None:
        """Those of a key, now the most recently used."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def put(self, key: Key, value: Restorations) -> None:
        """Keep a new one and drop the oldest beyond the budget."""
        self._kept[key] = value
        self._kept.move_to_end(key)
        self.trim()

    def trim(self) -> None:
        """Drop the oldest beyond the budget."""
        while len(self._kept) > 1 and self.nbytes > self.n_bytes:
            self._kept.popitem(last=False)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(r.nbytes for r in self._kept.values())

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
