"""The still picture of an analysis, for places without a front-end: saved notebooks, nbconvert, GitHub."""

from __future__ import annotations

import base64
import html
import io
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from IPython.display import display
from matplotlib.figure import Figure
from matplotlib.image import imsave
from numpy.typing import NDArray

from napari_vqad.display.scales import limits
from napari_vqad.display.slice_picture import PictureStyle, SlicePicture
from napari_vqad.display.views import map_of
from napari_vqad.engine.explorer import Explorer
from napari_vqad.export.contact_sheet import draw_sheet
from napari_vqad.scoring import Result

DPI = 84
REST = 1.0  # s after the last change until the picture is drawn again
ENLARGED = 5  # pixels of a picture without WebGL for a voxel of the grid
CLASS = "vqad-still"  # hidden where the explorer itself is shown


class Still:
    """The still picture of an explorer and its numbers, in an output of their own that is updated later."""

    def __init__(self, name: str, result: Callable[[], Result | None]) -> None:
        """`name` is that of the scan; `result` returns the analysis, None until there is one."""
        self._name, self._result = name, result
        self._output: Any = None
        self._timer: threading.Timer | None = None
        self._png: bytes | None = None
        self._drawn: tuple = ()  # what the picture shows
        self._closed = False

    def display(self) -> None:
        """Add the output to the cell."""
        self._output = display(self.bundle(), raw=True, display_id=True)

    def bundle(self) -> dict[str, Any]:
        """The MIME bundle of picture and numbers."""
        result = self._result()
        if result is None:
            return bundle_of(None, f"{self._name}: not analysed yet.")
        return bundle_of(self._png, f"{self._name} · {result.explorer.bundle.title}\n{result.summary()}")

    def draw_later(self) -> None:
        """Draw the picture once nothing has changed for a while."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = threading.Timer(REST, self.draw)
        self._timer.daemon = True
        self._timer.start()

    def draw(self) -> None:
        """Draw the picture of a complete analysis, and update the saved output."""
        result = self._result()
        if self._closed or result is None or not result.explorer.complete:
            return
        drawn = id(result.explorer), result.explorer.settings, result.explorer.focus
        if drawn == self._drawn:
            return
        self._drawn, self._png = drawn, still_png(result)
        if self._output is not None:
            self._output.update(self.bundle(), raw=True)

    def close(self) -> None:
        """Draw nothing any more; the output stays."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()


def png_of(figure: Figure) -> bytes:
    """A figure as PNG."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # characters that no font has become boxes
        figure.savefig(file, dpi=DPI)
    return file.getvalue()


def still_png(result: Result) -> bytes:
    """One row of the contact sheet: the scan and all maps of the slice in view, with scores, settings and model."""
    explorer = result.explorer
    return png_of(draw_sheet(explorer, result.volume.name, [explorer.focus]))


def bundle_of(png: bytes | None, words: str) -> dict[str, Any]:
    """The MIME bundle of a picture and its numbers; the HTML is hidden where the explorer itself is shown."""
    if png is None:
        return {"text/plain": words, "text/html": f'<div class="{CLASS}"><pre>{html.escape(words)}</pre></div>'}
    data = base64.b64encode(png).decode("ascii")
    picture = f'<img alt="{html.escape(words)}" src="data:image/png;base64,{data}">'
    return {
        "text/html": f'<div class="{CLASS}">{picture}<pre>{html.escape(words)}</pre></div>',
        "image/png": data,
        "text/plain": words,
    }


def slice_png(explorer: Explorer, i: int, view: str, which: int) -> bytes:
    """One slice of a view as a picture of its own, for a browser without WebGL: the patient's right is on the left."""
    frame, name = SlicePicture(explorer.grid, i, PictureStyle()), map_of(explorer.maps, view, which)
    scan = explorer.grid.slices[i]
    rgb: NDArray
    if name is None:
        rgb = frame.grey(scan)
    else:
        values = explorer.map(name, max(0, which - 1))[i]
        ends = limits(explorer).get(name, (0.0, 1.0))
        rgb = frame.grey(values) if explorer.maps[name].role == "restoration" else frame.heated(values, ends)
    file = io.BytesIO()
    imsave(file, np.kron(np.clip(rgb, 0, 1), np.ones((ENLARGED, ENLARGED, 1))), format="png")
    return file.getvalue()
