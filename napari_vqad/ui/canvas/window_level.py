"""Window and level by preset keys and by dragging with Shift, in SD of the brain's intensity: MR has no units."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from napari.components import ViewerModel

from napari_vqad.display.window import PRESETS, dragged, in_words
from napari_vqad.ui.layers.map_layers import MapLayers
from napari_vqad.ui.plumbing.connections import ViewerConnections
from napari_vqad.ui.plumbing.shortcuts import BRAIN, NARROW, WIDE

KEYS = {"Narrow": NARROW, "Brain": BRAIN, "Wide": WIDE}  # preset → key


class WindowLevel:
    """Sets the window of the layers. `say` is called with the window during a drag, and with "" at its end."""

    def __init__(self, connections: ViewerConnections, map_layers: MapLayers, say: Callable[[str], None]) -> None:
        self.map_layers, self.say = map_layers, say
        connections.add_mouse_drag(self._drag)

    def preset(self, name: str) -> None:
        """Set the window to one of `PRESETS`."""
        self.map_layers.set_window(PRESETS[name].window)

    def _drag(self, viewer: ViewerModel, event: Any) -> Iterator[None]:
        """Change the window on Shift + left drag, unless the active layer is in another mode, such as painting.

        With Shift napari itself neither pans nor zooms.
        """
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
