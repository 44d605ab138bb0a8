"""The maps that a person looks at, made of what is kept of a scan, and made anew only when that has changed."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch

from napari_vqad.detectors.calibration import pixel_kind
from napari_vqad.detectors.evidence import Evidence
from napari_vqad.detectors.pca import PCA
from napari_vqad.detectors.vq.likelihood import on_pixels
from napari_vqad.engine.consolidation import Consolidation
from napari_vqad.engine.store import Restorations
from napari_vqad.imaging.grid import Grid
from napari_vqad.imaging.template import Template
from napari_vqad.nets.vq.levels import Levels
from napari_vqad.scores.components import clean, large, within
from napari_vqad.scores.fusion import LINEAR, NLL, fuse, level, level_slices, middle, standardise
from napari_vqad.scores.normative import Places
from napari_vqad.scores.slice_score import slice_score
from napari_vqad.scores.weighting import consolidate, disagreement
from napari_vqad.settings import Settings

MAPS = ("nll", "restoration", "restoration_j", "disagreement", "residual", "pixel_score", "flagged")


class Kept(NamedTuple):
    """What maps are made of.

    Attributes:
        nll: float32 (n, h, w), nats, and `has_nll`, bool (n,), where it is there.
        restorations: those of the settings in force, of which the first `wanted` count.
        flag_voxels: in the unit of the pixel score.
        scale: how the pooled residual becomes the pixel score: "plain", "place" or "fused".
        healthy: median and 84th percentile of healthy fused scores; None while they are not known.
        whole: is all of the scan there? A part is levelled as the whole was the last time, and by itself before that.
    """

    nll: np.ndarray
    has_nll: np.ndarray
    restorations: Restorations
    wanted: int
    settings: Settings
    flag_voxels: float
    scale: str = "plain"
    healthy: tuple[float, float] | None = None
    whole: bool = True


class Restored(NamedTuple):
    """The restorations of one slice, float32.

    Attributes:
        pictures: X_j, SD, (S, H, W).
        weights: w_j, (S,).
        mean: Σ_j w_j X_j, SD, (H, W).
        disagreement: the SD among them, each counting alike, in SD of healthy intensity, (H, W).
    """

    pictures: np.ndarray
    weights: np.ndarray
    mean: np.ndarray
    disagreement: np.ndarray


class Maps:
    """The maps of one scan on the model's grid."""

    def __init__(
        self,
        grid: Grid,
        places: Places,
        levels: Levels,
        linear: PCA | None = None,
        template: Template | None = None,
    ) -> None:
        """With the template that the grid is aligned to, what is flagged outside of its brain is left out."""
        self.grid, self._levels = grid, levels
        self._brain = template.brain if template is not None and grid.aligned else None
        self._places, self._evidence = places, Evidence(linear)
        self._others: tuple[Hashable, dict[str, np.ndarray]] = (None, {})
        self._consolidation = Consolidation(grid)
        self._answers: dict[str, tuple[Hashable, np.ndarray]] = {}
        self._slices: tuple[Hashable, np.ndarray] = (None, np.zeros(0))
        self._levels_of: dict[Hashable, tuple[float, float]] = {}  # of the whole scan, by method and pooling

    def prepare(self) -> None:
        """Make what takes long and no setting changes: in the thread that opens a scan, not in the one that looks."""
        if LINEAR in self._places:
            _ = self._linear

    def get(self, name: str, kept: Kept, j: int = 0) -> np.ndarray:
        """A map, (n, H, W), read-only; the same array while nothing changes. Names and units as in `Explorer.map`."""
        made_of = _made_of(name, kept, j)
        if self._answers.get(name, (None,))[0] != made_of:
            array = self._make(name, kept, j)
            array.setflags(write=False)
            self._answers[name] = made_of, array
        return self._answers[name][1]

    def weights(self, kept: Kept) -> np.ndarray:
        """w_j, (S, n)."""
        return self._consolidation.weights(kept.restorations, kept.wanted, kept.settings).numpy().T

    def of_slice(self, kept: Kept, i: int) -> Restored | None:
        """The restorations of one slice; None while they are not all there."""
        w = self._consolidation.weights(kept.restorations, kept.wanted, kept.settings)[i : i + 1]
        if not w.any():
            return None
        pictures = torch.from_numpy(self.grid.slices[i] - kept.restorations.difference[i][: kept.wanted])[None]
        mean, apart = consolidate(w, pictures), disagreement(pictures)
        return Restored(*(t[0].numpy() for t in (pictures, w, mean, apart)))

    def _make(self, name: str, kept: Kept, j: int) -> np.ndarray:
        grid, restorations = self.grid, kept.restorations
        if name == "nll":
            return self._nll(kept, kept.settings.level)
        if name == "restoration_j":
            found = np.zeros_like(grid.slices)
            for i in (i for i in range(len(grid)) if restorations.shown(i) > j):
                found[i] = grid.slices[i] - restorations.difference[i][j]
            return found
        if name == "flagged":
            return self._flagged(kept)
        if name == "cleaned":
            s = kept.settings
            return clean(self.get("pixel_score", kept), grid.mask, s.median, s.erode / grid.spacing)
        made = self._consolidation
        if name == "restoration":
            difference = made.combined("mean", restorations, kept.wanted, kept.settings).numpy()
            return np.where(made.ready.numpy()[:, None, None], grid.slices - difference, np.float32(0))
        if name == "disagreement":
            return made.combined(name, restorations, kept.wanted, kept.settings).numpy() * grid.mask
        made.update(restorations, kept.wanted, kept.settings)
        if name == "residual":
            return made.residual.numpy().copy()
        if name != "pixel_score":
            raise KeyError(name)
        score = made.pixel_score.numpy()
        if kept.scale != "plain":
            within = made.mask.numpy() & made.ready.numpy()[:, None, None]
            s = kept.settings
            score = self._places.z(pixel_kind(s.method, s.pooling, "place"), score, within)
            if kept.scale == "fused":
                score = np.where(within, fuse(score, self.evidence(kept)), np.float32(0))
                score = self._level(score, within, kept) if kept.healthy else score
        return score.copy()

    def _level(self, score: np.ndarray, within: np.ndarray, kept: Kept) -> np.ndarray:
        """A fused score, levelled. By itself a part of a scan is levelled otherwise than the whole (a peak by 15 %)."""
        assert kept.healthy is not None
        key = kept.settings.method, kept.settings.pooling
        own = None if kept.whole else self._levels_of.get(key)
        if own is None and within.any():
            own = middle(score, within)
        if kept.whole and own is not None:
            self._levels_of[key] = own
        return level(score, within, kept.healthy, own)

    def _flagged(self, kept: Kept) -> np.ndarray:
        """uint8 (n, H, W): 1 where the threshold is exceeded, after the clean-up that the settings ask for."""
        if self.grid.kind == "clip":  # frames have no rim, and no millilitres
            return (self.get("pixel_score", kept) > kept.flag_voxels).astype(np.uint8)
        least = max(1, round(kept.settings.least_ml / self.grid.voxel_ml))
        found = large(self.get("cleaned", kept) > kept.flag_voxels, least)
        # What the mask holds of fat and muscle outside of the brain is no finding.
        return (found if self._brain is None else within(found, self._brain)).astype(np.uint8)

    def evidence(self, kept: Kept) -> dict[str, np.ndarray]:
        """The other evidence of a fused score, by place; made anew when NLL has been added."""
        made_of = kept.has_nll.tobytes()
        if self._others[0] != made_of:
            nll = {NLL: self._evidence.nll(self._nll(kept), self.grid.mask)}
            self._others = made_of, self._linear | standardise(nll, self._places, self.grid.mask)
        return self._others[1]

    def slice_scores(
        self, kept: Kept, healthy: tuple[float, float], healthy_nll: tuple[float, float] | None, spacing: float
    ) -> np.ndarray:
        """Slice scores made of the pixel score, (n,); made anew when that has changed.

        Args:
            kept: what maps are made of.
            healthy, healthy_nll: median and 84th percentile of healthy pixel scores, and of the NLL by place.
            spacing: mm between the grid's voxels.
        """
        made_of = _made_of("pixel_score", kept, 0)
        if self._slices[0] != made_of:
            within, nll = self.grid.mask, None
            pixel = level_slices(self.get("pixel_score", kept), within, healthy)
            if kept.scale != "plain" and healthy_nll is not None:
                there = within & kept.has_nll[:, None, None]
                nll = level_slices(self.evidence(kept)[NLL], there, healthy_nll)
            self._slices = made_of, slice_score(pixel, nll, within, spacing)
        return self._slices[1]

    def _nll(self, kept: Kept, level: str = "all") -> np.ndarray:
        grid = self.grid
        seen = on_pixels(torch.from_numpy(kept.nll), self._levels, grid.slices.shape[1:], level).numpy()
        return seen * (grid.mask & kept.has_nll[:, None, None])

    @cached_property
    def _linear(self) -> dict[str, np.ndarray]:
        """What the linear model says of the scan; no setting and no network changes it."""
        return standardise({LINEAR: self._evidence.linear(self.grid)}, self._places, self.grid.mask)


def _made_of(name: str, kept: Kept, j: int) -> Hashable:
    """Everything that a map depends on; equal while it need not be made again."""
    if name == "nll":
        return kept.has_nll.tobytes(), kept.settings.level
    s, basis = kept.settings, (tuple(kept.restorations.version), kept.wanted)
    if name == "restoration_j":
        return basis, j
    weighed = (basis, s.k, s.distance, s.paper_faithful)
    scored = weighed, s.pooling, kept.scale, kept.has_nll.tobytes() if kept.scale == "fused" else None
    if name == "pixel_score":
        return scored
    cleaned = scored, s.median, s.erode
    if name == "cleaned":
        return cleaned
    return (cleaned, kept.flag_voxels, s.least_ml) if name == "flagged" else weighed
