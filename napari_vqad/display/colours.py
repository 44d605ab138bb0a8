"""The colours that the viewer, still pictures and reports share."""

from __future__ import annotations

from matplotlib.colors import LinearSegmentedColormap

INK, FAINT, PAPER, ALERT = "#e8e8ea", "#8a8a92", "#101014", "#ff9f1c"
BAR, HERE = "#7d8a99", "#59bfff"  # of the slice profile: a slice that is not flagged, and the slice in view
FLAG = (1.0, 0.62, 0.11, 1.0)  # flagged voxels
DIM = 0.4  # factor on a map's opacity while its picture is from earlier settings


def heat() -> LinearSegmentedColormap:
    """The colour map: transparent at zero, then dark red to orange to pale yellow.

    It is readable in grey and by the colour-blind.
    """
    stops = [
        (0.0, (0.25, 0.0, 0.1, 0.0)),
        (0.25, (0.55, 0.05, 0.2, 0.55)),
        (0.6, (0.95, 0.45, 0.1, 0.85)),
        (1.0, (1.0, 0.97, 0.75, 1.0)),
    ]
    return LinearSegmentedColormap.from_list("heat", stops)
