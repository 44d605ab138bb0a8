"""The random numbers of a restoration, fixed before it starts.

Gumbel noise makes drawing a code an argmax, argmax_c(ln p(c) + g_c), so a restoration is a function of its noise
(Maddison et al. 2014). The generator counts, it does not remember: noise is keyed by (seed, slice, j) and so is the
same whatever S, batch, device or order of work.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def gumbel(seed: int, index: int, j: int, n_codes: int, places: int) -> NDArray[np.float32]:
    """Standard Gumbel noise (K, N) of restoration j of slice `index`."""
    philox = np.random.Philox(key=[seed, (index << 32) | j])
    uniform = np.random.Generator(philox).random((n_codes, places), dtype=np.float32)
    # random() may give 0 exactly; the smallest normal number keeps both logarithms finite.
    return -np.log(-np.log(np.clip(uniform, np.finfo(np.float32).tiny, 1 - 2**-24)))


def gumbel_batch(
    seed: int, indices: Sequence[int], chains: range, n_codes: int, shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Noise (B, S, K, h, w) of the restorations `chains` of the slices `indices`."""
    grids = [[gumbel(seed, i, j, n_codes, shape[0] * shape[1]) for j in chains] for i in indices]
    return np.array(grids, dtype=np.float32).reshape(len(indices), len(chains), n_codes, *shape)
