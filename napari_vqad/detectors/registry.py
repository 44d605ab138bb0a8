"""The detectors there are, by the name that config.json gives them. To add one, add a line."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_vqad.detectors.protocol import Detector

DEFAULT = "vq"  # of a bundle that does not say
DETECTORS: Mapping[str, str] = {
    "vq": "napari_vqad.detectors.vq.detector:VQDetector",
    "pca": "napari_vqad.detectors.pca:PCADetector",
    "histogram": "napari_vqad.detectors.histogram:HistogramDetector",
}


def detector_class(kind: str) -> type[Detector]:
    """The class of a kind of detector, imported when it is needed.

    Raises:
        KeyError: there is no such kind.
    """
    module, _, name = DETECTORS[kind].partition(":")
    return getattr(import_module(module), name)
