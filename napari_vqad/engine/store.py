"""What the explorer keeps of restorations within a byte budget: codes, which are small, and pictures, which are not."""

from __future__ import annotations

from collections import OrderedDict
from itertools import count
from typing import NamedTuple

import numpy as np

from napari_vqad.detectors.vq.rule import Rule
from napari_vqad.engine.provenance import Made

_versions = count(1)


class Stages(NamedTuple):
    """What the networks made of a scan of n slices for one choice of settings.

    Attributes:
        codes: int16 (n, h, w), zero where there are none.
        nll: float32 (n, h, w), nats, and `has_nll`, bool (n,), where it is there.
        restored: of each slice, int16 (s, h, w), its restored codes.
        difference: of each slice, float16 (s, H, W), as in `Restorations`.
        made: with what; several where one machine went on with the work of another.
    """

    codes: np.ndarray
    nll: np.ndarray
    has_nll: np.ndarray
    restored: list[np.ndarray]
    difference: list[np.ndarray]
    made: tuple[Made, ...]


class Restorations:
    """The restorations of a scan for one method, λ_p and seed, slice by slice, as far as they are done.

    Attributes:
        codes: of each slice, int16 (s, h, w), its restored codes.
        difference: of each slice, float16 (s, H, W), Y − X_j in SD; fewer than the codes where not all are decoded.
        version: of each slice, another number whenever its pictures change, never used twice, so that what was
            computed from them can tell that it is old.
    """

    def __init__(self, n_slices: int, codes: tuple[int, int], pixels: tuple[int, int]) -> None:
        self._no_codes, self._no_pictures = np.zeros((0, *codes), np.int16), np.zeros((0, *pixels), np.float16)
        self.codes = [self._no_codes] * n_slices
        self.difference = [self._no_pictures] * n_slices
        self.version = [0] * n_slices

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(a.nbytes for a in (*self.codes, *self.difference))

    def restored(self, index: int) -> int:
        """How many restorations a slice has."""
        return len(self.codes[index])

    def shown(self, index: int) -> int:
        """How many of them are decoded."""
        return len(self.difference[index])

    def add_codes(self, index: int, codes: np.ndarray) -> None:
        """Further restorations of a slice, (s, h, w)."""
        self.codes[index] = np.concatenate([self.codes[index], codes])

    def add_pictures(self, index: int, difference: np.ndarray) -> None:
        """The pictures of its next restorations, (s, H, W)."""
        self.difference[index] = np.concatenate([self.difference[index], difference])
        self.version[index] = next(_versions)

    def inherit(self, index: int, other: Restorations) -> None:
        """A slice as it is in another, where it is known to be alike."""
        self.codes[index], self.difference[index] = other.codes[index], other.difference[index]
        self.version[index] = next(_versions)

    def drop_pictures(self) -> None:
        """Keep the codes alone; what they look like can be decoded again."""
        self.difference = [self._no_pictures] * len(self.codes)


class Budget:
    """The most recently used `Restorations` that fit into `n_bytes`; those in use are kept whatever their size.

    Pictures go first, the oldest before the newer ones; codes only if that is not enough.
    """

    def __init__(self, n_bytes: int) -> None:
        self.n_bytes = n_bytes
        self._kept: OrderedDict[Rule, Restorations] = OrderedDict()

    def get(self, key: Rule) -> Restorations | None:
        """Those of a key, now the most recently used."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def put(self, key: Rule, value: Restorations) -> None:
        """Keep new ones."""
        self._kept[key] = value
        self._kept.move_to_end(key)
        self.trim()

    def near(self, key: Rule) -> list[tuple[float, Restorations]]:
        """(λ_p, restorations) of the same method and seed at other λ_p, the nearest first."""
        method, lambda_p, seed = key
        near = [k for k in self._kept if (k[0], k[2]) == (method, seed) and k[1] != lambda_p]
        return [(k[1], self._kept[k]) for k in sorted(near, key=lambda k: abs(k[1] - lambda_p))]

    def inherit(self, rule: Rule, kept: Restorations, nll: np.ndarray, missing: list[int], wanted: int) -> list[int]:
        """Take over slices where no ℓ_i lies between this λ_p and another: what is unlikely is the same there.

        Not with the `sequential` rule, which compares other ℓ with λ_p, too.

        Args:
            rule, kept: the restorations to add to.
            nll: ℓ of all slices, (n, h, w), nats.
            missing: slices that lack some of the `wanted` restorations.

        Returns:
            The slices that were taken over.
        """
        method, lambda_p, _ = rule
        found = []
        for other_p, other in self.near(rule) if method in ("anchored", "light", "masked") else []:
            low, high = sorted((lambda_p, other_p))
            crossed = np.asarray(((nll > low) & (nll <= high)).any((1, 2)))
            for i in missing:
                if not crossed[i] and other.shown(i) >= wanted > kept.shown(i):
                    kept.inherit(i, other)
                    found.append(i)
        self.trim()
        return found

    def trim(self) -> None:
        """Drop what is beyond the budget."""
        excess = self.nbytes - self.n_bytes
        for key in list(self._kept)[:-1]:
            if excess <= 0:
                return
            before = self._kept[key].nbytes
            self._kept[key].drop_pictures()
            excess -= before - self._kept[key].nbytes
        while len(self._kept) > 1 and self.nbytes > self.n_bytes:
            self._kept.popitem(last=False)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(r.nbytes for r in self._kept.values())

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()


def guess_from(
    near: list[tuple[float, Restorations]], indices: list[int], chains: range, codes: np.ndarray
) -> np.ndarray:
    """The same restorations at the nearest λ_p that has them, (B, S, h, w); the slice's own codes where none has."""
    found = np.repeat(codes[:, None], len(chains), 1)
    for row, i in enumerate(indices):
        has = [other for _, other in near if other.restored(i) >= chains.stop]
        if has:
            found[row] = has[0].codes[i][chains.start : chains.stop]
    return found
