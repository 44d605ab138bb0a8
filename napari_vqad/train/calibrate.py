"""Calibration: quantiles of the scores of healthy scans that no network was trained on, and normative maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_vqad.detectors.base import poolings_of
from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.bundle_checks import MADE_WITH
from napari_vqad.detectors.calibration import LEVELS, Calibration, SliceTables, pixel_kind, quantiles
from napari_vqad.detectors.pca import linear_score
from napari_vqad.detectors.presets import finding_voxels
from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.explorer import Explorer
from napari_vqad.imaging.grid import Grid
from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.scores.components import LEAST, count
from napari_vqad.scores.fusion import LINEAR, centre_slices, fuse, smoothed
from napari_vqad.scores.normative import NormativeMaps, fit
from napari_vqad.scores.pooling import judged
from napari_vqad.scores.slice_score import slice_score

UNCALIBRATED = Calibration(
    n_scans=1, n_slices=1, levels=[0, 100], nll=[0, 0], slice_score={}, residual={}, pixel_score={}, findings={}
)
COUNTED_FROM = 90.0  # percentile of the pixel score from which findings are counted; below it nobody would flag
IN_INTENSITY = ("baur", "2d-each")  # poolings without normative maps: the papers threshold residuals as they are
Report = Callable[[str], None]
Maps = list[NDArray]  # one a scan


class HealthyScans(Protocol):
    """Healthy scans that no network was trained on."""

    def grids(self, spec: GridSpec) -> Iterator[Grid]:
        """Each scan on the model's grid."""


def calibrate(
    bundle: Bundle, stack: HealthyScans, report: Report = print, methods: Sequence[str] = ()
) -> tuple[Calibration, NormativeMaps | None]:
    """Quantiles of NLL, slice scores, residual and pixel score (per method, at the default settings), and findings.

    Of a model that knows aligned heads also what is normal at each place. A scan's score by place is measured against
    the other scans alone, or its own oddities would count as normal.

    Args:
        bundle: trained; its own calibration is not looked at.
        stack: healthy scans of the calibration split.
        report: told of each scan.
        methods: all that the bundle knows when not given.
    """
    spacing = bundle.config.grid.spacing
    bundle = replace(bundle, places=NormativeMaps.none())  # what an earlier calibration found plays no part in this one
    grids = list(stack.grids(bundle.config.grid))
    masks = [g.mask for g in grids]
    first, raw = _first_tables(bundle, grids)
    places: dict[str, NDArray] = {}
    others: list[dict[str, NDArray]] = [{} for _ in grids]  # of each scan: z maps that are added to the residual's

    def by_place(name: str, maps: Maps) -> Maps:
        places[name] = fit(zip(maps, masks, strict=True))
        return _left_out(maps, masks)

    own = list(raw)
    by_places = bundle.template is not None and bundle.detector.scored is not None
    if by_places:
        if bundle.linear is not None:
            raw[LINEAR] = [linear_score(bundle.linear, g.slices, g.mask) for g in grids]
        for name, made in raw.items():
            for found, z in zip(others, by_place(name, made), strict=True):
                found[name] = z
    explorer = Explorer(replace(bundle, calibration=first))
    tables: dict[str, dict[str, list[float]]] = {name: {} for name in ("residual", *KindTables._fields)}
    placed_nll = [z[own[0]] for z in others if own and own[0] in z]
    slice_nll = _middle(quantiles(_inside(placed_nll, masks))) if placed_nll else None
    levelled_nll = [centre_slices(z, m, slice_nll) for z, m in zip(placed_nll, masks, strict=True)] if slice_nll else []

    def add(kind: str, maps: Maps, pooling: str) -> None:
        nll = levelled_nll if not kind.endswith(" plain") else []
        for name, table in kind_tables(maps, masks, pooling, spacing, nll)._asdict().items():
            tables[name][kind] = table

    known = bundle.detector.variants if bundle.detector.scored is not None else ()
    for method in methods or known:
        residual, scores = scores_of(explorer, grids, method, report)
        tables["residual"][method] = quantiles(_inside(residual, masks))
        for pooling, pooled in scores.items():
            add(pixel_kind(method, pooling, "intensity"), pooled, pooling)
            if bundle.template is not None and pooling not in IN_INTENSITY:
                name = pixel_kind(method, pooling, "normative")
                placed = by_place(name, pooled)
                add(name, placed, pooling)
                fused_maps = [fuse(a, b) for a, b in zip(placed, others, strict=True)]
                add(pixel_kind(method, pooling, "fused"), fused_maps, pooling)
    shape = (len(grids[0]), *bundle.config.grid.shape)
    fused = MADE_WITH if by_places else {}
    calibration = first.model_copy(
        update=tables | {"slice_nll": slice_nll, "fused": fused, "weights": bundle.weights or None}
    )
    return calibration, NormativeMaps(places, shape) if places else None


def slice_tables(
    bundle: Bundle, stack: HealthyScans, report: Report = print, methods: Sequence[str] = ()
) -> SliceTables:
    """Healthy slice scores of some methods, beside those that the bundle has of others."""
    found, _ = calibrate(bundle, stack, report, methods)
    slices = bundle.calibration.slices | found.slices
    return SliceTables(weights=bundle.weights, slice_nll=found.slice_nll, slices=slices)


def _first_tables(bundle: Bundle, grids: list[Grid]) -> tuple[Calibration, dict[str, Maps]]:
    """A calibration with the detector's own tables, and each scan's evidence of a fused score, by name."""
    explorer, detector = Explorer(bundle), bundle.detector
    first, results = explorer.phases[0].name, []
    evidence: dict[str, Maps] = {name: [] for name in detector.fused}
    for grid in grids:
        explorer.load_grid(grid)
        explorer.finish((first,))
        results.append(explorer.stacked(first))
        for name, map_name in detector.fused.items():
            evidence[name].append(smoothed(explorer.map(map_name), grid.mask))
    masks = [grid.mask for grid in grids]
    calibration = Calibration(
        n_scans=len(grids),
        n_slices=int(sum(mask.any((1, 2)).sum() for mask in masks)),
        finding_voxels=LEAST,
        levels=list(LEVELS),
        residual={},
        pixel_score={},
        findings={},
        **detector.fit_tables(results, masks),
    )
    return calibration, evidence


class KindTables(NamedTuple):
    """The tables of one kind of pixel score; see `Calibration`."""

    pixel_score: list[float]
    findings: list[float]
    slices: list[float]


def kind_tables(maps: Maps, masks: Maps, pooling: str, spacing: float, nll: Sequence[NDArray] = ()) -> KindTables:
    """Compute the tables of a kind of pixel score from its maps; `nll` are centred maps of NLL, if it is added."""
    table = quantiles(judged_values(maps, masks, pooling))
    healthy = _middle(table)
    shown = [centre_slices(m.astype(np.float32), inside, healthy) for m, inside in zip(maps, masks, strict=True)]
    nothing: list[NDArray | None] = [None] * len(maps)
    beside: Sequence[NDArray | None] = nll or nothing
    slices = np.concatenate([slice_score(*of_scan, spacing) for of_scan in zip(shown, beside, masks, strict=True)])
    found = _findings(maps, table, finding_voxels(pooling) or LEAST)
    return KindTables(table, found, quantiles(slices[~np.isnan(slices)]))


def judged_values(maps: Maps, masks: Maps, pooling: str) -> NDArray:
    """The values of all maps that healthy quantiles are over, one after the other."""
    return _inside(maps, [judged(m, pooling) for m in masks])


def scores_of(
    explorer: Explorer, grids: list[Grid], method: str, report: Report, poolings: Sequence[str] | None = None
) -> tuple[Maps, dict[str, Maps]]:
    """Residuals, and plain pixel scores by pooling (None: all of the detector), of all scans."""
    scored = explorer.detector.scored
    assert scored is not None
    residual: Maps = []
    wanted = poolings_of(explorer.detector) if poolings is None else poolings
    scores: dict[str, Maps] = {pooling: [] for pooling in wanted}
    for number, grid in enumerate(grids):
        explorer.load_grid(grid)
        for pooling, maps in scores.items():
            asked = explorer.detector.asks_for(method)
            explorer.change(Settings(**asked, pooling=pooling, score="intensity"))
            explorer.finish()
            maps.append(explorer.map("pixel_score").astype(np.float16))
        residual.append(explorer.map(scored).astype(np.float16))
        report(f"{method}: scan {number + 1} of {len(grids)}")
    return residual, scores


def _inside(maps: Maps, masks: Maps) -> NDArray:
    """The values of all maps within their masks, one after the other."""
    return np.concatenate([m[inside] for m, inside in zip(maps, masks, strict=True)])


def _middle(table: list[float]) -> tuple[float, float]:
    """Median and 84th percentile of a table of quantiles."""
    return float(np.interp(50, LEVELS, table)), float(np.interp(84, LEVELS, table))


def _left_out(maps: Maps, masks: Maps) -> Maps:
    """z by place of each map, what is normal taken from the others; from itself where it is alone."""
    found = []
    for i, (one, mask) in enumerate(zip(maps, masks, strict=True)):
        rest = [(m, g) for j, (m, g) in enumerate(zip(maps, masks, strict=True)) if j != i or len(maps) == 1]
        found.append(NormativeMaps({"": fit(rest)}, one.shape).zscore("", one, mask))
    return found


def _findings(maps: Maps, table: list[float], least: int) -> list[float]:
    counts = [
        float(np.mean([count(m > t, least) for m in maps])) if level >= COUNTED_FROM else np.nan
        for level, t in zip(LEVELS, table, strict=True)
    ]
    first = next(c for c in counts if not np.isnan(c))
    return [first if np.isnan(c) else c for c in counts]
