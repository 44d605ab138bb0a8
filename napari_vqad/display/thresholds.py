"""What the sliders of the thresholds say: each value in its unit, and how rare it is among the healthy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from napari_vqad.detectors.settings import Settings
from napari_vqad.display import slice_scores
from napari_vqad.display.scales import score_unit
from napari_vqad.engine.explorer import Explorer
from napari_vqad.settings import is_of_training


class Tuned(NamedTuple):
    """A threshold that the bundle holds, tuned on labelled data; `on` says on which, and `chosen` if it is in use."""

    value: float
    on: str
    chosen: bool


class Explained(NamedTuple):
    """By the name of a threshold: what to say of it, how far its slider goes where that depends on others, and the
    tuned value where the bundle has one.
    """

    words: dict[str, str]
    highest: dict[str, float]
    tuned: dict[str, Tuned]


def explain(explorer: Explorer, settings: Settings, limits: Mapping[str, float]) -> Explained:
    """The thresholds `limits` of these settings, against the calibration of the bundle."""
    bundle, calibration = explorer.bundle, explorer.bundle.calibration
    kind, words, highest, tuned = bundle.pixel_kind(settings), {}, {}, {}
    for spec in explorer.detector.thresholds:
        value = limits[spec.setting]
        share = calibration.percentile(spec.table, value)
        words[spec.setting] = f"{value:.2f} {spec.unit} · {share:.1f} % of healthy {spec.of}"
        if bundle.tuned and (best := bundle.tuned_value(spec.setting, settings)) is not None:
            tuned[spec.setting] = Tuned(best, f"Tuned on {bundle.tuned.on}.", best == value)
        highest[spec.setting] = calibration.value(spec.table, "p99.99")
    resolved = bundle.resolve_own(settings)
    share = bundle.slice_percentile(resolved, limits["flag_slices"])
    words["flag_slices"] = f"{slice_scores.value(explorer, limits['flag_slices'])} · {share:.1f} % of healthy slices"
    most = bundle.slice_value(resolved.model_copy(update={"flag_slices": "p100"}))
    highest["flag_slices"] = 1.5 * most if bundle.slice_kind(settings) is None and most > 0 else max(1.0, 1.5 * most)
    if explorer.detector.scored is None:
        return Explained(words, highest, tuned)
    words["flag_voxels"] = _of_voxels(explorer, settings, limits["flag_voxels"], kind)
    highest["flag_voxels"] = 2 * calibration.value("pixel_score", "p99.9", kind=kind)
    return Explained(words, highest, tuned)


def before(name: str, value: float | str) -> str:
    """What a threshold means before a model has said which number it is; empty where it is a number already."""
    later = "its number is shown after an analysis."
    if not isinstance(value, str):
        return ""
    if "/" in value:
        return f"{rate_in_words(value)}; {later}"
    if is_of_training(value):
        return f"Above {value[1:]} % of the voxels of training scans; {later}"
    what = {"flag_slices": "slices", "flag_voxels": "voxels"}.get(name, "codes")
    return f"Above {value[1:]} % of healthy {what}; {later}"


def rate_in_words(value: str) -> str:
    """ "1/3" → "1 false finding per 3 healthy scans"; a percentile such as "p90" stays as it is.

    "t98" → "p98 of training scans".
    """
    if is_of_training(value):
        return f"p{value[1:]} of training scans"
    if "/" not in value:
        return value
    scans = value.removeprefix("1/")
    return f"1 false finding per {'healthy scan' if scans == '1' else f'{scans} healthy scans'}"


def in_units(explorer: Explorer) -> dict[str, tuple[float, str, float]]:
    """Each threshold in force by the name of its setting: the number, its unit, and the healthy percentile."""
    bundle, settings, limits = explorer.bundle, explorer.settings, explorer.thresholds()
    percentile = bundle.calibration.percentile
    found = {
        spec.setting: (limits[spec.setting], spec.unit, percentile(spec.table, limits[spec.setting]))
        for spec in explorer.detector.thresholds
    }
    slices = bundle.slice_percentile(bundle.resolve_own(settings), limits["flag_slices"])
    if explorer.detector.scored is not None:
        voxels = percentile("pixel_score", limits["flag_voxels"], kind=bundle.pixel_kind(settings))
        found["flag_voxels"] = limits["flag_voxels"], score_unit(explorer), voxels
    found["flag_slices"] = limits["flag_slices"], slice_scores.unit(explorer), slices
    return found


def _of_voxels(explorer: Explorer, settings: Settings, limit: float, kind: str) -> str:
    """Its share of healthy voxels, and the rate of false findings."""
    calibration = explorer.bundle.calibration
    share = calibration.percentile("pixel_score", limit, kind=kind)
    what = "pixels" if explorer.grid.kind == "clip" else "voxels"
    training = (
        f"{str(settings.flag_voxels)[1:]} % of training {what} · " if is_of_training(settings.flag_voxels) else ""
    )
    rate = _rate_of_findings(explorer, settings, limit, kind)
    return f"{limit:.2f} · {share:.2f} % of healthy {what} · {training}{rate}"


def rate_of_findings(explorer: Explorer, limit: float) -> str:
    """The expected false findings in a healthy scan above a pixel score, such as "1.0 false findings/scan"."""
    return _rate_of_findings(explorer, explorer.settings, limit, explorer.bundle.pixel_kind(explorer.settings))


def _rate_of_findings(explorer: Explorer, settings: Settings, limit: float, kind: str) -> str:
    calibration = explorer.bundle.calibration
    false = calibration.findings_per_scan(limit, kind=kind)
    frames = f"{calibration.n_slices / calibration.n_scans:.0f} frames"
    whole = frames if explorer.grid.kind == "clip" else "scan"
    rate = f"{false:.1f}" if false * calibration.n_scans >= 1 else f"< 1/{calibration.n_scans}"
    cleaned = " before clean-up" if settings.median or settings.erode_mm else ""
    return f"{rate} false findings/{whole}{cleaned}"
