"""A list of the Labels layers that can be the truth of a scan, and notice of changes to the chosen one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from pathlib import Path

import numpy as np
from napari.layers import Labels, Layer

from napari_vqad.imaging.volume import Volume
from napari_vqad.ui.layers.mask_input import layer_voxels
from napari_vqad.ui.panels.combo import DataCombo
from napari_vqad.ui.plumbing.connections import ViewerConnections

EDITS = ("data", "paint", "labels_update")  # events of a layer whose labels change


class LabelChoice:
    """Fills a drop-down list with the Labels layers, and calls back when the truth becomes another one."""

    def __init__(
        self,
        connections: ViewerConnections,
        combo: DataCombo,
        ours: Callable[[], Iterable[Layer]],
        changed: Callable[[], None],
    ) -> None:
        """`ours` returns the layers of the analysis, which are no truth; `changed` is called after a change."""
        self._combo, self._ours, self._changed = combo, ours, changed
        self._layers = connections.viewer.layers
        self._watched: Labels | None = None
        self._edits, self._is_edited = 0, False
        for event in (self._layers.events.inserted, self._layers.events.removed):
            connections.connect(event, self.list_layers)
        connections.on_close(lambda: self._watch(None))
        combo.box.currentIndexChanged.connect(lambda _index: self._on_picked())
        self.list_layers()

    @property
    def layer(self) -> Labels | None:
        """The chosen layer; None if there is none."""
        return self._watched

    @property
    def key(self) -> Hashable:
        """Identifies the chosen labels as they are now; None without a layer."""
        return None if self._watched is None else (id(self._watched), self._edits)

    @property
    def is_file(self) -> bool:
        """Is the chosen layer as it was read from a file?"""
        return self._watched is not None and not self._is_edited and _file_of(self._watched) is not None

    @property
    def file(self) -> str | None:
        """The file of the chosen layer; if there is none with its labels, the file that it is to be saved as."""
        if self._watched is None:
            return None
        known = None if self._is_edited else _file_of(self._watched)
        return str(known or f"{self._watched.name}.nii.gz")

    def voxels(self, volume: Volume) -> np.ndarray | None:
        """The chosen labels on the voxels of a scan, bool (R, A, S), true above zero; None without a layer.

        Raises:
            InputError: the layer does not lie on the scan's voxels.
        """
        return None if self._watched is None else layer_voxels(self._watched, volume, "label")

    def list_layers(self, _event: object = None) -> None:
        """Offer the Labels layers of the user."""
        made = set(map(id, self._ours()))
        given = [m for m in self._layers if isinstance(m, Labels) and m.ndim == 3 and id(m) not in made]
        # A map that is just being added is not in `ours` yet, but its metadata contain its grid.
        given = [m for m in given if "napari_vqad_grid" not in m.metadata]
        self._combo.fill([("none", None), *((layer.name, layer) for layer in given)])

    def _on_picked(self) -> None:
        self._watch(self._combo.value)
        self._changed()

    def _on_edited(self, _event: object = None) -> None:
        self._edits += 1
        self._is_edited = True
        self._changed()

    def _watch(self, layer: Labels | None) -> None:
        for name in EDITS:
            if self._watched is not None:
                getattr(self._watched.events, name).disconnect(self._on_edited)
            if layer is not None:
                getattr(layer.events, name).connect(self._on_edited)
        self._watched, self._is_edited = layer, False
        self._edits += 1


def _file_of(layer: Labels) -> Path | str | None:
    """The file that a layer was read from; None if there is none."""
    known = layer.metadata.get("napari_vqad")
    return layer.source.path or (known.path if isinstance(known, Volume) else None)
