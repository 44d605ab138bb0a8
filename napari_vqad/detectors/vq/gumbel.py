"""The random numbers of restorations, fixed before a restoration starts.

With Gumbel noise g a code is drawn by an argmax, argmax_c(ln p(c) + g_c), so a restoration is a deterministic function
of its noise (Maddison et al. 2014). The generator (Philox) is counter-based: the noise depends only on the key (seed,
slice, j), not on S, batch, device or order of computation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def gumbel(seed: int, index: int, j: int, n_codes: int, places: int) -> NDArray[np.float32]:
    """Generate standard Gumbel noise (K, N) for restoration j of slice `index`, K = `n_codes`, N = `places`."""
    philox = np.random.Philox(key=[seed, (index << 32) | j])
    uniform = np.random.Generator(philox).random((n_codes, places), dtype=np.float32)
    # random() may return 0. Clipping keeps both logarithms finite.
    return -np.log(-np.log(np.clip(uniform, np.finfo(np.float32).tiny, 1 - 2**-24)))


def gumbel_batch(
    seed: int, indices: Sequence[int], chains: range, n_codes: int, shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Generate noise (B, S, K, h, w) for the restorations `chains` of the slices `indices`."""
    grids = [[gumbel(seed, i, j, n_codes, shape[0] * shape[1]) for j in chains] for i in indices]
    return np.array(grids, dtype=np.float32).reshape(len(indices), len(chains), n_codes, *shape)
