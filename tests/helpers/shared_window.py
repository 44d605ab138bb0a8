"""One window for many tests: the dock with the small head analysed, put back after each test, and checked.

To open a window and to close it takes twenty times as long as most tests. After a test the window is put back to how it
was (`put_back`); if anything that a test could notice is still another (`state`), the window is closed, and the next
test gets a new one. So no test sees what another has left.
"""

from __future__ import annotations

import gc
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np
from napari import Viewer
from napari.layers import Layer
from qtpy.QtWidgets import QAbstractButton, QApplication, QDockWidget, QTabWidget, QWidget

from napari_vqad.ui.dock import ExplorerDock

SIGNALS = ("opened", "emptied", "settled", "advanced", "progressed", "busy", "moved", "reopened", "drawn")


@dataclass
class SharedWindow:
    """A viewer with a dock, and its state before the first test."""

    viewer: Viewer
    dock: ExplorerDock
    start: dict[str, Any]
    layers: tuple[Layer, ...]

    def put_back(self, idle) -> bool:
        """Undo what a test has done; False where something is left of it."""
        try:
            self._undo(idle)
            left = differences(self.start, state(self.dock))
        except Exception as error:
            left = [repr(error)]
        import os
        if left and os.environ.get("SHOWLEFT"):
            print("LEFT", left, [(self.start.get(n), state(self.dock).get(n)) for n in left if n not in ("drawn","buttons","tabs")][:3], file=open("/tmp/left.txt","a"))
        return left == []

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
        for layer in [layer for layer in viewer.layers if layer not in self.layers]:
            viewer.layers.remove(layer)
        box = dock.inputs.bundle.box
        while box.count() > start["bundles"]:
            box.removeItem(box.count() - 1)
        for chooser, value in zip((dock.inputs.scan, dock.inputs.brain, dock.inputs.bundle), start["inputs"], strict=False):
            chooser.pick(value)
        for button, on in start["buttons"].items():
            button.setChecked(on)
        for tabs, index in start["tabs"].items():
            tabs.setCurrentIndex(index)
        viewer.dims.ndisplay, viewer.dims.order = 2, start["order"]
        session.change(**start["settings"].model_dump())
        idle(dock)
        session.verdicts._said.clear()
        session.verdicts._saved.clear()
        session.review.clear()
        session._listed = []
        dock.which.setValue(0)
        dock.show_view(start["view"])
        session.map_layers.set_window(start["window"])
        viewer.dims.point = start["point"]
        viewer.dims.set_point(range(viewer.dims.ndim), start["point"])
        for layer, (visible, opacity) in start["shown"].items():
            layer.visible, layer.opacity = visible, opacity
        viewer.layers.selection = set(start["selection"])
        viewer.fit_to_view()
        session.redraw()
        dock.status.setText(start["status"])
        viewer.window.resize(*start["size"])
        for _ in range(3):
            QApplication.processEvents()


def state(dock: ExplorerDock) -> dict[str, Any]:
    """All that a test may change and the next one might notice."""
    viewer, session, explorer = dock.viewer, dock.session, dock.session.explorer
    window, camera, map_layers = viewer.window._qt_window, viewer.scene.camera, session.map_layers
    buttons = [b for b in window.findChildren(QAbstractButton) if b.isCheckable() and _is_ours(b)]
    return {
        "layers": [(layer.name, id(layer)) for layer in viewer.layers],
        "shown": {layer: (layer.visible, round(layer.opacity, 3)) for layer in viewer.layers},
        "limits": [tuple(np.round(getattr(layer, "contrast_limits", ()), 4)) for layer in viewer.layers],
        "selection": set(viewer.layers.selection),
        "settings": session.settings,
        "explored": (id(explorer), explorer and explorer.settings, id(session.prepared), session.note),
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
        "docks": [(d.objectName(), d.isVisible()) for d in window.findChildren(QDockWidget)],
        "size": (window.width(), window.height()),
        "buttons": {b: b.isChecked() for b in buttons},
        "tabs": {t: t.currentIndex() for t in window.findChildren(QTabWidget) if _is_ours(t)},
        "bundles": dock.inputs.bundle.box.count(),
        "inputs": dock.inputs.chosen(),
        "status": dock.status.text(),
        "listeners": [len(getattr(session, name)) for name in SIGNALS] + [len(session.review.changed)],
        "muted": (session._closed, session._runner.muted),
    }


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The names of what is another."""
    return [name for name in before if before[name] != after[name]]


def open_window(show, bundle, idle) -> SharedWindow:
    """A new window: `show` opens a viewer with head and mask, `idle` waits for the end of the analysis."""
    viewer = show()
    dock = ExplorerDock(viewer)
    viewer.window.add_dock_widget(dock, name="VQ Anomaly Explorer", area="right")
    dock.inputs.bundle.box.addItem("Tiny", bundle)
    dock.inputs.bundle.pick(bundle)
    dock.inputs.brain.pick(viewer.layers["ball"])
    dock.start()
    idle(dock)
    shared = SharedWindow(viewer, dock, {}, tuple(viewer.layers))
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

    def __init__(self) -> None:
        self.window: SharedWindow | None = None
        self.reused = self.opened = 0

    def drop(self) -> None:
        """Close it."""
        window, self.window = self.window, None
        if window is not None:
            window.close()
            del window
            gc.collect()
            QApplication.processEvents()
