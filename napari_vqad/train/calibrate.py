"""Calibration: the scores of healthy scans that no network was trained on, as quantiles, and by place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.calibration import LAMBDA_LEVELS, LEVELS, Calibration, SliceTables, pixel_kind
from napari_vqad.detectors.evidence import MADE_WITH, Evidence
from napari_vqad.engine.explorer import Explorer
from napari_vqad.imaging.grid import Grid
from napari_vqad.nets.vq.levels import Levels
from napari_vqad.scores.components import LEAST, count
from napari_vqad.scores.fusion import LINEAR, NLL, fuse, level_slices
from napari_vqad.scores.normative import Places, measure
from napari_vqad.scores.slice_score import slice_score
from napari_vqad.settings import Pooling, Settings
from napari_vqad.train.data import Stack

COUNTED_FROM = 90.0  # percentile of the pixel score from which findings are counted; below it nobody would flag
Report = Callable[[str], None]
Maps = list[NDArray]  # one a scan


def calibrate(
    bundle: Bundle, stack: Stack, report: Report = print, methods: Sequence[str] = ()
) -> tuple[Calibration, Places | None]:
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
    bundle = replace(bundle, places=Places.none())  # what an earlier calibration found plays no part in this one
    grids = list(stack.grids(bundle.config.grid))
    masks = [g.mask for g in grids]
    first, nll = _of_codes(bundle, grids)
    places: dict[str, NDArray] = {}
    others: list[dict[str, NDArray]] = [{} for _ in grids]  # of each scan: z maps that are added to the residual's

    def by_place(name: str, maps: Maps) -> Maps:
        places[name] = measure(zip(maps, masks, strict=True))
        return _left_out(maps, masks)

    if bundle.template is not None:
        evidence = Evidence(bundle.linear)
        raw = {
            NLL: [evidence.nll(m, g.mask) for m, g in zip(nll, grids, strict=True)],
            LINEAR: [evidence.linear(g) for g in grids],
        }
        for name, made in raw.items():
            for found, z in zip(others, by_place(name, made), strict=True):
                found[name] = z
    explorer = Explorer(replace(bundle, calibration=first))
    tables: dict[str, dict[str, list[float]]] = {"residual": {}, "pixel_score": {}, "findings": {}, "slices": {}}
    placed_nll = [z[NLL] for z in others if NLL in z]
    slice_nll = _middle(_quantiles(_inside(placed_nll, masks))) if placed_nll else None
    levelled_nll = [level_slices(z, m, slice_nll) for z, m in zip(placed_nll, masks, strict=True)] if slice_nll else []

    def add(kind: str, maps: Maps) -> None:
        table = _quantiles(_inside(maps, masks))
        tables["pixel_score"][kind] = table
        tables["findings"][kind] = _findings(maps, table)
        healthy = _middle(table)
        shown = [m.astype(np.float32) for m in maps]
        shown = [level_slices(m, inside, healthy) for m, inside in zip(shown, masks, strict=True)]
        nll: Maps | list[None] = [None] * len(maps) if kind.endswith(" plain") else levelled_nll
        of_scans = [slice_score(*of_scan, spacing) for of_scan in zip(shown, nll, masks, strict=True)]
        slices = np.concatenate(of_scans)
        tables["slices"][kind] = _quantiles(slices[~np.isnan(slices)])

    for method in methods or bundle.methods:
        residual, scores = _of_method(explorer, grids, method, report)
        tables["residual"][method] = _quantiles(_inside(residual, masks))
        for pooling, pooled in scores.items():
            add(pixel_kind(method, pooling, "plain"), pooled)
            if bundle.template is not None:
                name = pixel_kind(method, pooling, "place")
                placed = by_place(name, pooled)
                add(name, placed)
                add(pixel_kind(method, pooling, "fused"), [fuse(a, b) for a, b in zip(placed, others, strict=True)])
    shape = (len(grids[0]), *bundle.config.grid.shape)
    fused = MADE_WITH if bundle.template is not None else {}
    calibration = first.model_copy(
        update=tables | {"slice_nll": slice_nll, "fused": fused, "weights": bundle.weights or None}
    )
    return calibration, Places(places, shape) if places else None


def slice_tables(bundle: Bundle, stack: Stack, report: Report = print, methods: Sequence[str] = ()) -> SliceTables:
    """Healthy slice scores of some methods, beside those that the bundle has of others."""
    found, _ = calibrate(bundle, stack, report, methods)
    slices = bundle.calibration.slices | found.slices
    return SliceTables(weights=bundle.weights, slice_nll=found.slice_nll, slices=slices)


def _of_codes(bundle: Bundle, grids: list[Grid]) -> tuple[Calibration, Maps]:
    """Quantiles of NLL and slice score, and each scan's NLL map on the grid."""
    explorer = Explorer(bundle)
    code_nll, touches, maps = [], [], []
    for grid in grids:
        explorer.take(grid)
        for _ in explorer.work(stages=("nll",)):
            pass
        code_nll.append(explorer.code_nll())
        touches.append(_codes_of(grid.mask, bundle.levels))
        maps.append(explorer.map("nll"))
    nll, touched = np.concatenate(code_nll), np.concatenate(touches)
    table = _quantiles(nll[touched])
    lambdas = {f"{level:g}": float(np.interp(level, LEVELS, table)) for level in LAMBDA_LEVELS}
    slices = np.concatenate([g.mask.any((1, 2)) for g in grids])
    by_level = _of_levels(explorer, grids) if bundle.levels.names else {}
    calibration = Calibration(
        n_scans=len(code_nll),
        n_slices=int(slices.sum()),
        finding_voxels=LEAST,
        levels=list(LEVELS),
        nll=table,
        nll_map=by_level,
        slice_score={k: _quantiles(np.where(nll > v, nll, 0).sum((1, 2))[slices]) for k, v in lambdas.items()},
        residual={},
        pixel_score={},
        findings={},
    )
    return calibration, maps


def _of_levels(explorer: Explorer, grids: list[Grid]) -> dict[str, list[float]]:
    """Quantiles of the NLL map over the masks, of all levels together and of each."""
    values: dict[str, list[NDArray]] = {}
    for grid in grids:
        explorer.take(grid)
        for _ in explorer.work(stages=("nll",)):
            pass
        for name in ("all", *explorer.bundle.levels.names):
            explorer.change(explorer.settings.model_copy(update={"level": name}))
            values.setdefault(name, []).append(explorer.map("nll")[grid.mask])
    return {level: _quantiles(np.concatenate(found)) for level, found in values.items()}


def _of_method(explorer: Explorer, grids: list[Grid], method: str, report: Report) -> tuple[Maps, dict[str, Maps]]:
    """Residuals, and plain pixel scores by pooling, of all scans."""
    residual: Maps = []
    scores: dict[str, Maps] = {pooling: [] for pooling in get_args(Pooling)}
    for number, grid in enumerate(grids):
        explorer.take(grid)
        for pooling, maps in scores.items():
            explorer.change(Settings(method=method, pooling=pooling, score="plain"))
            for _ in explorer.work():
                pass
            maps.append(explorer.map("pixel_score").astype(np.float16))
        residual.append(explorer.map("residual").astype(np.float16))
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
        found.append(Places({"": measure(rest)}, one.shape).z("", one, mask))
    return found


def _findings(maps: Maps, table: list[float]) -> list[float]:
    counts = [
        float(np.mean([count(m > t) for m in maps])) if level >= COUNTED_FROM else np.nan
        for level, t in zip(LEVELS, table, strict=True)
    ]
    first = next(c for c in counts if not np.isnan(c))
    return [first if np.isnan(c) else c for c in counts]


def _codes_of(mask: NDArray, levels: Levels) -> NDArray:
    """Codes (n, rows, columns) whose patch of pixels touches the mask (n, H, W)."""
    n, height, width = mask.shape
    touched = [mask.reshape(n, h, height // h, w, width // w).any((2, 4)) for h, w in levels.shapes]
    return levels.join([torch.from_numpy(t) for t in touched]).numpy()


def _quantiles(values: NDArray) -> list[float]:
    return [float(v) for v in np.percentile(values.astype(np.float32), LEVELS)]
