"""The ROC and the precision-recall plot of labelled scans."""

from __future__ import annotations

import numpy as np

from napari_vqad.display.rate_plot import RateLine, RatePlot
from napari_vqad.tuning.curves import AtThreshold
from napari_vqad.tuning.figures import Figures


def plots(figures: Figures, thresholds: tuple[float, float] | None) -> tuple[RatePlot, RatePlot] | None:
    """Return the ROC and the precision-recall plot; None without positives or without negatives.

    `thresholds` are the present ones of voxels and slices, which get a marker.
    """
    curves = [
        (name, one, which)
        for which, (name, one) in enumerate((("voxels", figures.voxels), ("slices", figures.slices)))
        if one is not None and one.known
    ]
    if not curves:
        return None
    lines: tuple[list[RateLine], list[RateLine]] = ([], [])
    for name, one, which in curves:
        at = AtThreshold(*[np.nan] * 4) if thresholds is None else one.at(thresholds[which])
        for of_plot, (x, y), (mark_x, mark_y) in zip(
            lines,
            ((one.fpr, one.sensitivity), (one.sensitivity, one.precision)),
            ((at.fpr, at.sensitivity), (at.sensitivity, at.precision)),
            strict=True,
        ):
            marker = None if np.isnan([mark_x, mark_y]).any() else (mark_x, mark_y)
            of_plot.append(RateLine(name, x, y, one.thresholds, marker))
    first = curves[0][1]
    share = float(first.true[-1] / first.flagged[-1])
    return (
        RatePlot("ROC", "false-positive rate", "sensitivity", tuple(lines[0]), ((0.0, 0.0), (1.0, 1.0))),
        RatePlot(
            "precision-recall", "recall (sensitivity)", "precision", tuple(lines[1]), ((0.0, share), (1.0, share))
        ),
    )
