"""Mark results that are not final: dim the old picture, and write on the canvas what it waits for."""

from __future__ import annotations

from textwrap import wrap

from napari.components.overlays import TextOverlay

from napari_vqad.display.shown_maps import state_in_words
from napari_vqad.ui.compare.canvas_state import comparison_is_open
from napari_vqad.ui.layers import placement
from napari_vqad.ui.session import Session

NAME, AMBER, GROUND = "vqad_unfinished", "#ffb454", "#1b1206"
WIDE = 26  # characters per line, to fit beside the letter at the top of a small canvas


class Unfinished:
    """Updates the mark during an analysis, when it stops, and when the slice or the view changes."""

    def __init__(self, session: Session) -> None:
        self.session, self.viewer = session, session.viewer
        connections, shown = session.connections, self.viewer.canvas.overlays
        # With its own background, because the canvas is white in the bright theme.
        shown[NAME] = TextOverlay(text="", position="top_right", font_size=9, color=AMBER, box_color=GROUND)
        connections.on_close(lambda: shown.pop(NAME))
        connections.connect(self.viewer.dims.events.order, self.refresh)
        connections.connect(self.viewer.dims.events.ndisplay, self.refresh)
        for event in (self.viewer.layers.events.inserted, self.viewer.layers.events.removed):
            connections.connect(event, self.refresh)
        for signal in (session.opened, session.emptied, session.settled, session.moved, session.drawn, session.busy):
            signal.connect(lambda *_: self.refresh())
        session.map_layers.viewed.connect(self.refresh)

    @property
    def text(self) -> str:
        """The text on the canvas, in one line."""
        return self.viewer.canvas.overlays[NAME].text.replace("\n", " ")

    def refresh(self) -> None:
        """Update the dimming and the sentence."""
        map_layers, words = self.session.map_layers, ""
        if not comparison_is_open(self.viewer):
            waits, words = self._state()
            map_layers.dim(waits)
        words = "\n".join(wrap(words, WIDE))
        overlay = self.viewer.canvas.overlays[NAME]
        if overlay.text != words:
            overlay.text = words
            overlay.visible = bool(words)
        map_layers.mark()

    def _state(self) -> tuple[bool, str]:
        """Is the picture in view out of date, so that it is dimmed? And the sentence to show."""
        explorer, map_layers = self.session.explorer, self.session.map_layers
        name = map_layers.shown
        if explorer is None or name is None or map_layers.pictures is None:
            return False, ""
        plane = placement.plane_of(self.viewer.dims)
        along = plane is not None and 3 - sum(plane) == 2 - explorer.grid.axis
        return state_in_words(explorer, map_layers.pictures, name, self.session.running, along)
