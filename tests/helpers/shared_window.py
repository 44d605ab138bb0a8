"""One window for many tests: the dock with the small head analysed, put back after each test, and checked.

To open a window and to close it takes twenty times as long as most tests. After a test the window is put back to how it
was (`put_back`), with the head analysed anew if something else was analysed meanwhile; if anything that a test could
notice is still another (`state`), the window is closed, and the next test gets a new one. So no test sees what another
has left.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np
from app_model import Application
from napari import Viewer
from napari._app_model._app import NapariApplication, _napari_names
from napari._qt._qapp_model.qactions import init_qactions
from napari.layers import Layer
from napari.plugins import _initialize_plugins
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QAbstractButton, QApplication, QDockWidget, QTabWidget, QWidget

from napari_vqad.engine.explorer import Explorer
from napari_vqad.ui.dock import ExplorerDock
from napari_vqad.ui.layers.map_layers import remove_layers

SIGNALS = ("opened", "emptied", "settled", "advanced", "progressed", "busy", "moved", "reopened", "drawn")


@dataclass
class SharedWindow:
    """A viewer with a dock, its own two layers (head and mask), and its state before the first test."""

    viewer: Viewer
    dock: ExplorerDock
    layers: tuple[Layer, ...]
    explorer: Explorer
    start: dict[str, Any]

    def put_back(self, idle) -> bool:
        """Undo what a test has done; False where something is left of it."""
        with suppress(Exception):
            self._undo(idle)
            return differences(self.start, state(self.dock)) == []
        return False

    def close(self) -> None:
        """Close the window, and let nothing of it live on."""
        with suppress(Exception):
            self.dock.session.close()
        with suppress(Exception), patch.object(self.viewer.window._qt_window, "_save_current_window_settings"):
            self.viewer.close()
        QApplication.processEvents()

    def _undo(self, idle) -> None:
        viewer, dock, start = self.viewer, self.dock, self.start
        session = dock.session
        for index, layer in enumerate(self.layers):
            if layer not in viewer.layers:
                viewer.layers.insert(index, layer)
        own = (*self.layers, *session.map_layers.layers.values())
        remove_layers(viewer, [layer for layer in viewer.layers if layer not in own])
        for layer, name in zip(self.layers, start["layers"], strict=False):
            layer.name = name
        box = dock.inputs.bundle.box
        while box.count() > start["bundles"]:
            box.removeItem(box.count() - 1)
        for chooser, value in zip(
            (dock.inputs.scan, dock.inputs.brain, dock.inputs.bundle), start["inputs"], strict=False
        ):
            chooser.pick(value)
        if session.explorer is not self.explorer:
            viewer.dims.ndisplay, viewer.dims.order = 2, start["order"]
            dock.which.setValue(0)
            session.change(**start["settings"].model_dump())
            dock.start()
            idle(dock, 5_000)
            self.explorer = session.explorer
        buttons = buttons_of(self.dock)  # the others may be new ones
        for name, on in start["buttons"].items():
            buttons[name].setChecked(on)
        for tabs, index in start["tabs"].items():
            tabs.setCurrentIndex(index)
        viewer.dims.ndisplay, viewer.dims.order = 2, start["order"]
        session.change(**start["settings"].model_dump())
        idle(dock, 5_000)
        session.verdicts._said.clear()
        session.verdicts._saved.clear()
        session.review.clear()
        session._listed = []
        dock.which.setValue(0)
        dock.show_view(start["view"])
        session.map_layers.set_window(start["window"])
        viewer.dims.point = start["point"]
        viewer.dims.set_point(range(viewer.dims.ndim), start["point"])
        for name, (visible, opacity) in start["shown"].items():
            layer = viewer.layers[name]
            if layer.visible != visible:  # napari rebuilds its scene even if nothing changes
                layer.visible = visible
            layer.opacity = opacity
        viewer.layers.selection = {viewer.layers[name] for name in start["selection"]}
        viewer.canvas.grid.enabled, viewer.canvas.grid.stride, viewer.canvas.grid.shape = start["grid"]
        viewer.fit_to_view()
        session.redraw()
        dock.export_menu.options, dock.export_menu.folder = start["export"]
        table = dock.lists.findings_table.view
        table.sortByColumn(*start["sorted"])
        table.clearSelection()
        dock.status.setText(start["status"])
        viewer.window.resize(*start["size"])
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)  # docks that a test has closed
        for _ in range(3):
            QApplication.processEvents()


def state(dock: ExplorerDock) -> dict[str, Any]:
    """All that a test may change and the next one might notice."""
    viewer, session, explorer = dock.viewer, dock.session, dock.session.explorer
    header = dock.lists.findings_table.view.horizontalHeader()
    window, camera, map_layers = viewer.window._qt_window, viewer.scene.camera, session.map_layers
    return {
        "layers": [layer.name for layer in viewer.layers],
        "shown": {layer.name: (layer.visible, round(layer.opacity, 3)) for layer in viewer.layers},
        "limits": [tuple(np.round(getattr(layer, "contrast_limits", ()), 4)) for layer in viewer.layers],
        "selection": {layer.name for layer in viewer.layers.selection},
        "settings": session.settings,
        "explored": (explorer.bundle.folder, explorer.settings, explorer.focus, session.note),
        "running": session.running,
        "wanted": (session.reviewing, session.boxed),
        "review": (session.review.note, len(session.review.found), session.review.annotations),
        "unsaved": session.verdicts.unsaved,
        "view": dock.view_name(),
        "which": dock.which.value(),
        "window": map_layers.window,
        "drawn": {n: m.data.tobytes() for n, m in map_layers.layers.items() if m.visible},
        "order": tuple(viewer.dims.order),
        "dims": (viewer.dims.ndim, viewer.dims.ndisplay, viewer.dims.displayed),
        "point": tuple(viewer.dims.point),
        "camera": (*np.round(camera.center, 3), round(camera.zoom, 3), tuple(map(str, camera.orientation2d))),
        "grid": (viewer.canvas.grid.enabled, viewer.canvas.grid.stride, viewer.canvas.grid.shape),
        "overlays": {name: overlay.visible for name, overlay in viewer.canvas.overlays.items()},
        "keys": sorted(map(str, viewer.keymap)),
        "layer keys": [sorted(map(str, layer.keymap)) for layer in viewer.layers],
        "drags": len(viewer.mouse_drag_callbacks),
        "docks": {d.objectName(): d.isVisible() for d in window.findChildren(QDockWidget)},
        "size": (window.width(), window.height()),
        "buttons": {name: b.isChecked() for name, b in buttons_of(dock).items()},
        "tabs": {t: t.currentIndex() for t in window.findChildren(QTabWidget) if _is_ours(t)},
        "bundles": dock.inputs.bundle.box.count(),
        "inputs": dock.inputs.chosen(),
        "export": (dock.export_menu.options, dock.export_menu.folder),
        "sorted": (header.sortIndicatorSection(), header.sortIndicatorOrder()),
        "status": dock.status.text(),
        "listeners": [len(getattr(session, name)) for name in SIGNALS] + [len(session.review.changed)],
        "muted": (session._closed, session._runner.muted),
    }


def buttons_of(dock: ExplorerDock) -> dict[tuple, QAbstractButton]:
    """The buttons that can be on or off, by the class of what they lie in, their own, and which of those it is."""
    found: dict[tuple, QAbstractButton] = {}
    for button in dock.viewer.window._qt_window.findChildren(QAbstractButton):
        if button.isCheckable() and _is_ours(button):
            name = type(button.parentWidget()).__name__, type(button).__name__
            found[*name, sum(known[:2] == name for known in found)] = button
    return found


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The names of what is another."""
    return [name for name in before if before[name] != after[name]]


def add_dock(viewer: Viewer, bundle) -> ExplorerDock:
    """The dock in a viewer with head and mask, with the tiny bundle chosen."""
    dock = ExplorerDock(viewer)
    viewer.window.add_dock_widget(dock, name="VQ Anomaly Explorer", area="right")
    dock.inputs.bundle.box.addItem("Tiny", bundle)
    dock.inputs.bundle.pick(bundle)
    dock.inputs.brain.pick(viewer.layers["ball"])
    return dock


def open_window(show, bundle, idle) -> SharedWindow:
    """A new window: `show` opens a viewer with head and mask, `idle` waits for the end of the analysis."""
    viewer = show()
    dock = add_dock(viewer, bundle)
    dock.start()
    idle(dock)
    for button in (
        dock.lists.button,
        dock.display.other,
        dock.tuning,
    ):  # their docks stay in the window once they were seen
        button.setChecked(True)
        QApplication.processEvents()
        button.setChecked(False)
    own = tuple(viewer.layers[name] for name in ("head", "ball"))
    shared = SharedWindow(viewer, dock, own, dock.session.explorer, {})
    shared.start = state(dock)
    shared._undo(idle)  # some of what is put back is put into a form of its own, such as a point between two slices
    shared.start = state(dock)
    return shared


def _is_ours(widget: QWidget) -> bool:
    """Does a widget belong to this package, or lie in one that does?"""
    while widget is not None:
        if type(widget).__module__.startswith("napari_vqad"):
            return True
        widget = widget.parentWidget()
    return False


class Cache:
    """The window that is open, if there is one."""

    NAME = "napari-vqad-tests"  # of napari's application model, which is another for each window

    def __init__(self) -> None:
        self.window: SharedWindow | None = None
        self.model: NapariApplication | None = None

    def open(self, make: Callable[[], SharedWindow]) -> None:
        """Open a window with commands and menus of its own, as `make_napari_viewer` does."""
        self.model = NapariApplication(self.NAME)
        self.model.injection_store.namespace = _napari_names
        _initialize_plugins.cache_clear()
        init_qactions.cache_clear()
        self.window = make()

    def drop(self) -> None:
        """Close the window."""
        window, self.window = self.window, None
        if window is not None:
            window.close()
            del window
            gc.collect()
            QApplication.processEvents()
        if self.model is not None:
            Application.destroy(self.NAME)
            self.model = None
            _initialize_plugins.cache_clear()
            init_qactions.cache_clear()
