"""Models in lists, under the titles of their families."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari_vqad.detectors.bundle import read_config
from napari_vqad.detectors.registry import detector_class
from napari_vqad.display.families import FAMILIES
from napari_vqad.errors import InputError
from napari_vqad.imaging.measurements import GradientTable
from napari_vqad.imaging.volume import Kind

BROKEN = "Cannot be used"


def group_of(folder: Path) -> str:
    """The title of a model's family; `BROKEN` for one whose config.json cannot be read."""
    try:
        return FAMILIES[detector_class(read_config(folder).detector).family]
    except InputError:
        return BROKEN


def fits_scan(folder: Path, kind: Kind | None, gradients: GradientTable | None) -> bool:
    """Is a model made for this kind of scan, and for its diffusion measurements, if it knows some?

    Also True if it cannot be read: its entry in the list says why.
    """
    try:
        grid = read_config(folder).grid
    except InputError:
        return True
    if kind is None or grid.measurements is None:
        return kind is None or grid.kind == kind
    return grid.kind == kind and gradients is not None and grid.measurements.fits(gradients)


def knows_measurements(folder: Path) -> bool:
    """Is a model made for diffusion measurements?"""
    try:
        return read_config(folder).grid.measurements is not None
    except InputError:
        return False


def grouped(folders: Sequence[Path]) -> dict[str, list[Path]]:
    """Group models by family, in the order of the families; models of a family keep their order."""
    groups: dict[str, list[Path]] = {title: [] for title in (*FAMILIES.values(), BROKEN)}
    for folder in folders:
        groups[group_of(folder)].append(folder)
    return {title: members for title, members in groups.items() if members}


def shown(rows: Sequence[bool | None]) -> list[bool]:
    """Say which rows of a list to show: models that fit, and the titles (None) above some of them.

    Args:
        rows: for each row whether its model fits; None for a title, which is above its models.
    """
    found = []
    for i, row in enumerate(rows):
        below = rows[i + 1 :]
        end = next((j for j, other in enumerate(below) if other is None), len(below))
        found.append(any(below[:end]) if row is None else row)
    return found
