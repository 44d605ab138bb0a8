"""Flicker: show scan and restoration in turn, so that differences are easy to see."""

from __future__ import annotations

from qtpy.QtCore import QObject, QTimer, Signal

from napari_vqad.ui.layers.map_layers import MapLayers

HALF = 250  # ms for each picture: two flashes per second, fewer than the three that can do harm


class Flicker(QObject):
    """Hides the layers over the scan and shows them again, until it is stopped or the view changes."""

    stopped = Signal()

    def __init__(self, map_layers: MapLayers, parent: QObject) -> None:
        super().__init__(parent)
        self.map_layers = map_layers
        self._view, self._hidden = "", False
        self._timer = QTimer(self)
        self._timer.setInterval(HALF)
        self._timer.timeout.connect(self._tick)

    @property
    def running(self) -> bool:
        """Is the flicker on?"""
        return self._timer.isActive()

    def start(self) -> None:
        """Start the flicker, with the scan alone first."""
        self._view, self._hidden = self.map_layers.view, False
        self._timer.start()
        self._tick()

    def stop(self) -> None:
        """Stop the flicker and show the layers over the scan."""
        if self.running:
            self._timer.stop()
            self.map_layers.hide_overlays(False)
            self.stopped.emit()

    def _tick(self) -> None:
        if self.map_layers.view != self._view or not self.map_layers.layers:
            self.stop()
            return
        self._hidden = not self._hidden
        self.map_layers.hide_overlays(self._hidden)
