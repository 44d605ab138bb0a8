"""One scale and one unit for each map, the same for all scans."""

from __future__ import annotations

from napari_vqad.engine.explorer import Explorer

WINDOW = (-2.5, 2.5)  # SD


def limits(explorer: Explorer) -> dict[str, tuple[float, float]]:
    """One scale for all scans, from what is healthy: per-image scales would make healthy brains glow."""
    calibration, method, level = explorer.bundle.calibration, explorer.settings.method, explorer.settings.level
    kind = calibration.pixel_kind(explorer.settings)
    return {
        # What three of four healthy codes have says nothing.
        "nll": (
            calibration.value("nll_map", "p75", kind=level),
            1.1 * calibration.value("nll_map", "p99.9", kind=level),
        ),
        "residual": (0.0, 1.5 * calibration.value("residual", "p99.9", kind=method)),
        "disagreement": (0.0, 0.5 * calibration.value("residual", "p99.9", kind=method)),
        "pixel_score": (0.0, 2.0 * calibration.value("pixel_score", "p99.9", kind=kind)),
    }


def score_unit(explorer: Explorer) -> str:
    """The unit of the pixel score, for people."""
    scale = explorer.bundle.calibration.pixel_kind(explorer.settings).split()[-1]
    return {"place": "healthy SDs here", "fused": "healthy SDs here, summed"}.get(scale, "SD of healthy intensity")


def unit_and_healthy(explorer: Explorer, name: str) -> tuple[str, float | None]:
    """The unit of a map, and its healthy 99th percentile where calibration has measured it."""
    calibration, settings = explorer.bundle.calibration, explorer.settings
    if name == "nll":
        return "nats", calibration.value("nll_map", "p99", kind=settings.level)
    if name == "pixel_score":
        return score_unit(explorer), calibration.value("pixel_score", "p99", kind=calibration.pixel_kind(settings))
    known = calibration.value("residual", "p99", kind=settings.method) if name == "residual" else None
    return "SD of healthy intensity", known
