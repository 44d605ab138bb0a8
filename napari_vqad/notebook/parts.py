"""The widgets that ipywidgets lacks: a profile with bars to click, tables with rows to choose, and the browser's word.

Their front-ends are in `static/`. Nothing is fetched from a network.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets

from napari_vqad.display import colours
from napari_vqad.display.profile import SliceProfile

STATIC = Path(__file__).parent / "static"
CSS = STATIC / "explorer.css"


class Browser(anywidget.AnyWidget):
    """Says whether the browser has WebGL 2: "unknown" until it is shown, then "yes" or "no"."""

    _esm = STATIC / "browser.js"
    _css = CSS
    webgl = traitlets.Unicode("unknown").tag(sync=True)


class Rows(anywidget.AnyWidget):
    """A table; a click or Enter on a row calls `chosen` with its number."""

    _esm = STATIC / "rows.js"
    columns = traitlets.List(traitlets.List(traitlets.Unicode())).tag(sync=True)  # title and tooltip of each
    rows = traitlets.List(traitlets.List(traitlets.Unicode())).tag(sync=True)
    here = traitlets.List(traitlets.Int()).tag(sync=True)  # the rows of what is in view
    stale = traitlets.Bool(False).tag(sync=True)  # do the rows come from earlier settings?

    def __init__(self, chosen: Callable[[int], None]) -> None:
        super().__init__()
        self.on_msg(lambda _widget, content, _buffers: chosen(int(content["row"])))


class Profile(anywidget.AnyWidget):
    """The slice scores as bars; a click on a bar, or an arrow key, calls `chosen` with the slice."""

    _esm = STATIC / "profile.js"
    bars: traitlets.List = traitlets.List().tag(sync=True)  # score, flagged, waiting of each bar
    curve = traitlets.List(traitlets.Float()).tag(sync=True)
    words = traitlets.List(traitlets.Unicode()).tag(sync=True)  # tooltip of each bar
    look = traitlets.Dict().tag(sync=True)  # numbers, texts and colours
    here = traitlets.Int(0).tag(sync=True)  # the bar of the slice in view

    def __init__(self, chosen: Callable[[int], None]) -> None:
        super().__init__()
        self._order = np.zeros(0, int)
        self.on_msg(lambda _widget, content, _buffers: self._on_bar(int(content["bar"]), chosen))

    def _on_bar(self, bar: int, chosen: Callable[[int], None]) -> None:
        if bar < len(self._order):
            chosen(int(self._order[bar]))

    def show_scores(self, shown: SliceProfile, here: int) -> None:
        """Show a profile, and the slice in view (its grid index)."""
        self._order, scores = shown.order, np.nan_to_num(shown.scores)
        look: dict[str, Any] = {"top": shown.top, "threshold": shown.threshold}
        look |= {"top_text": shown.number(shown.top), "threshold_text": shown.number(shown.threshold)}
        look |= {"bar": colours.BAR, "flagged": colours.ALERT, "here": colours.HERE}
        bars, curve = shown.names
        look |= {"first": shown.places[shown.order[0]], "last": shown.places[shown.order[-1]], "title": bars}
        look["title_long"] = f"{bars} (curve: {curve})" if curve and len(shown.sample) else bars
        with self.hold_sync():
            self.look = look
            self.bars = [
                [round(float(scores[i]), 4), bool(shown.flagged[i]), bool(shown.waiting[i])] for i in shown.order
            ]
            self.curve = [round(float(v), 4) for v in shown.sample[shown.order]] if len(shown.sample) else []
            self.words = [shown.words(int(i)) for i in shown.order]
            self.show_here(here)

    def show_here(self, here: int) -> None:
        """Mark the slice in view."""
        self.here = int(np.flatnonzero(self._order == here)[0]) if len(self._order) else 0
