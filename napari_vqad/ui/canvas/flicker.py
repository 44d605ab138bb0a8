"""Flicker: scan and restoration in turn, so that what differs jumps to the eye."""

from __future__ import annotations

from qtpy.QtCore import QObject, QTimer, Signal

from napari_vqad.ui.layers.map_layers import MapLayers

HALF = 250  # ms of each picture: twice a second there and back, below the three that can do harm


class Flicker(QObject):
    """Hides what lies over the scan and shows it again, until told to stop or until another view is shown."""

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
        """Does it go on?"""
        return self._timer.isActive()

    def start(self) -> None:
        """Begin with the scan alone."""
        self._view, self._hidden = self.map_layers.view, False
        self._timer.start()
        self._tick()

    def stop(self) -> None:
        """Show again what lies over the scan."""
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
