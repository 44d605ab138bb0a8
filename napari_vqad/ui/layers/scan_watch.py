"""Watch the layer of a scan: the user may remove it from the viewer or replace its data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.layers import Layer

from napari_vqad.ui.plumbing.connections import ViewerConnections


class LayerWatch:
    """Calls `lost` once, with a sentence, when the watched layer is removed or its data change; then stops watching.

    napari may be changing its list of layers during this call, so `lost` must not change the list at once.
    """

    def __init__(self, connections: ViewerConnections, lost: Callable[[str], None]) -> None:
        self.layer: Layer | None = None
        self._lost = lost
        connections.connect(connections.viewer.layers.events.removed, self._on_removed)
        connections.on_close(lambda: self.on(None))

    def on(self, layer: Layer | None) -> None:
        """Watch this layer instead of the previous one; None ends watching."""
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
