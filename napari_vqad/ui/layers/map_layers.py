"""The layers: made once for a scan, named in field terms, brought up to date when they are seen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import Colormap, DirectLabelColormap
from napari.viewer import Viewer
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_vqad.display.colours import heat
from napari_vqad.display.scales import WINDOW, limits
from napari_vqad.engine.explorer import Explorer
from napari_vqad.ui.compare.canvas_state import PARTIAL, is_lent
from napari_vqad.ui.layers import placement

NAMES = {
    "mask": "Brain mask",
    "nll": "NLL (nats)",
    "restoration": "Restoration (mean of S)",
    "restoration_j": "Restoration 1",
    "disagreement": "Disagreement (SD)",
    "residual": "Residual (SD)",
    "pixel_score": "Pixel score",
    "flagged": "Flagged",
}
# One question at a time: the scan, how unlikely is it, what would be healthy, what differs, where, what is flagged.
VIEWS: dict[str, tuple[str, ...]] = {
    "Scan": (),
    "NLL": ("nll",),
    "Restoration": ("restoration",),
    "Residual": ("residual",),
    "Score": ("pixel_score",),
    "Flagged": ("flagged",),
}
RESTORED = ("restoration", "restoration_j")  # layers in the scan's window
MEAN, DISAGREEMENT = 0, -1  # of the restorations, where one of them has a number from 1
DIM = 0.4  # of a layer's opacity, while its picture is of the settings before
DARK = -6.0  # SD, below every window: restorations are clear there, so that the scan is seen around the brain
FLAG = (1.0, 0.62, 0.11, 1.0)
MASK = (0.35, 0.75, 1.0, 1.0)


def heat_colours() -> Colormap:
    """The colours of a map, clear at its low end."""
    return Colormap(heat()(np.linspace(0, 1, 256)), name="vqad heat")


def remove_layers(viewer: Viewer, layers: Iterable[Layer]) -> None:
    """Take those out that are still there, at once: else napari collects garbage and draws anew after each."""
    there = [layer for layer in layers if layer in viewer.layers]
    if there:
        with viewer.layers.batched_update():
            for layer in there:
                viewer.layers.remove(layer)


class Board:
    """Owns the layers that an analysis adds to the viewer."""

    windowed = Signal()  # another window
    lost = Signal(str)  # the person took out the layer of the view that is shown: its name
    viewed = Signal()  # another view

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self._soon = QTimer()
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.timeout.connect(self.clear)
        self.layers: dict[str, Layer] = {}
        self.view, self.which = "Scan", MEAN
        self.window: tuple[float, float] = WINDOW  # SD of the brain's intensity, for scan and restorations alike
        self._grey = (0.0, 1.0)  # mean and SD of the scan's grey values within the mask
        self._explorer: Explorer | None = None
        self._scan: Layer | None = None
        self._held: list[Layer] = []
        self._late = False  # was something asked for while the canvas was lent?
        self._drawn: dict[str, tuple] = {}  # what each layer shows: map, final slices, which, settings
        self._stack: dict[str, np.ndarray] = {}  # of each layer, (n, H, W): the newest final picture of each slice
        self._filled: dict[str, np.ndarray] = {}  # bool (n,), slices that have one
        self._dimmed: dict[str, tuple[float, float]] = {}  # the opacity of a layer before it was dimmed, and since

    @property
    def scan(self) -> Layer | None:
        """The scan's layer, while it is there."""
        return self._scan if self._scan is not None and self._scan in self.viewer.layers else None

    def open(self, explorer: Explorer, mask: np.ndarray, scan: Image) -> None:
        """Replace the layers of the scan before by those of this one, whose layer is `scan`."""
        self.clear()
        self._explorer, self._scan = explorer, scan
        volume, grid = explorer.volume, explorer.grid
        assert volume is not None  # a session opens scans, not bare grids
        inside = volume.voxels[mask]
        placement.with_units(scan)
        mean, sd = explorer.bundle.config.grid.grey or (inside.mean(), inside.std())
        self._grey = float(mean), float(sd)
        scan.events.contrast_limits.connect(self._follow_window)
        known: dict[str, Any] = {"napari_vqad": volume, "napari_vqad_grid": grid}
        on_grid = {"metadata": known, "visible": False, **placement.placed_on(grid)}
        colours, scale = heat_colours(), limits(explorer)

        def nothing(dtype: type = np.float32) -> np.ndarray:
            """The memory of a layer, laid out as the maps are, which are copied into it."""
            return placement.to_canvas(np.zeros(grid.view.shape, dtype))

        if volume.kind == "head":
            mask_layer = Labels(
                placement.to_canvas(mask).astype(np.uint8),
                name=NAMES["mask"],
                visible=False,
                colormap=DirectLabelColormap(color_dict={None: (0, 0, 0, 0), 1: MASK}),
                metadata={"napari_vqad": volume},
                **placement.placed_as(volume),
            )
            self._add("mask", mask_layer)
        for name in RESTORED:
            restored = Image(
                nothing(),
                name=NAMES[name],
                colormap=Colormap(
                    [[0, 0, 0, 0], [0, 0, 0, 1], [1, 1, 1, 1]], controls=[0, 1 / 256, 1], name="vqad brain"
                ),
                contrast_limits=self.window,
                interpolation2d="linear",
                blending="translucent",
                **on_grid,
            )
            self._add(name, restored)
        for name in ("nll", "disagreement", "residual", "pixel_score"):
            heat_map = Image(
                nothing(),
                name=NAMES[name],
                colormap=colours,
                contrast_limits=scale[name],
                interpolation2d="linear",
                blending="translucent",
                **on_grid,
            )
            self._add(name, heat_map)
        flagged = Labels(
            nothing(np.uint8),
            name=NAMES["flagged"],
            colormap=DirectLabelColormap(color_dict={None: (0, 0, 0, 0), 1: FLAG}),
            opacity=0.9,
            **on_grid,
        )
        self._add("flagged", flagged)
        for layer in self.layers.values():
            layer.events.visible.connect(self.refresh)
        for name in RESTORED:
            self.layers[name].events.contrast_limits.connect(self._follow_window)
        self.set_window(self.window)
        self.viewer.layers.selection.active = self._scan
        self.show(self.view)

    @staticmethod
    def _names(view: str, which: int) -> tuple[str, ...]:
        """The layers of a view."""
        if view == "Restoration" and which != MEAN:
            return ("disagreement",) if which == DISAGREEMENT else ("restoration_j",)
        return VIEWS[view]

    def outline(self, on: bool) -> None:
        """Draw labels as outlines, as in slices, or filled: napari has no outlines in 3D, and warns of them."""
        for layer in self.layers.values():
            if isinstance(layer, Labels):
                layer.contour = int(on)

    def _add(self, name: str, layer: Layer) -> None:
        if isinstance(layer, Labels):
            layer.contour = int(self.viewer.dims.ndisplay == 2)
        self._insert(layer)
        self.layers[name] = layer

    def _insert(self, layer: Layer) -> None:
        with self.viewer.layers.selection.events.changed.blocker():  # napari would make a panel of controls for each
            self.viewer.layers.append(layer)

    def leave(self) -> None:
        """The scan is gone: hide the layers at once, and take them out a moment later.

        At once is too early: napari may be changing its list of layers just now.
        """
        self._explorer = None
        for layer in self.layers.values():
            layer.visible = False
        self._soon.start()

    def clear(self) -> None:
        """Take the layers out of the viewer."""
        self._soon.stop()
        if self._scan is not None:
            self._scan.events.contrast_limits.disconnect(self._follow_window)
            self._scan = None
        layers = list(self.layers.values())
        for layer in layers:
            layer.events.visible.disconnect(self.refresh)
        self.layers.clear()  # before they go: what goes now was not taken out by the person
        remove_layers(self.viewer, layers)
        self._held.clear()
        for kept in (self._drawn, self._stack, self._filled, self._dimmed):
            kept.clear()
        self._explorer = None

    def on_removed(self, event: Any) -> None:
        """A layer was taken out: of the maps, `show` brings it back, and until then the scan is shown."""
        wanted = [self.layers[name] for name in self._names(self.view, self.which) if name in self.layers]
        if self._explorer is not None and any(layer is event.value for layer in wanted) and not is_lent(self.viewer):
            self.lost.emit(event.value.name)

    def show(self, view: str, which: int = MEAN) -> None:
        """Show the layers of one question, and hide the others of the analysis.

        `which` is the restoration to show, counted from 1; `MEAN` and `DISAGREEMENT` are of all. While the canvas is
        lent to a comparison it is shown later.
        """
        self._held.clear()  # what was hidden for a while is not what is asked for now
        self.view, self.which = view, which
        self._late = is_lent(self.viewer)
        if self._late:
            return
        wanted = self._names(view, which)
        for name, layer in self.layers.items():
            seen = name in wanted and self._explorer is not None
            if seen and layer not in self.viewer.layers:
                self._insert(layer)
            if name != "mask":
                layer.visible = seen
        if self.scan is not None:
            self.scan.visible = True
        self.refresh()
        self.viewed.emit()

    def hide(self, on: bool) -> None:
        """Show the scan alone for a while, without forgetting what was shown."""
        if is_lent(self.viewer):
            self._late = True
            return
        if on and not self._held:
            self._held = [layer for layer in self.layers.values() if layer.visible]
        for layer in self._held:
            layer.visible = not on
        if not on:
            self._held.clear()

    def catch_up(self) -> None:
        """Show what was asked for while the canvas was lent, once it is given back."""
        if self._late and not is_lent(self.viewer):
            self.show(self.view, self.which)

    def set_window(self, window: tuple[float, float]) -> None:
        """What is black and what is white, in SD of the brain's intensity; of scan and restorations alike.

        One window, so that flicker shows differences alone. It follows napari's own slider of any of them, too.
        """
        self.window = window
        for layer in (self.scan, *(self.layers.get(name) for name in RESTORED)):
            if layer is not None:
                mean, sd = self._grey_of(layer)
                # Restorations never below what is clear, or all beyond the brain would be covered.
                low, high = window if layer is self.scan else (max(window[0], DARK), max(window[1], DARK + 0.1))
                with layer.events.contrast_limits.blocker(self._follow_window):
                    layer.contrast_limits = (mean + low * sd, mean + high * sd)
        self.windowed.emit()

    def _follow_window(self, event: Any) -> None:
        mean, sd = self._grey_of(event.source)
        low, high = event.source.contrast_limits
        self.set_window(((low - mean) / sd, (high - mean) / sd))

    def _grey_of(self, layer: Layer) -> tuple[float, float]:
        """Mean and SD of the brain in a layer: restorations are in SD already."""
        return self._grey if layer is self._scan else (0.0, 1.0)

    def refresh(self) -> None:
        """Bring what is seen up to date."""
        if self._explorer is None:
            return
        grid, j = self._explorer.grid, max(0, self.which - 1)
        for name, layer in self.layers.items():
            if name == "mask" or not layer.visible or layer not in self.viewer.layers:
                continue
            stack = self._newest(name, j)
            if stack is None:
                continue
            if name.startswith("restoration"):  # beyond mask and grid clear; a flat grey where there is none yet
                shown = grid.on_view(np.where(grid.mask, stack, np.float32(DARK)), beyond=DARK)
            else:
                shown = grid.on_view(stack, order=0 if name == "flagged" else 1)
            # Into the layer's own memory: new data would make napari measure all layers anew, and that takes longer.
            np.copyto(layer.data, placement.to_canvas(shown))
            layer.refresh(extent=False)
        if "restoration_j" in self.layers:
            self.layers["restoration_j"].name = f"Restoration {j + 1}"

    def _newest(self, name: str, j: int) -> np.ndarray | None:
        """The map with, in each slice that is not final, the picture that was final before; None if it is drawn."""
        assert self._explorer is not None
        ready, of, known = self._explorer.ready(name), j if name == "restoration_j" else 0, self._drawn.get(name)
        if known is not None and known[2] != of:  # another restoration is no older picture of this one
            self._stack.pop(name)
            self._filled.pop(name)
        before, filled = self._stack.get(name), self._filled.get(name, np.zeros(len(ready), bool))
        if before is not None and known is not None and known[2] == of and not ready.any():
            return None  # nothing of it is final: as it is
        stack = self._explorer.map(name, j)
        self._drawn[name] = stack, ready, of, self._explorer.settings
        if known is not None and known[0] is stack and known[2] == of and np.array_equal(known[1], ready):
            return None
        old = np.zeros_like(stack) if before is None else before
        needed = ready | ~self._explorer.chosen()
        self._stack[name] = stack if needed.all() else np.where(needed[:, None, None], stack, old)
        self._filled[name] = filled | ready
        return self._stack[name]

    @property
    def shown(self) -> str | None:
        """The map of the view; None for the scan alone."""
        names = self._names(self.view, self.which)
        return names[0] if names else None

    def holds(self, name: str, index: int) -> bool:
        """Does a layer show a picture of this slice that was final once?"""
        filled = self._filled.get(name)
        return filled is not None and bool(filled[index])

    def dim(self, on: bool) -> None:
        """Dim the map that is shown, and no other; an opacity that the person sets meanwhile stays."""
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
        """Say in each layer's metadata why its data are not the map as it is now, for whoever writes them to a file."""
        if self._explorer is None:
            return
        for name, layer in self.layers.items():
            if name != "mask":
                layer.metadata[PARTIAL] = self._why_old(name)

    def _why_old(self, name: str) -> str:
        assert self._explorer is not None
        drawn, cheap = self._drawn.get(name), {"lambda_s": 0.0, "flag_slices": 0.0}  # they change no map
        if not self._explorer.ready(name)[self._explorer.chosen()].all():
            return "some of its slices are not final yet"
        if drawn is None or drawn[3].model_copy(update=cheap) != self._explorer.settings.model_copy(update=cheap):
            return "it was not shown since the settings changed; show it first"
        return ""

    def rescale(self) -> None:
        """Set the scales anew: another method has another healthy range."""
        if self._explorer is not None:
            for name, range_ in limits(self._explorer).items():
                self.layers[name].contrast_limits = range_
