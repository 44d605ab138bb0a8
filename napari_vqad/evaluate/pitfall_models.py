"""Bundles as models of the pitfall experiments: images in, the restoration, the residual and evidence maps out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import settings_from
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.evaluate.pitfalls import Floats, Images, Model
from napari_vqad.evaluate.variants import settings_of
from napari_vqad.imaging.grid import Grid
from napari_vqad.scores.normative import NormativeMaps

RESTORATION, RESIDUAL = "restoration", "residual"
SCORES = ("residual", "evidence")  # roles of the maps that score voxels


def has_restoration(bundle: Bundle) -> bool:
    """Return True if the bundle makes a healthy image of a slice and measures the distance from it."""
    return {RESTORATION, RESIDUAL} <= {spec.name for spec in bundle.detector.maps}


def model_of(bundle: Bundle, method: str | None, images: Images, n_restorations: int) -> Model:
    """Return a bundle with one of its methods as a model; None is its first method.

    The images are given to it as slices of one scan that is not aligned, so only maps of single slices are
    meaningful, in their own units and not by place.

    Raises:
        InputError: the bundle makes no image, or has no such method.
    """
    if not has_restoration(bundle):
        raise InputError(f"{bundle.title} makes no image of a healthy slice, which these experiments compare with.")
    spec = bundle.config.grid
    low, high = spec.clip
    settings = settings_from({**settings_of(bundle, method), "n_restorations": n_restorations})
    scores = [m.name for m in bundle.detector.maps if m.role in SCORES and not m.indexed]

    # The slices lie at no place of the template, so nothing is compared with healthy values of a place.
    placeless = replace(bundle, places=NormativeMaps.none(), linear=None)

    def run(x: Floats) -> dict[str, NDArray]:
        slices = (low + x * (high - low)).astype(np.float32)
        explorer = Explorer(placeless, settings)
        explorer.load_grid(Grid.of_slices(slices, images.mask, images.position, spec.spacing, kind=spec.kind))
        explorer.finish()
        restoration = (explorer.map(RESTORATION) - low) / (high - low)
        found = {name: explorer.map(name).copy() for name in scores if name in explorer.maps}
        return {**found, RESTORATION: np.where(images.mask, restoration, images.healthy)}

    return run
