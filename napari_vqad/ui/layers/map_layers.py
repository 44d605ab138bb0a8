"""The layers of the maps: made once for each scan, and updated while they are visible."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import Colormap, DirectLabelColormap
from napari.viewer import Viewer
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_vqad.display.colours import DIM, FLAG, heat
from napari_vqad.display.scales import WINDOW, limits
from napari_vqad.display.shown_maps import IN_WINDOW, ShownMaps, in_window
from napari_vqad.display.views import MEAN, layer_name, map_of
from napari_vqad.display.window import DARK
from napari_vqad.engine.dependencies import Dependencies
from napari_vqad.engine.explorer import Explorer
from napari_vqad.ui.compare.canvas_state import PARTIAL, comparison_is_open
from napari_vqad.ui.layers import placement

MASK_NAME = "Brain mask"
MASK = (0.35, 0.75, 1.0, 1.0)


def heat_colours() -> Colormap:
    """The colour map of the maps, transparent at its low end."""
    return Colormap(heat()(np.linspace(0, 1, 256)), name="vqad heat")


def remove_layers(viewer: Viewer, layers: Iterable[Layer]) -> None:
    """Remove layers, if still there, in one batch: else napari redraws and collects garbage after each of them."""
    there = [layer for layer in layers if layer in viewer.layers]
    if there:
        with viewer.layers.batched_update():
            for layer in there:
                viewer.layers.remove(layer)


def _new_layer(role: str, data: np.ndarray, ends: tuple[float, float] | None, place: dict[str, Any]) -> Layer:
    """A hidden layer for a map of a role; `ends` are the limits of its colours."""
    if role == "flagged":
        colours = DirectLabelColormap(color_dict={None: (0, 0, 0, 0), 1: FLAG})
        return Labels(data, colormap=colours, opacity=0.9, visible=False, **place)
    brain = Colormap([[0, 0, 0, 0], [0, 0, 0, 1], [1, 1, 1, 1]], controls=[0, 1 / 256, 1], name="vqad brain")
    smooth: dict[str, Any] = {"interpolation2d": "linear", "blending": "translucent", "visible": False, **place}
    return Image(data, colormap=brain if role == IN_WINDOW else heat_colours(), contrast_limits=ends, **smooth)


def _lies(layer: Layer, data: np.ndarray, place: dict[str, Any]) -> bool:
    """Has a layer data of this shape and type, at this place?"""
    same = (layer.data.shape, layer.data.dtype) == (data.shape, data.dtype)
    return same and all(np.allclose(getattr(layer, name), place[name]) for name in ("scale", "translate"))


class MapLayers:
    """The layers that an analysis adds to the viewer."""

    windowed = Signal()  # the window changed
    lost = Signal(str)  # the name of the layer of the current view, which the user has removed
    viewed = Signal()  # the view changed

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self._clear_timer = QTimer()
        self._clear_timer.setSingleShot(True)
        self._clear_timer.setInterval(0)
        self._clear_timer.timeout.connect(self.clear)
        self.layers: dict[str, Layer] = {}
        self.view, self.which = "Scan", MEAN
        self.window: tuple[float, float] = WINDOW  # SD of the brain's intensity, for scan and restorations alike
        self._grey = (0.0, 1.0)  # mean and SD of the scan's grey values within the mask
        self._explorer: Explorer | None = None
        self._scan: Layer | None = None
        self._hidden: list[Layer] = []
        self._show_deferred = False  # was `show` called while a comparison used the canvas?
        self._scales: dict[str, tuple[float, float]] = {}  # the limits of each map's colours
        self.pictures: ShownMaps | None = None  # what the layers show
        self._dimmed: dict[str, tuple[float, float]] = {}  # the opacity of a layer before and after it was dimmed

    @property
    def scan(self) -> Layer | None:
        """The layer of the scan; None if it is not in the viewer."""
        return self._scan if self._scan is not None and self._scan in self.viewer.layers else None

    def open(self, explorer: Explorer, mask: np.ndarray, scan: Image) -> None:
        """Show a new analysis. `scan` is the layer of the scan; `mask` is bool (R, A, S).

        If the scan was analysed before, or is an edited version of the one before, its layers are used again, with the
        look that the user gave them: napari takes a second for new ones. All other layers of the previous analysis are
        removed.
        """
        before = self._explorer.scan.source if self._explorer is not None else None
        again = scan is self.scan or before is explorer.scan.source
        spare = self._detach() if again and self._shows_mask(mask) else {}
        self.clear()
        self._explorer, self._scan, self.pictures = explorer, scan, ShownMaps(explorer)
        volume, grid = explorer.scan, explorer.grid
        inside = volume.voxels[mask]
        placement.with_units(scan)
        mean, sd = explorer.bundle.config.grid.grey or (inside.mean(), inside.std())
        self._grey = float(mean), float(sd)
        scan.events.contrast_limits.connect(self._follow_window)
        known: dict[str, Any] = {"napari_vqad": volume, "napari_vqad_grid": grid}
        place = placement.placed_on(grid)
        self._scales = scale = limits(explorer)
        if volume.kind == "head":
            mask_layer = spare.pop("mask", None) or Labels(
                placement.to_canvas(mask).astype(np.uint8),
                name=MASK_NAME,
                visible=False,
                colormap=DirectLabelColormap(color_dict={None: (0, 0, 0, 0), 1: MASK}),
                **placement.placed_as(volume),
            )
            mask_layer.metadata = {"napari_vqad": volume}
            self._add("mask", mask_layer)
        for name, spec in explorer.maps.items():
            # The zeros that a layer starts with, in the memory layout of the maps that are copied into it.
            data = placement.to_canvas(np.zeros(grid.view.shape, np.uint8 if spec.role == "flagged" else np.float32))
            ends = self.window if spec.role == IN_WINDOW else scale.get(name)
            if name in spare and _lies(spare[name], data, place):
                layer = spare.pop(name)
                layer.data = data
                if isinstance(layer, Image):
                    layer.contrast_limits = ends
            else:
                layer = _new_layer(spec.role, data, ends, place)
            layer.name, layer.metadata = layer_name(spec), dict(known)
            self._add(name, layer)
        remove_layers(self.viewer, spare.values())
        for layer in self.layers.values():
            layer.events.visible.connect(self.refresh)
        for name in self._in_window():
            self.layers[name].events.contrast_limits.connect(self._follow_window)
        self.set_window(self.window)
        self.viewer.layers.selection.active = self._scan
        self.show(self.view)

    def _map_of(self, view: str, which: int) -> str | None:
        """The map of a view; None for the scan alone, and while nothing is explored."""
        return None if self._explorer is None else map_of(self._explorer.maps, view, which)

    def _in_window(self) -> list[str]:
        """The names of the layers that share the scan's window: the restorations."""
        return [] if self._explorer is None else [n for n in in_window(self._explorer.maps) if n in self.layers]

    def outline(self, on: bool) -> None:
        """Draw labels as outlines or filled. In 3D napari has no outlines and warns about them."""
        for layer in self.layers.values():
            if isinstance(layer, Labels):
                layer.contour = int(on)

    def _add(self, name: str, layer: Layer) -> None:
        if isinstance(layer, Labels):
            layer.contour = int(self.viewer.dims.ndisplay == 2)
        if layer not in self.viewer.layers:
            self._insert(layer)
        self.layers[name] = layer

    def _insert(self, layer: Layer) -> None:
        with self.viewer.layers.selection.events.changed.blocker():  # else napari makes layer controls for each
            self.viewer.layers.append(layer)

    def leave(self) -> None:
        """Hide the layers at once and remove them later: napari may be changing its list of layers now."""
        self._explorer = None
        for layer in self.layers.values():
            if layer.visible:
                layer.visible = False
        self._clear_timer.start()

    def clear(self) -> None:
        """Remove the layers from the viewer."""
        self._clear_timer.stop()
        if self._scan is not None:
            self._scan.events.contrast_limits.disconnect(self._follow_window)
            self._scan = None
        layers = self._detach().values()
        self._hidden.clear()
        self._dimmed.clear()
        # Pictures are forgotten before layers are removed: that draws marks, perhaps for an analysis of more slices.
        self._explorer = self.pictures = None
        remove_layers(self.viewer, layers)

    def _shows_mask(self, mask: np.ndarray) -> bool:
        """Is something explored, and does the layer of the mask show this one? Clips have no such layer."""
        layer = self.layers.get("mask")
        return self._explorer is not None and (layer is None or np.array_equal(layer.data, placement.to_canvas(mask)))

    def _detach(self) -> dict[str, Layer]:
        """Disconnect from the layers and forget them. Returns those that are still in the viewer."""
        self.dim(False)
        for layer in self.layers.values():
            layer.events.visible.disconnect(self.refresh)
        for name in self._in_window():
            self.layers[name].events.contrast_limits.disconnect(self._follow_window)
        there = {name: layer for name, layer in self.layers.items() if layer in self.viewer.layers}
        self.layers.clear()  # before any is removed, so that `on_removed` does not take this for the user's doing
        return there

    def on_removed(self, event: Any) -> None:
        """Emit `lost` if the user removed the layer of the current view. `show` adds it again."""
        wanted = self.layers.get(self.shown or "")
        if wanted is not None and wanted is event.value and not comparison_is_open(self.viewer):
            self.lost.emit(event.value.name)

    def show(self, view: str, which: int = MEAN) -> None:
        """Show the layer of one view and hide the other layers of the analysis.

        `which` is the restoration to show, counted from 1; `MEAN` and `SPREAD` are maps of all restorations. While a
        comparison uses the canvas, showing is deferred.
        """
        self._hidden.clear()  # the new view replaces the layers hidden by `hide_overlays`
        self.view, self.which = view, which
        self._show_deferred = comparison_is_open(self.viewer)
        if self._show_deferred:
            return
        for name, layer in self.layers.items():
            seen = name == self.shown
            if seen and layer not in self.viewer.layers:
                self._insert(layer)
            if name != "mask" and layer.visible != seen:  # napari rebuilds its scene even if nothing changes
                layer.visible = seen
        if self.scan is not None and not self.scan.visible:
            self.scan.visible = True
        self.refresh()
        self.viewed.emit()

    def hide_overlays(self, on: bool) -> None:
        """Hide all layers over the scan (True), or show them again (False)."""
        if comparison_is_open(self.viewer):
            self._show_deferred = True
            return
        if on and not self._hidden:
            self._hidden = [layer for layer in self.layers.values() if layer.visible]
        for layer in self._hidden:
            layer.visible = not on
        if not on:
            self._hidden.clear()

    def refresh_deferred(self) -> None:
        """After a comparison has ended, show the view that was requested during it."""
        if self._show_deferred and not comparison_is_open(self.viewer):
            self.show(self.view, self.which)

    def set_window(self, window: tuple[float, float]) -> None:
        """Set which values are black and white, in SD of the brain's intensity, for scan and restorations.

        They share one window, so that flicker shows only differences. napari's contrast slider of any of them sets it.
        """
        self.window = window
        for layer in (self.scan, *(self.layers[name] for name in self._in_window())):
            if layer is not None:
                mean, sd = self._grey_of(layer)
                # For restorations not below `DARK`, or they would not be transparent around the brain.
                low, high = window if layer is self.scan else (max(window[0], DARK), max(window[1], DARK + 0.1))
                with layer.events.contrast_limits.blocker(self._follow_window):
                    layer.contrast_limits = (mean + low * sd, mean + high * sd)
        self.windowed.emit()

    def _follow_window(self, event: Any) -> None:
        mean, sd = self._grey_of(event.source)
        low, high = event.source.contrast_limits
        self.set_window(((low - mean) / sd, (high - mean) / sd))

    def _grey_of(self, layer: Layer) -> tuple[float, float]:
        """Mean and SD of the brain in a layer: (0, 1) for restorations, which are in SD already."""
        return self._grey if layer is self._scan else (0.0, 1.0)

    def refresh(self) -> None:
        """Update the visible layers."""
        if self._explorer is None or self.pictures is None:
            return
        j = max(0, self.which - 1)
        for name, layer in self.layers.items():
            if name == "mask" or not layer.visible or layer not in self.viewer.layers:
                continue
            if (stack := self.pictures.newest(name, j)) is None:
                continue
            # Into the layer's own memory: new data would make napari measure all layers anew, and that takes longer.
            np.copyto(layer.data, placement.to_canvas(self.pictures.on_view(name, stack)))
            layer.refresh(extent=False)
        for name, spec in self._explorer.maps.items():
            if spec.indexed and name in self.layers:
                self.layers[name].name = layer_name(spec, j)

    @property
    def shown(self) -> str | None:
        """The name of the map that the view shows; None for the scan alone."""
        return self._map_of(self.view, self.which)

    def dim(self, on: bool) -> None:
        """Dim the map that is shown, or end dimming. An opacity that the user sets meanwhile is kept."""
        for name, layer in self.layers.items():
            dimmed = self._dimmed.get(name)
            if on and name == self.shown and dimmed is None:
                before = layer.opacity
                layer.opacity = DIM * before
                self._dimmed[name] = before, layer.opacity
            elif dimmed is not None and not (on and name == self.shown):
                if layer.opacity == dimmed[1]:
                    layer.opacity = dimmed[0]
                del self._dimmed[name]

    def mark(self) -> None:
        """Store in each layer's metadata why its data are not up to date; the file writers warn with it."""
        if self._explorer is None:
            return
        for name, layer in self.layers.items():
            if name != "mask":
                layer.metadata[PARTIAL] = self._why_old(name)

    def _why_old(self, name: str) -> str:
        assert self._explorer is not None
        assert self.pictures is not None
        explorer, drawn = self._explorer, self.pictures.settings_of(name)
        if not explorer.ready(name)[explorer.chosen()].all():
            return "some of its slices are not final yet"
        needed = {"slices", *Dependencies(explorer.detector).settings_of(name)}
        if drawn is None or any(getattr(drawn, s) != getattr(explorer.settings, s) for s in needed):
            return "it has not been shown since the settings changed; show it first"
        return ""

    def update_limits(self) -> bool:
        """Update colour limits that changed, for example with the method. Returns whether any changed."""
        if self._explorer is None:
            return False
        before, self._scales = self._scales, limits(self._explorer)
        changed = {name: ends for name, ends in self._scales.items() if before.get(name) != ends}
        for name, ends in changed.items():
            if name in self.layers:
                self.layers[name].contrast_limits = ends
        return bool(changed)
