"""The columns of still pictures: the scan, then one column for each map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from napari_vqad.display.scales import ENDS
from napari_vqad.display.views import SCAN, Spec

ORDER = ("evidence", "restoration", "residual", "score", "flagged")


class Column(NamedTuple):
    """One column: its heading, the map that it shows (None for the scan alone) and the role of that map."""

    title: str
    map: str | None
    role: str

    @property
    def coloured(self) -> bool:
        """Is the map drawn in colour over the scan?"""
        return self.role in ENDS


def columns_of(maps: Mapping[str, Spec], roles: tuple[str, ...] = ORDER) -> list[Column]:
    """A column for the scan, then one for each map with one of the roles, in their order, without indexed maps."""
    found = [spec for role in roles for spec in maps.values() if spec.role == role and not spec.indexed]
    return [Column(SCAN, None, ""), *(Column(_heading(spec), spec.name, spec.role) for spec in found)]


def _heading(spec: Spec) -> str:
    """The title without its part in brackets, for which a narrow column has no room."""
    return spec.title.partition(" (")[0]
