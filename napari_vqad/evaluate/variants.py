"""Ways to score a scan: the methods of the papers, and one lever after the other for the ablation."""

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
from napari_vqad.scores.fusion import LINEAR, NLL, WEIGHTS

Over = Literal["max", "mean"]


@dataclass(frozen=True)
class Variant:
    """One row of a table.

    Attributes:
        name: what the row is called.
        of: "pixel" for the pixel score; "sample" for the detector's own slice score and its first evidence map;
            "loss" for the loss of the networks, a number for each slice and its voxels;
            "linear" for the linear baseline by least squares; "evidence" for the weighted z maps of `evidence` alone.
        updates: what the settings differ in from those given.
        evidence: z maps of the other evidence that are added, by name.
        over: a slice's score is the highest pixel score in it, or the mean of all.
    """

    name: str
    of: str = "pixel"
    updates: dict = field(default_factory=dict)
    evidence: tuple[str, ...] = ()
    over: Over = "max"

    def score(self, explorer: Explorer, settings: Settings, pca: PCA | None) -> tuple[NDArray, NDArray]:
        """Score of the scan that the explorer holds: (n, H, W) for voxels, (n,) for slices."""
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
            evidence = evidence_maps(explorer.maps)[0].name
            explorer.finish(explorer.stages_of(evidence))
            if self.of == "sample":
                return explorer.map(evidence), np.nan_to_num(explorer.sample_scores())
            score = np.zeros(explorer.grid.slices.shape, np.float32)
        else:
            explorer.finish()
            score = explorer.map("pixel_score")
        found = explorer.evidence() if self.evidence else {}
        for name in self.evidence:
            score = score + WEIGHTS[name] * found[name]
        mask = explorer.grid.mask
        if self.over == "mean":
            return score, (score * mask).sum((1, 2)) / np.maximum(mask.sum((1, 2)), 1)
        # What is not brain must not win where scores may be negative.
        return score, np.where(mask, score, score.min()).max((1, 2))


SAMPLE = "sample-wise"


def methods_of(detector: Detector, wanted: Collection[str] = ()) -> tuple[str, ...]:
    """What a detector can be evaluated by: its own slice score, and each of its variants; of `wanted` alone.

    The loss of its networks, where they have one, is there when `wanted` names it.
    """
    known = (*([SAMPLE] if detector.slice_title else []), *detector.variants)
    loss = [detector.loss_title] if detector.loss_title and detector.loss_title in wanted else []
    return (*(name for name in known if not wanted or name in wanted), *loss)


def check_methods(bundles: Sequence[Bundle], wanted: Collection[str]) -> None:
    """Refuse a method that none of the bundles has, before hours of work end in an empty table.

    Raises:
        InputError: there is one.
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
    """The settings that ask a bundle for a variant; those of its first one for None.

    Raises:
        InputError: the bundle has no such variant.
    """
    known = bundle.detector.variants
    if variant is not None and variant not in known:
        raise InputError(f"{bundle.title} has no method '{variant}'; its methods are {', '.join(known)}.")
    return bundle.detector.asks_for(variant or known[0])


def method_variants(detector: Detector, methods: Sequence[str], linear: bool, over: Over = "max") -> list[Variant]:
    """The variants of a detector with the settings as they are; the linear baseline when asked for."""
    kinds = {SAMPLE: "sample", detector.loss_title: "loss"}
    ways = [
        Variant(m, kinds[m]) if m in kinds else Variant(m, updates=dict(detector.asks_for(m)), over=over)
        for m in methods
    ]
    return [*ways, Variant("PCA, 60 components", "linear")] if linear else ways


def ablation(method: str) -> list[Variant]:
    """From the paper's score to the fused one, a lever at a time; then the same for a method that restores."""
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
