"""The window of scan and restorations, in SD of the brain's intensity, since MR has no units."""

from __future__ import annotations

from typing import NamedTuple

from napari_vqad.display.scales import WINDOW

DARK = -6.0  # SD, below every window: restorations are clear there, so that the scan is seen around the brain


class Preset(NamedTuple):
    """Black and white in SD, and what the window is for."""

    window: tuple[float, float]
    use: str


PRESETS = {
    "Narrow": Preset((-1.0, 1.5), "grey against white matter"),
    "Brain": Preset(WINDOW, "the whole brain"),
    "Wide": Preset((-2.5, 6.0), "what is brighter than brain, too"),
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
