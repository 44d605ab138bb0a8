"""The views of an analysis. Each view shows a map of one role.

The detector declares its maps; a view without a map is not offered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from napari_vqad.detectors.protocol import MapSpec
from napari_vqad.engine.dependencies import TailSpec

SCAN = "Scan"
MEAN, SPREAD = 0, -1  # instead of a restoration's number, which starts at 1: the mean or the SD of all
OF_ALL = {MEAN: "mean of S", SPREAD: "SD of S"}
WHICH_TIP = "Which restoration the Restoration view shows: their weighted mean, the SD among them, or one of them."
# In the order of the buttons. A view of evidence has the name of its map.
BY_ROLE = {"evidence": "", "restoration": "Restoration", "residual": "Residual", "score": "Score", "flagged": "Flagged"}
TIPS = {
    "evidence": "how unlikely each place of the scan is",
    "restoration": "what a healthy scan would look like here",
    "residual": "how far scan and restoration differ",
    "score": "the pooled residual",
    "flagged": "voxels above the threshold",
}

Spec = MapSpec | TailSpec


class View(NamedTuple):
    """A view: the text of its button, its tooltip, its map (None for the scan alone) and the map's role."""

    name: str
    tip: str
    map: str | None
    role: str


def views_of(maps: Mapping[str, Spec]) -> list[View]:
    """The views for some maps, the scan first."""
    views = [View(SCAN, "Show the scan alone.", None, "")]
    for role, name in BY_ROLE.items():
        for spec in maps.values():
            if spec.role == role and not spec.indexed:
                views.append(View(name or spec.title, f"Show {TIPS[role]}.", spec.name, role))
    return views


def map_of(maps: Mapping[str, Spec], view: str, which: int = MEAN) -> str | None:
    """The name of the map that a view shows; None for the scan alone.

    For the view of restorations, `which` is `MEAN`, `SPREAD`, or any other number for the single restorations.
    """
    shown = next((v for v in views_of(maps) if v.name == view), None)
    if shown is None or shown.role != "restoration" or which == MEAN:
        return shown.map if shown else None
    wanted = (s.name for s in maps.values() if (s.role == "spread" if which == SPREAD else _is_sample(s)))
    return next(wanted, shown.map)


def which_in_words(which: int) -> str:
    """The text of a choice among the restorations: "mean of S", "SD of S" or "Restoration #3"."""
    return OF_ALL.get(which, f"Restoration #{which}")


def layer_name(spec: Spec, j: int = 0) -> str:
    """The name of a map's layer, with its unit, or with the number from 1 for a single restoration."""
    if _is_sample(spec):
        return f"{spec.title} {j + 1}"
    return f"{spec.title} ({spec.unit})" if spec.role in ("evidence", "spread", "residual") else spec.title


def _is_sample(spec: Spec) -> bool:
    return spec.role == "restoration" and spec.indexed
