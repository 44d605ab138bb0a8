"""Texts about the slice score, shared by dock, lists, profile, report and contact sheet."""

from __future__ import annotations

import numpy as np

from napari_vqad.engine.explorer import Explorer


def title(explorer: Explorer) -> str:
    """The name of the slice score with its unit, as for the label of an axis."""
    if _is_own(explorer):
        return f"{explorer.detector.slice_title}, {explorer.detector.slice_unit}"
    return f"Slice score, {unit(explorer)}"


def value(explorer: Explorer, score: float) -> str:
    """A slice score with its unit."""
    if np.isnan(score):
        return "not analysed"
    return f"{_own(explorer, score)}" if _is_own(explorer) else f"{score:.1f} {unit(explorer)}"


def digits(explorer: Explorer) -> int | None:
    """Decimals of slice scores in tables; None for whole numbers."""
    if not _is_own(explorer):
        return 1
    return None if explorer.detector.slice_unit == "nats" else 4


def percentile(explorer: Explorer, score: float) -> float:
    """The percentage of healthy slices at or below a slice score, 0 to 100."""
    bundle = explorer.bundle
    return bundle.slice_percentile(bundle.resolve_own(explorer.settings), score)


def explained(explorer: Explorer) -> str:
    """A sentence that explains the slice score."""
    if _is_own(explorer):
        return explorer.detector.slice_words(explorer.bundle.resolve_own(explorer.settings))
    fused = explorer.bundle.shown_scale(explorer.settings) != "intensity"
    evidence = [spec.title for spec in explorer.maps.values() if spec.role == "evidence" and fused]
    words = " and ".join(["pixel scores", *evidence])
    return f"The slice score: the highest {words} within a slice, in {'healthy SD' if fused else unit(explorer)}."


def unit(explorer: Explorer) -> str:
    """The unit of the slice score: that of the detector's own score, such as "nats", or that of the pixel score."""
    if _is_own(explorer):
        return str(explorer.detector.slice_unit)
    return explorer.bundle.unit(explorer.bundle.shown_scale(explorer.settings))


def volume_score(explorer: Explorer) -> str:
    """The end of a sentence, "; the volume score is 812 nats"; empty if the detector has no slice score of its own."""
    if explorer.detector.slice_title is None:
        return ""
    return f"; the volume score is {_own(explorer, explorer.volume_score())}"


def _own(explorer: Explorer, score: float) -> str:
    """The detector's own score with its unit. Nats are large; other scores may be far below 1."""
    unit = explorer.detector.slice_unit
    return f"{score:.0f} nats" if unit == "nats" else f"{score:.3g} {unit}"


def _is_own(explorer: Explorer) -> bool:
    """Is the slice score the detector's own score, such as AS_sample?"""
    return explorer.detector.slice_title is not None and explorer.bundle.slice_kind(explorer.settings) is None
