"""The slice score in words, once for dock, lists, profile, report and contact sheet."""

from __future__ import annotations

import numpy as np

from napari_vqad.engine.explorer import Explorer


def title(explorer: Explorer) -> str:
    """What the slice score is called, with its unit, as on an axis."""
    return "AS_sample, nats" if _is_sample(explorer) else "Slice score, SD"


def value(explorer: Explorer, score: float) -> str:
    """A slice score with its unit."""
    if np.isnan(score):
        return "not analysed"
    return f"{score:.0f} nats" if _is_sample(explorer) else f"{score:.1f} SD"


def percentile(explorer: Explorer, score: float) -> float:
    """Share of healthy slices at or below a slice score, 0 to 100."""
    lambda_s = explorer.thresholds().lambda_s
    return explorer.bundle.calibration.slice_percentile(explorer.settings, score, lambda_s)


def explained(explorer: Explorer) -> str:
    """What it is, in a sentence."""
    if _is_sample(explorer):
        limit = explorer.thresholds().lambda_s
        return f"AS_sample of each slice: the sum of the NLL of its codes above λ_s, {limit:.2f} nats."
    return "The slice score: the highest pixel scores and NLL within a slice, in healthy SD."


def unit(explorer: Explorer) -> str:
    """Unit of the slice scores: "nats" of AS_sample, else "SD"."""
    return "nats" if _is_sample(explorer) else "SD"


def _is_sample(explorer: Explorer) -> bool:
    return explorer.bundle.calibration.slice_kind(explorer.settings) is None
