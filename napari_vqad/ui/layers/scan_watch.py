"""Watches the layer of a scan: it may be taken out of the viewer, or other data may be put into it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.layers import Layer

from napari_vqad.ui.plumbing.connections import ViewerConnections


class LayerWatch:
    """Tells once, in a sentence, that the watched layer is not the scan any more; it is not watched from then on.

    It is told while napari changes its list of layers: whoever hears it must not change the list at once.
    """

    def __init__(self, connections: ViewerConnections, lost: Callable[[str], None]) -> None:
        self.layer: Layer | None = None
        self._lost = lost
        connections.connect(connections.viewer.layers.events.removed, self._on_removed)
        connections.on_close(lambda: self.on(None))

    def on(self, layer: Layer | None) -> None:
        """Watch this layer instead of the one before; none for None."""
        if self.layer is not None:
            self.layer.events.data.disconnect(self._on_data)
        self.layer = layer
        if layer is not None:
            layer.events.data.connect(self._on_data)

    def _on_removed(self, event: Any) -> None:
        if self.layer is not None and event.value is self.layer:
            self._lose("was removed")

    def _on_data(self, _event: Any) -> None:
        self._lose("has other data now")

    def _lose(self, what: str) -> None:
        name = self.layer.name if self.layer is not None else ""
        self.on(None)
        self._lost(f"The layer '{name}' {what}.")
