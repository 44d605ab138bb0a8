"""Variants of scoring a scan: the methods of the papers, and the steps of an ablation study."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.pca import PCA, linear_score
from napari_vqad.detectors.protocol import Detector
from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.dependencies import evidence_maps
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.scores.fusion import LINEAR, weight

Over = Literal["max", "mean"]


@dataclass(frozen=True)
class Variant:
    """A way to score a scan, which gives one row of a table.

    Attributes:
        name: title of the row.
        of: "pixel" for the pixel score; "sample" for the detector's own slice score and its first evidence map, NaN
            for each voxel if it has none; "loss" for the loss of the networks, one number for
            each slice and its voxels;
            "linear" for the linear baseline with least squares; "evidence" for the weighted z maps in `evidence` only.
        updates: changes of the settings.
        evidence: names of the evidence whose weighted z maps are added.
        over: the score of a slice is the maximum or the mean of its pixel score.
    """

    name: str
    of: str = "pixel"
    updates: dict = field(default_factory=dict)
    evidence: tuple[str, ...] = ()
    over: Over = "max"

    def score(self, explorer: Explorer, settings: Settings, pca: PCA | None) -> tuple[NDArray, NDArray]:
        """Score the scan that the explorer has loaded: (n, H, W) for voxels, (n,) for slices."""
        score: NDArray
        if self.of == "linear":
            model = pca or explorer.bundle.linear
            assert model is not None
            score = linear_score(model, explorer.grid.slices, explorer.grid.mask, passes=1)
            return score, score.max((1, 2))
        if self.of == "loss":
            grid = explorer.grid
            loss = explorer.detector.loss(grid.slices, grid.position)
            return np.broadcast_to(loss[:, None, None], grid.slices.shape), loss
        explorer.change(settings.model_copy(update=self.updates))
        if self.of != "pixel":
            evidence = next((spec.name for spec in evidence_maps(explorer.maps)), None)
            explorer.finish(explorer.phases[0].names if evidence is None else explorer.stages_of(evidence))
            if self.of == "sample":
                of_slices = np.nan_to_num(explorer.sample_scores())
                if evidence is None:
                    return np.full(explorer.grid.slices.shape, np.nan, np.float32), of_slices
                return explorer.map(evidence), of_slices
            score = np.zeros(explorer.grid.slices.shape, np.float32)
        else:
            explorer.finish()
            score = explorer.map("pixel_score")
        found = explorer.evidence() if self.evidence else {}
        for name in self.evidence:
            score = score + weight(name) * found[name]
        mask = explorer.grid.mask
        if self.over == "mean":
            return score, (score * mask).sum((1, 2)) / np.maximum(mask.sum((1, 2)), 1)
        # Voxels outside the brain are zero. They must not be the maximum if scores are negative.
        return score, np.where(mask, score, score.min()).max((1, 2))


SAMPLE = "sample-wise"
NLL = "nll"  # evidence of the vector-quantised detector, whose steps `ablation` shows


def methods_of(detector: Detector, wanted: Collection[str] = ()) -> tuple[str, ...]:
    """List the methods of a detector: its own slice score and its variants; only those in `wanted`, if not empty.

    The loss of its networks is listed only if `wanted` contains its title.
    """
    of_voxels = detector.variants if detector.scored is not None else ()
    known = (*([SAMPLE] if detector.slice_title else []), *of_voxels)
    loss = [detector.loss_title] if detector.loss_title and detector.loss_title in wanted else []
    return (*(name for name in known if not wanted or name in wanted), *loss)


def check_methods(bundles: Sequence[Bundle], wanted: Collection[str]) -> None:
    """Refuse a method that none of the bundles has, before a long evaluation starts.

    Raises:
        InputError: none of the bundles has a method in `wanted`.
    """
    detectors = [bundle.detector for bundle in bundles]
    known = dict.fromkeys(name for d in detectors for name in (*methods_of(d), *filter(None, [d.loss_title])))
    for name in wanted:
        if name not in known:
            who = f"{bundles[0].title} has no" if len(bundles) == 1 else "None of the models has a"
            raise InputError(
                f"{who} method '{name}'; {'its' if len(bundles) == 1 else 'their'} methods are {', '.join(known)}."
            )


def settings_of(bundle: Bundle, variant: str | None) -> Mapping[str, Any]:
    """Return the settings that select a variant of a bundle; None selects its first.

    Raises:
        InputError: the bundle has no such variant.
    """
    known = bundle.detector.variants
    if variant is not None and variant not in known:
        raise InputError(f"{bundle.title} has no method '{variant}'; its methods are {', '.join(known)}.")
    return bundle.detector.asks_for(variant or known[0])


def method_variants(detector: Detector, methods: Sequence[str], linear: bool, over: Over = "max") -> list[Variant]:
    """Return a variant for each method, and one for the linear baseline if `linear`."""
    kinds = {SAMPLE: "sample", detector.loss_title: "loss"}
    ways = [
        Variant(m, kinds[m]) if m in kinds else Variant(m, updates=dict(detector.asks_for(m)), over=over)
        for m in methods
    ]
    return [*ways, Variant("PCA, 60 components", "linear")] if linear else ways


def ablation(method: str) -> list[Variant]:
    """Return baselines, then the steps from residual to fused score: for "regenerative", then for `method`."""
    plain = {"method": "regenerative", "pooling": "3d", "score": "intensity"}
    smooth = plain | {"pooling": "smooth"}
    placed = smooth | {"score": "normative"}
    restored = {name: settings | {"method": method} for name, settings in (("plain", plain), ("placed", placed))}
    return [
        Variant("PCA, 60 components, aligned", "linear"),
        Variant("PCA, robust, by place", "evidence", evidence=(LINEAR,)),
        Variant("NLL", "sample"),
        Variant("NLL, by place", "evidence", evidence=(NLL,)),
        Variant("regenerative, min-average pooling", updates=plain),
        Variant("regenerative, smooth pooling", updates=smooth),
        Variant("regenerative, min-average, by place", updates=plain | {"score": "normative"}),
        Variant("regenerative, smooth, by place", updates=placed),
        Variant("… + NLL", updates=placed, evidence=(NLL,)),
        Variant("… + PCA", updates=placed, evidence=(LINEAR,)),
        Variant("… + NLL + PCA", updates=placed, evidence=(NLL, LINEAR)),
        Variant("… levelled (--score fused)", updates=placed | {"score": "fused"}),
        Variant(f"{method}, min-average pooling", updates=restored["plain"]),
        Variant(f"{method}, smooth, by place", updates=restored["placed"]),
        Variant(f"{method}, smooth, by place + NLL + PCA", updates=restored["placed"], evidence=(NLL, LINEAR)),
        Variant(f"{method}, … levelled (--score fused)", updates=restored["placed"] | {"score": "fused"}),
    ]
