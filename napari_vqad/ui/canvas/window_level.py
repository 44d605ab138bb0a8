"""Window and level: presets on keys, and dragging with Shift. In SD of the brain's intensity, since MR has no units."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from napari.components import ViewerModel

from napari_vqad.display.scales import WINDOW
from napari_vqad.ui.layers.map_layers import DARK, MapLayers
from napari_vqad.ui.plumbing.connections import ViewerConnections
from napari_vqad.ui.plumbing.shortcuts import BRAIN, NARROW, WIDE

# Name → key, black and white in SD, what it is for.
PRESETS: dict[str, tuple[str, tuple[float, float], str]] = {
    "Narrow": (NARROW, (-1.0, 1.5), "grey against white matter"),
    "Brain": (BRAIN, WINDOW, "the whole brain"),
    "Wide": (WIDE, (-2.5, 6.0), "what is brighter than brain, too"),
}
PER_PIXEL = 1 / 200  # of a doubling of the width, and of the width for the level
NARROWEST, WIDEST = 0.2, 10.0  # SD


def dragged(window: tuple[float, float], right: float, up: float) -> tuple[float, float]:
    """The window after a drag, in canvas pixels: to the right it widens, upwards its level rises."""
    level, width = (window[0] + window[1]) / 2, window[1] - window[0]
    wide = min(max(width * 2 ** (right * PER_PIXEL), NARROWEST), WIDEST)
    level += up * PER_PIXEL * width
    low = max(level - wide / 2, DARK)
    return low, low + wide


def in_words(window: tuple[float, float]) -> str:
    """ "Window 5.0, level +0.0 SD"."""
    return f"Window {window[1] - window[0]:.1f}, level {(window[0] + window[1]) / 2:+.1f} SD"


class WindowLevel:
    """Sets the window of a board. `say` is told what it is while it changes, and "" when that is over."""

    def __init__(self, connections: ViewerConnections, map_layers: MapLayers, say: Callable[[str], None]) -> None:
        self.map_layers, self.say = map_layers, say
        connections.add_mouse_drag(self._drag)

    def preset(self, name: str) -> None:
        """Take one of `PRESETS`."""
        self.map_layers.set_window(PRESETS[name][1])

    def _drag(self, viewer: ViewerModel, event: Any) -> Iterator[None]:
        """Shift and the left button: with Shift napari neither pans nor zooms. A layer being painted on keeps it."""
        active = viewer.layers.selection.active
        free = active is None or active.mode == "pan_zoom"
        if self.map_layers.scan is None or not free or event.button != 1 or set(event.modifiers) != {"Shift"}:
            return
        start, (x, y) = self.map_layers.window, event.pos
        yield
        while event.type == "mouse_move":
            self.map_layers.set_window(dragged(start, event.pos[0] - x, y - event.pos[1]))
            self.say(in_words(self.map_layers.window))
            yield
        self.say("")
