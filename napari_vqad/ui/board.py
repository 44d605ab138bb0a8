"""The layers: made once for a scan, named in field terms, brought up to date when they are seen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import Colormap, DirectLabelColormap
from napari.viewer import Viewer
from psygnal import Signal

from napari_vqad.explorer import Explorer
from napari_vqad.sheet import WINDOW, heat, limits
from napari_vqad.ui import frame
from napari_vqad.ui.lent import is_lent

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
    shown = Signal()  # another question is shown, or another analysis

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self.layers: dict[str, Layer] = {}
        self.view, self.which = "Scan", MEAN
        self.window: tuple[float, float] = WINDOW  # SD of the brain's intensity, for scan and restorations alike
        self._grey = (0.0, 1.0)  # mean and SD of the scan's grey values within the mask
        self._explorer: Explorer | None = None
        self._scan: Layer | None = None
        self._held: list[Layer] = []
        self._late = False  # was something asked for while the canvas was lent?
        self._drawn: dict[str, np.ndarray] = {}  # the map that each layer shows

    @property
    def scan(self) -> Layer | None:
        """The scan's layer, while it is there."""
        return self._scan if self._scan is not None and self._scan in self.viewer.layers else None

    def open(self, explorer: Explorer, mask: np.ndarray) -> None:
        """Replace the layers of the scan before by those of this one."""
        self.clear()
        self._explorer = explorer
        volume, grid = explorer.volume, explorer.grid
        assert volume is not None  # a session opens scans, not bare grids
        images = [m for m in self.viewer.layers if isinstance(m, Image) and "napari_vqad_grid" not in m.metadata]
        self._scan = next((layer for layer in images if layer.metadata.get("napari_vqad") is volume), None)
        if self._scan is None:  # made of another reader's layer
            self._scan = next((layer for layer in self.viewer.layers if layer.name == volume.name), None)
        inside = volume.voxels[mask]
        if self._scan is not None:
            frame.with_units(self._scan)
            mean, sd = explorer.bundle.config.grid.grey or (inside.mean(), inside.std())
            self._grey = float(mean), float(sd)
            self._scan.events.contrast_limits.connect(self._follow_window)
        known: dict[str, Any] = {"napari_vqad": volume, "napari_vqad_grid": grid}
        on_grid = {"metadata": known, "visible": False, **frame.placed_on(grid)}
        colours, scale = heat_colours(), limits(explorer)

        def nothing(dtype: type = np.float32) -> np.ndarray:
            """The memory of a layer, laid out as the maps are, which are copied into it."""
            return frame.to_canvas(np.zeros(grid.view.shape, dtype))

        if volume.kind == "head":
            mask_layer = Labels(
                frame.to_canvas(mask).astype(np.uint8),
                name=NAMES["mask"],
                visible=False,
                colormap=DirectLabelColormap(color_dict={None: (0, 0, 0, 0), 1: MASK}),
                metadata={"napari_vqad": volume},
                **frame.placed_as(volume),
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

    def outline(self, on: bool) -> None:
        """Draw labels as outlines, as in slices, or filled: napari has no outlines in 3D, and warns of them."""
        for layer in self.layers.values():
            if isinstance(layer, Labels):
                layer.contour = int(on)

    def _add(self, name: str, layer: Layer) -> None:
        if isinstance(layer, Labels):
            layer.contour = int(self.viewer.dims.ndisplay == 2)
        with self.viewer.layers.selection.events.changed.blocker():  # napari would make a panel of controls for each
            self.viewer.layers.append(layer)
        self.layers[name] = layer

    def clear(self) -> None:
        """Take the layers out of the viewer."""
        if self._scan is not None:
            self._scan.events.contrast_limits.disconnect(self._follow_window)
            self._scan = None
        for layer in self.layers.values():
            layer.events.visible.disconnect(self.refresh)
        remove_layers(self.viewer, self.layers.values())
        self.layers.clear()
        self._held.clear()
        self._drawn.clear()
        self._explorer = None

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
        wanted = VIEWS[view]
        if view == "Restoration" and which != MEAN:
            wanted = ("disagreement",) if which == DISAGREEMENT else ("restoration_j",)
        for name, layer in self.layers.items():
            if name != "mask":
                layer.visible = name in wanted
        if self.scan is not None:
            self.scan.visible = True
        self.refresh()
        self.shown.emit()

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
            stack = self._explorer.map(name, j)
            if stack is self._drawn.get(name):
                continue
            self._drawn[name] = stack
            if name.startswith("restoration"):  # beyond mask and grid clear; a flat grey where there is none yet
                shown = grid.on_view(np.where(grid.mask, stack, np.float32(DARK)), beyond=DARK)
            else:
                shown = grid.on_view(stack, order=0 if name == "flagged" else 1)
            # Into the layer's own memory: new data would make napari measure all layers anew, and that takes longer.
            np.copyto(layer.data, frame.to_canvas(shown))
            layer.refresh(extent=False)
        if "restoration_j" in self.layers:
            self.layers["restoration_j"].name = f"Restoration {j + 1}"

    def rescale(self) -> None:
        """Set the scales anew: another method has another healthy range."""
        if self._explorer is not None:
            for name, range_ in limits(self._explorer).items():
                self.layers[name].contrast_limits = range_
