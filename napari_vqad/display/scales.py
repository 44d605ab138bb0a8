"""The colour scale and the unit of each map, the same for all scans, derived from healthy scans.

With a separate scale for each scan, healthy brains would show bright colours, too.
"""

from __future__ import annotations

from napari_vqad.engine.explorer import Explorer

WINDOW = (-2.5, 2.5)  # SD, for scan and restorations
UNITS = {"SD": "SD of healthy intensity"}  # the long forms of units
SCORE_UNITS = {"normative": "healthy SDs here", "fused": "healthy SDs here, summed"}
# Role of a map → its darkest and its brightest colour, each as a healthy percentile and a factor on it.
# Evidence starts at p75, because values that three of four healthy codes have are not informative.
ENDS = {
    "evidence": (("p75", 1.0), ("p99.9", 1.1)),
    "residual": (None, ("p99.9", 1.5)),
    "spread": (None, ("p99.9", 0.5)),
    "score": (None, ("p99.9", 2.0)),
}


def limits(explorer: Explorer) -> dict[str, tuple[float, float]]:
    """Name → lower and upper limit of the colours, for each map that is shown in colour."""
    calibration, scales = explorer.bundle.calibration, {}
    for name, spec in explorer.maps.items():
        if spec.role not in ENDS:
            continue
        table, kind = _healthy(explorer, name)
        if table is None:
            scales[name] = (0.0, 1.0)  # a share
            continue
        low, high = (
            0.0 if end is None else end[1] * calibration.value(table, end[0], kind=kind) for end in ENDS[spec.role]
        )
        scales[name] = low, min(high, 1.0) if spec.role != "score" and spec.unit == "share" else high
    return scales


def score_unit(explorer: Explorer) -> str:
    """The unit of the pixel score, as shown to the user; empty without one."""
    if explorer.detector.scored is None:
        return ""
    scale = explorer.bundle.shown_scale(explorer.settings)
    if scale in SCORE_UNITS:
        return SCORE_UNITS[scale]
    return map_unit(explorer, explorer.detector.scored)


def unit_and_healthy(explorer: Explorer, name: str) -> tuple[str, float | None]:
    """The unit of a map, and its healthy 99th percentile, or None if the calibration does not have it."""
    role = explorer.maps[name].role
    unit = score_unit(explorer) if role == "score" else map_unit(explorer, name)
    return unit, None if role == "spread" else healthy_value(explorer, name, "p99")


def healthy_value(explorer: Explorer, name: str, percentile: str) -> float | None:
    """The value of a map at a healthy percentile such as "p90"; None if the calibration does not have it."""
    table, kind = _healthy(explorer, name)
    return None if table is None else explorer.bundle.calibration.value(table, percentile, kind=kind)


def described(explorer: Explorer, name: str) -> str:
    """A description of a map with its unit, for the header of its file."""
    spec = explorer.maps[name]
    if spec.role in ("flagged", "restoration"):
        return {"flagged": "pixel score above its threshold"}.get(spec.role, spec.title)
    return f"{spec.title}, {unit_and_healthy(explorer, name)[0]}"


def map_unit(explorer: Explorer, name: str) -> str:
    """The unit of a map of the detector, as shown to the user."""
    unit = explorer.maps[name].unit
    return UNITS.get(unit, unit)


def _healthy(explorer: Explorer, name: str) -> tuple[str | None, str]:
    """The table and the kind of the calibration with the healthy values of a map; (None, "") if there are none."""
    if explorer.maps[name].role == "score":
        return "pixel_score", explorer.bundle.pixel_kind(explorer.settings)
    return explorer.detector.healthy(name, explorer.settings) or (None, "")
