"""What the sliders of the thresholds say: each value in its unit, and how rare it is among the healthy."""

from __future__ import annotations

from typing import NamedTuple

from napari_vqad.detectors.calibration import Thresholds
from napari_vqad.display import slice_scores
from napari_vqad.engine.explorer import Explorer
from napari_vqad.settings import Settings


class Explained(NamedTuple):
    """By the name of a threshold: what to say of it, and how far its slider goes where that depends on others."""

    words: dict[str, str]
    highest: dict[str, float]


def explain(explorer: Explorer, settings: Settings, limits: Thresholds) -> Explained:
    """The thresholds `limits` of these settings, against the calibration of the bundle."""
    calibration = explorer.bundle.calibration
    kind, percentile = calibration.pixel_kind(settings), calibration.percentile
    codes = "{:.2f} nats · {:.1f} % of healthy codes"
    slices = calibration.slice_percentile(settings, limits.flag_slices, limits.lambda_s)
    words = {
        "lambda_s": codes.format(limits.lambda_s, percentile("nll", limits.lambda_s)),
        "lambda_p": codes.format(limits.lambda_p, percentile("nll", limits.lambda_p)),
        "flag_slices": f"{slice_scores.value(explorer, limits.flag_slices)} · {slices:.1f} % of healthy slices",
        "flag_voxels": _of_voxels(explorer, settings, limits.flag_voxels, kind),
    }
    highest = calibration.slice_value(settings.model_copy(update={"flag_slices": "p100"}), limits.lambda_s)
    return Explained(
        words,
        {
            "flag_voxels": 2 * calibration.value("pixel_score", "p99.9", kind=kind),
            "flag_slices": max(1.0, 1.5 * highest),
        },
    )


def before(name: str, value: float | str) -> str:
    """What a threshold means before a model has said which number it is; empty where it is a number already."""
    later = "its number comes with an analysis."
    if not isinstance(value, str):
        return ""
    if "/" in value:
        often = value.removeprefix("1/")
        return f"One false finding in {'a healthy scan' if often == '1' else f'{often} healthy scans'}; {later}"
    what = {"flag_slices": "slices", "flag_voxels": "voxels"}.get(name, "codes")
    return f"Above {value[1:]} % of healthy {what}; {later}"


def _of_voxels(explorer: Explorer, settings: Settings, limit: float, kind: str) -> str:
    """Its share of healthy voxels, and the rate of false findings."""
    calibration = explorer.bundle.calibration
    share = calibration.percentile("pixel_score", limit, kind=kind)
    false = calibration.findings_per_scan(limit, kind=kind)
    what, whole = "voxels", "scan"
    if explorer.grid.kind == "clip":
        what, whole = "pixels", f"{calibration.n_slices / calibration.n_scans:.0f} frames"
    rate = f"{false:.1f}" if false * calibration.n_scans >= 1 else f"< 1/{calibration.n_scans}"
    cleaned = " before clean-up" if settings.median or settings.erode else ""
    return f"{limit:.2f} · {share:.2f} % of healthy {what} · {rate} false findings/{whole}{cleaned}"
