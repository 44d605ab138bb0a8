"""Compute novelty scores of many vectors, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_vqad.scores.novelty.batch import AT_ONCE, VAE, Batch, Options, Reference
from napari_vqad.scores.novelty.table import SCORES


@torch.no_grad()
def novelty(
    names: Iterable[str],
    x: Tensor,
    vae: VAE,
    reference: Reference | None = None,
    options: Options | None = None,
    report: Callable[[int, int], None] | None = None,
    check: Callable[[], None] | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Compute scores of vectors, such as the voxels of a scan.

    The memory that is needed on top of inputs and reference does not grow with the number of vectors.

    Args:
        names: of `table.SCORES`.
        x: vectors (N, C), on the device of the networks, prepared as for training.
        vae: in eval mode, with weights that need no gradient.
        reference: normal vectors; needed by scores that name "reference" among their `needs`.
        options: samples, seed, bounds and so on; default: `Options()`.
        report: called after each batch with the numbers of finished and of all vectors.
        check: called before each batch, and before each step of a search; it may raise an exception, which stops the
            work.

    Returns:
        name → scores (N,); NaN for a vector that is not finite.

    Raises:
        ValueError: an unknown score, no reference where one is needed, or vectors of another length.
    """
    wanted = list(names)
    if unknown := [name for name in wanted if name not in SCORES]:
        raise ValueError(f"there is no novelty score '{unknown[0]}'")
    if reference is None and (lacking := [n for n in wanted if "reference" in SCORES[n].needs]):
        raise ValueError(f"the novelty score '{lacking[0]}' compares with normal vectors, and needs a reference")
    if x.ndim != 2 or x.shape[1] != vae.measurements:
        raise ValueError(f"the VAE has vectors of {vae.measurements} numbers, not an array of shape {tuple(x.shape)}")
    stop = check or (lambda: None)
    found = {name: np.full(len(x), np.nan, np.float32) for name in wanted}
    for start in range(0, len(x), AT_ONCE):
        stop()
        part = x[start : start + AT_ONCE]
        finite = part.isfinite().all(1)
        batch = Batch(part[finite], vae, reference, options or Options(), stop)
        rows = start + finite.nonzero()[:, 0].cpu().numpy()
        for name in wanted if len(rows) else ():
            found[name][rows] = SCORES[name].of(batch).float().cpu().numpy()
        if report is not None:
            report(min(start + AT_ONCE, len(x)), len(x))
    return found
