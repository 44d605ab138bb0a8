"""Labelled scans that the user has collected, to be evaluated together. Each takes up less than a megabyte."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from napari_vqad.display.controls import control_of
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.tuning.figures import Figures
from napari_vqad.tuning.labelled_scan import ScanCounts

FLAGGING = ("flag_voxels", "min_volume_ml", "median", "erode_mm")  # settings that change findings but no scores
MODEL = "model"
IGNORED = (*FLAGGING, "flag_slices", "slices")


def scored_with(explorer: Explorer) -> dict[str, Any]:
    """Return the model and the active settings that the scores of an explorer depend on, by name."""
    settings, idle = explorer.settings, explorer.detector.inactive(explorer.settings)
    names = [n for n in explorer.detector.Settings.model_fields if n not in IGNORED and n not in idle]
    return {MODEL: explorer.bundle.name, **{name: getattr(settings, name) for name in names}}


def flagged_with(explorer: Explorer) -> dict[str, Any]:
    """Return the settings that the findings of an explorer depend on, besides those of its scores."""
    return {name: getattr(explorer.settings, name) for name in FLAGGING}


@dataclass(frozen=True, eq=False)
class PooledScan:
    """The counts of a scan, and what they were computed with."""

    counts: ScanCounts
    scored: Mapping[str, Any]
    flagged: Mapping[str, Any]


class Pool:
    """Scans by name. All were scored with the same model and settings."""

    def __init__(self) -> None:
        self.scans: dict[str, PooledScan] = {}
        self._figures: tuple[list[PooledScan], Figures] | None = None

    @property
    def counts(self) -> list[ScanCounts]:
        """The counts of all scans; without lesions if the scans were flagged with different settings."""
        scans = list(self.scans.values())
        alike = all(scan.flagged == scans[0].flagged for scan in scans)
        return [scan.counts if alike else replace(scan.counts, lesions=None) for scan in scans]

    def figures(self) -> Figures | None:
        """Return the figures of all scans together; None without scans."""
        scans = list(self.scans.values())
        if not scans:
            return None
        if self._figures is None or self._figures[0] != scans:
            self._figures = scans, Figures.of(self.counts)
        return self._figures[1]

    def add(self, name: str, counts: ScanCounts, explorer: Explorer) -> None:
        """Add a scan; one of the same name is replaced.

        Raises:
            InputError: the other scans were scored with another model or other settings.
        """
        others = [scan for other, scan in self.scans.items() if other != name]
        new = PooledScan(counts, scored_with(explorer), flagged_with(explorer))
        if others and (changed := differing(others[0].scored, new.scored)):
            raise InputError(
                f"The scans in the pool were scored with another {changed}. Restore it, or remove these scans first."
            )
        self.scans[name] = new

    def outdated(self, explorer: Explorer | None) -> str:
        """Return what differs between the present analysis and the pool, in words; empty if nothing does."""
        first = next(iter(self.scans.values()), None)
        return "" if first is None or explorer is None else differing(first.scored, scored_with(explorer))


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Return the titles of the settings that differ, such as "model, Pooling"; empty if none does."""
    names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    return ", ".join(name if name == MODEL else control_of(name).title for name in names)
