"""The window of scan and restorations, in SD of the brain's intensity, since MR has no units."""

from __future__ import annotations

from typing import NamedTuple

from napari_vqad.display.scales import WINDOW

DARK = -6.0  # SD, below every window: restorations are transparent there and show the scan around the brain


class Preset(NamedTuple):
    """The values shown as black and white, in SD, and the use of the window."""

    window: tuple[float, float]
    use: str


PRESETS = {
    "Narrow": Preset((-1.0, 1.5), "grey against white matter"),
    "Brain": Preset(WINDOW, "the whole brain"),
    "Wide": Preset((-2.5, 6.0), "also what is brighter than brain"),
}
PER_PIXEL = 1 / 200  # doublings of the width per pixel; for the level, fractions of the width per pixel
NARROWEST, WIDEST = 0.2, 10.0  # SD


def dragged(window: tuple[float, float], right: float, up: float) -> tuple[float, float]:
    """The window after a drag in canvas pixels. A drag to the right widens it, upwards raises its level."""
    level, width = (window[0] + window[1]) / 2, window[1] - window[0]
    wide = min(max(width * 2 ** (right * PER_PIXEL), NARROWEST), WIDEST)
    level += up * PER_PIXEL * width
    low = max(level - wide / 2, DARK)
    return low, low + wide


def in_words(window: tuple[float, float]) -> str:
    """The text of a window, such as "Window 5.0, level +0.0 SD"."""
    return f"Window {window[1] - window[0]:.1f}, level {(window[0] + window[1]) / 2:+.1f} SD"
