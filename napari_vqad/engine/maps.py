"""Computes the maps that the user sees: those that the detector declares, and those that all detectors share.

    scored map → pooled → pixel score (SD of intensity)
                            └→ normative z → + other evidence (fused) → centred on healthy scores
                                               └→ cleaned → flagged

A map is computed again only if something that it depends on has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_vqad.detectors.calibration import pixel_kind
from napari_vqad.detectors.protocol import Detector
from napari_vqad.engine.pooled import PooledScore
from napari_vqad.engine.slice_maps import SliceMaps, StageInputs
from napari_vqad.imaging.grid import Grid
from napari_vqad.imaging.template import Template
from napari_vqad.scores.components import clean, large, within
from napari_vqad.scores.fusion import centre_on_healthy, centre_slices, fuse, middle, smoothed, standardise
from napari_vqad.scores.normative import NormativeMaps
from napari_vqad.scores.slice_score import slice_score
from napari_vqad.settings import SharedSettings

Evidence = Callable[[NDArray, NDArray], dict[str, NDArray]]


class MapInputs(NamedTuple):
    """Inputs of the maps.

    Attributes:
        stages: results of the stages, with the current settings.
        variant: name of the detector's variant, which selects the normative maps.
        flag_voxels: threshold in the unit of the pixel score.
        scale: "intensity", "normative" or "fused".
        healthy: median and 84th percentile of healthy fused scores; None if unknown.
        whole: whether all of the scan is computed. A part is centred like the last whole scan or, if there was none,
            by its own values.
    """

    stages: StageInputs
    variant: str
    flag_voxels: float = np.inf
    scale: str = "intensity"
    healthy: tuple[float, float] | None = None
    whole: bool = True


class SliceRestorations(NamedTuple):
    """The restorations of one slice, float32.

    Attributes:
        pictures: X_j, SD, (S, H, W).
        weights: w_j, (S,).
        mean: Σ_j w_j X_j, SD, (H, W).
        disagreement: unweighted SD among them, in SD of healthy intensity, (H, W).
    """

    pictures: NDArray
    weights: NDArray
    mean: NDArray
    disagreement: NDArray


class Maps:
    """The maps of one scan."""

    def __init__(
        self,
        grid: Grid,
        detector: Detector,
        places: NormativeMaps,
        evidence: Evidence | None = None,
        template: Template | None = None,
    ) -> None:
        """`evidence` computes, from slices and mask, the fused score's evidence that needs no setting or network."""
        self.grid = grid
        # The template's brain, if the grid is the template's: mask voxels outside it are not brain.
        self._brain = template.brain if template is not None and grid.aligned else None
        self.slices = SliceMaps(detector, grid)
        self._detector, self._normative, self._compute_fixed_evidence = detector, places, evidence
        self._pooled = PooledScore(grid.mask)
        self._cache: dict[str, tuple[Hashable, NDArray]] = {}
        self._evidence: tuple[Hashable, dict[str, NDArray]] = (None, {})
        self._slice_scores: tuple[Hashable, NDArray] = (None, np.zeros(0))
        self._centres: dict[Hashable, tuple[float, float]] = {}  # centre of the whole scan, by variant and pooling

    def prepare(self) -> None:
        """Compute the slow evidence that no setting changes, in the thread that opens the scan, not in the viewer's."""
        _ = self._fixed_evidence

    def use(self, detector: Detector) -> None:
        """Use the same detector on another device."""
        self._detector = self.slices.detector = detector

    def get(self, name: str, inputs: MapInputs, j: int = 0) -> NDArray:
        """Return a map, (n, H, W), read-only, as in `Explorer.map`; the same array while nothing changes."""
        stack: NDArray | None = None
        if name in self.slices.specs:
            stack, made = self.slices.stack(name, inputs.stages, j)
            made_of: Hashable = tuple(made)
        else:
            made_of = self._made_of(name, inputs)
        if self._cache.get(name, (None,))[0] != made_of:
            array = stack.copy() if stack is not None else self._make(name, inputs)
            array.setflags(write=False)
            self._cache[name] = made_of, array
        return self._cache[name][1]

    # ---- shared maps ------------------------------------------------------------------------------------------------

    def _made_of(self, name: str, inputs: MapInputs) -> Hashable:
        """Return everything that a shared map depends on; the map is computed again only if this changes."""
        s = inputs.stages.settings
        pooled = self._pooled_map(s)
        scored = () if pooled is None else tuple(self._made_by_slice(pooled, inputs))
        fused = (self._evidence_made_of(inputs), inputs.healthy, inputs.whole) if inputs.scale == "fused" else None
        score = scored, s.pooling, s.paper_faithful, inputs.scale, inputs.variant, fused
        if name == "pixel_score":
            return score
        cleaned = score, s.median, s.erode_mm
        if name == "cleaned":
            return cleaned
        if name == "flagged":
            return cleaned, inputs.flag_voxels, s.min_volume_ml
        raise KeyError(name)

    def _pooled_map(self, settings: SharedSettings) -> str | None:
        """Return the name of the detector's map that becomes the pixel score; None if it has none."""
        return self._detector.pooled.get(settings.pooling, self._detector.scored)

    def _made_by_slice(self, name: str, inputs: MapInputs) -> list[Hashable]:
        return [self.slices.made_of(name, inputs.stages, i) for i in range(len(self.grid))]

    def _make(self, name: str, inputs: MapInputs) -> NDArray:
        s = inputs.stages.settings
        if name == "pixel_score":
            return self._pixel_score(inputs)
        if name == "cleaned":
            return clean(self.get("pixel_score", inputs), self.grid.mask, s.median, s.erode_mm / self.grid.spacing)
        if self.grid.kind == "clip":  # frames have no brain rim and no volume in mL
            return (self.get("pixel_score", inputs) > inputs.flag_voxels).astype(np.uint8)
        least = max(1, round(s.min_volume_ml / self.grid.voxel_ml))
        found = large(self.get("cleaned", inputs) > inputs.flag_voxels, least)
        # Drop findings in fat and muscle that the mask wrongly includes.
        return (found if self._brain is None else within(found, self._brain)).astype(np.uint8)

    def _pixel_score(self, inputs: MapInputs) -> NDArray:
        """Compute the pixel score, float32 (n, H, W), in the unit of the scale; zero if the detector has none."""
        s = inputs.stages.settings
        if (pooled := self._pooled_map(s)) is None:
            return np.zeros(self.grid.slices.shape, np.float32)
        scored, made = self.slices.stack(pooled, inputs.stages)
        score = self._pooled.update(scored, made, s)
        if inputs.scale == "intensity":
            return score.copy()
        there = np.array([m is not None for m in made])
        inside = self.grid.mask & there[:, None, None]
        score = self._normative.zscore(pixel_kind(inputs.variant, s.pooling, "normative"), score, inside)
        if inputs.scale == "fused":
            score = np.where(inside, fuse(score, self.evidence(inputs)), np.float32(0))
            score = self._centred(score, inside, inputs)
        return score

    def _centred(self, score: NDArray, inside: NDArray, inputs: MapInputs) -> NDArray:
        """Centre a fused score on healthy ones; leave it unchanged if these are not known.

        A part of a scan is centred like the whole scan: with its own centre, a peak would differ by 15 %.
        """
        if inputs.healthy is None:
            return score
        key = inputs.variant, inputs.stages.settings.pooling
        own = None if inputs.whole else self._centres.get(key)
        if own is None and inside.any():
            own = middle(score, inside)
        if inputs.whole and own is not None:
            self._centres[key] = own
        return centre_on_healthy(score, inside, inputs.healthy, own)

    # ---- evidence ---------------------------------------------------------------------------------------------------

    def evidence(self, inputs: MapInputs) -> dict[str, NDArray]:
        """Return the other evidence of a fused score, in healthy SDs at each voxel; updated when more is computed."""
        made_of = self._evidence_made_of(inputs)
        if self._evidence[0] != made_of:
            mask = self.grid.mask
            own = {e: smoothed(self.get(name, inputs), mask) for e, name in self._detector.fused.items()}
            self._evidence = made_of, self._fixed_evidence | standardise(own, self._normative, mask)
        return self._evidence[1]

    def _evidence_made_of(self, inputs: MapInputs) -> Hashable:
        return tuple(tuple(self._made_by_slice(name, inputs)) for name in self._detector.fused.values())

    @cached_property
    def _fixed_evidence(self) -> dict[str, NDArray]:
        """Evidence that depends on no setting or network."""
        if self._compute_fixed_evidence is None:
            return {}
        return standardise(
            self._compute_fixed_evidence(self.grid.slices, self.grid.mask), self._normative, self.grid.mask
        )

    # ---- slices -----------------------------------------------------------------------------------------------------

    def slice_scores(
        self,
        inputs: MapInputs,
        healthy: tuple[float, float],
        healthy_evidence: tuple[float, float] | None,
        spacing: float,
    ) -> NDArray:
        """Compute slice scores from the pixel score, (n,); updated when it changes.

        Args:
            inputs: inputs of the maps.
            healthy, healthy_evidence: median and 84th percentile of healthy pixel scores, and of the detector's own
                evidence in healthy SDs at each voxel.
            spacing: voxel size of the model's grid, mm; the healthy slice scores were computed with it.
        """
        made_of = self._made_of("pixel_score", inputs)
        if self._slice_scores[0] != made_of:
            inside, evidence = self.grid.mask, None
            pixel = centre_slices(self.get("pixel_score", inputs), inside, healthy)
            if inputs.scale != "intensity" and healthy_evidence is not None:
                for kind, name in self._detector.fused.items():
                    there = np.array([m is not None for m in self._made_by_slice(name, inputs)])
                    there = inside & there[:, None, None]
                    evidence = centre_slices(self.evidence(inputs)[kind], there, healthy_evidence)
            self._slice_scores = made_of, slice_score(pixel, evidence, inside, spacing)
        return self._slice_scores[1]

    # ---- samples ----------------------------------------------------------------------------------------------------

    def weights(self, inputs: MapInputs) -> NDArray | None:
        """Return the weights w_j, (S, n), zero for missing slices; None if the detector has no weighted samples."""
        if "weights" not in self.slices.specs:
            return None
        by_slice = self.slices.values("weights", inputs.stages)
        wanted = inputs.stages.wanted[self.slices.specs["weights"].stage]
        return np.stack([np.zeros(wanted, np.float32) if w is None else w for w in by_slice], 1)

    def of_slice(self, inputs: MapInputs, i: int) -> SliceRestorations | None:
        """Return the restorations of one slice; None until all are computed, and if the detector draws none."""
        specs, stages = self.slices.specs, inputs.stages
        if not {"weights", "restoration", "restoration_j", "disagreement"} <= set(specs):
            return None
        weights = self.slices.of_slice("weights", stages, i)
        mean, apart = (self.slices.of_slice(name, stages, i) for name in ("restoration", "disagreement"))
        if weights is None or mean is None or apart is None:
            return None
        drawn = (self.slices.of_slice("restoration_j", stages, i, j) for j in range(len(weights)))
        pictures = np.stack([np.asarray(p, np.float32) for p in drawn if p is not None])
        return SliceRestorations(pictures, weights, mean, apart)
