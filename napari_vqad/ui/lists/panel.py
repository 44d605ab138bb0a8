"""The lists below the canvas, in a dock that a button opens and closes."""

from __future__ import annotations

from functools import partial

from napari.layers import Image, Layer
from qtpy.QtCore import QObject, Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QSpinBox, QTabWidget, QToolButton
from superqt.utils import qthrottled

from napari_vqad.display.slice_picture import PictureStyle
from napari_vqad.ui.canvas.display_convention import Convention
from napari_vqad.ui.lists.findings_table import FindingsTable
from napari_vqad.ui.lists.restoration_gallery import RestorationGallery
from napari_vqad.ui.lists.slice_table import SliceTable
from napari_vqad.ui.lists.unfolding_view import UnfoldingView
from napari_vqad.ui.plumbing.shortcuts import ACCEPT, NEXT_FINDING, PREVIOUS_FINDING, REJECT, bind
from napari_vqad.ui.plumbing.toggle_dock import ToggleDock
from napari_vqad.ui.session import Session

VERDICTS = {ACCEPT: "accepted", REJECT: "rejected"}
PAUSE = 100  # ms, the shortest time between two refreshes of the gallery and of the slices


class ListTabs(QTabWidget):
    """Tabs that signal when they become visible, because hidden lists are not updated."""

    shown = Signal()

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802, D102
        super().showEvent(event)
        self.shown.emit()


class ListPanel(QObject):
    """Shows the lists of a session while its button is pressed. The session keeps the verdicts."""

    def __init__(self, session: Session, button: QToolButton, which: QSpinBox, convention: Convention) -> None:
        """`which` selects the restoration that the canvas shows."""
        super().__init__(button)
        self.session, self.button, self.which = session, button, which
        self.convention = convention
        self.findings_table, self.slices = FindingsTable(session.review), SliceTable()
        self.gallery, self.unfolding = RestorationGallery(), UnfoldingView()
        self._verdicts = {verdict: partial(self.findings_table.judge, word) for verdict, word in VERDICTS.items()}
        self._layers_with_keys: list[Layer] = []  # layers with the keys of `_verdicts`
        self.tabs = ListTabs()
        for title, widget in (
            ("Findings", self.findings_table),
            ("Slices", self.slices),
            ("Restorations", self.gallery),
            ("Step by step", self.unfolding),
        ):
            self.tabs.addTab(widget, title)
        self.findings_table.gone_to.connect(session.show_finding)
        self.slices.gone_to.connect(session.go_to)
        self.drawer = ToggleDock(session.connections, button, self.tabs, "Findings")
        button.toggled.connect(self.show)  # after the drawer: only visible lists are filled
        refresh_throttled = qthrottled(self.refresh, timeout=PAUSE, parent=self)
        session.emptied.connect(self._on_emptied)
        for signal in (session.moved, session.settled, session.opened, session.drawn, session.map_layers.windowed):
            signal.connect(lambda: refresh_throttled())
        session.review.changed.connect(lambda: refresh_throttled())
        which.valueChanged.connect(lambda _value: refresh_throttled())
        session.connections.connect(session.viewer.scene.camera.events.orientation, lambda: refresh_throttled())
        for key, act in (
            (NEXT_FINDING, partial(self.step, 1)),
            (PREVIOUS_FINDING, partial(self.step, -1)),
            (ACCEPT, self._verdicts[ACCEPT]),
            (REJECT, self._verdicts[REJECT]),
        ):
            bind(session.connections, key, act)
        session.opened.connect(self._bind_layer_keys)
        session.emptied.connect(self._unbind_layer_keys)
        session.connections.on_close(self._unbind_layer_keys)
        self.tabs.currentChanged.connect(lambda _tab: self.refresh())
        self.tabs.shown.connect(self.refresh)

    def show(self, on: bool) -> None:
        """List and show the findings while the lists are open."""
        self.session.reviewing = on
        self.session.list_findings()
        self.refresh()

    def refresh(self) -> None:
        """Update the visible tab; `findings_table` updates itself."""
        if self.slices.isVisible():
            review = self.session.review
            self.slices.show_slices(self.session.explorer, [] if review.note else review.found)
        if self.gallery.isVisible():
            self.gallery.show_slice(self.session.explorer, self.which.value(), self._picture_style())
        if self.unfolding.isVisible():
            self.unfolding.show_slice(self.session.explorer, max(self.which.value(), 1), self._picture_style())

    def _picture_style(self) -> PictureStyle:
        return PictureStyle(self.session.map_layers.window, self.convention.neurological)

    def _bind_layer_keys(self) -> None:
        """Bind the verdict keys to the layers, because napari's image layers use X themselves, before the viewer."""
        self._unbind_layer_keys()
        map_layers = self.session.map_layers
        self._layers_with_keys = [
            layer for layer in (map_layers.scan, *map_layers.layers.values()) if isinstance(layer, Image)
        ]
        for layer in self._layers_with_keys:
            for key, act in self._verdicts.items():
                layer.bind_key(key, lambda _layer, act=act: act(), overwrite=True)

    def _unbind_layer_keys(self) -> None:
        for layer in self._layers_with_keys:
            for key in self._verdicts:
                layer.bind_key(key, None)
        self._layers_with_keys.clear()

    def _on_emptied(self) -> None:
        """Empty the lists, even hidden ones, because the scan was closed."""
        self.slices.show_slices(None, [])
        self.gallery.show_slice(None, self.which.value())
        self.unfolding.show_slice(None, 1)

    def step(self, by: int) -> None:
        """Go to the next (1) or previous (−1) finding."""
        self.button.setChecked(True)
        self.tabs.setCurrentWidget(self.findings_table)
        self.findings_table.step(by)
