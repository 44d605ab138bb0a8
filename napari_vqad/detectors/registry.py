"""All detectors, by their names in config.json. To add a detector, add a line."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_vqad.detectors.protocol import Detector

DEFAULT = "vq"  # if config.json names no detector
DETECTORS: Mapping[str, str] = {
    "vq": "napari_vqad.detectors.vq.detector:VQDetector",
    "vae-restoration": "napari_vqad.detectors.vae_restoration:VAERestorationDetector",
    "anogan": "napari_vqad.detectors.anogan:AnoGANDetector",
    "pca": "napari_vqad.detectors.pca:PCADetector",
    "autoencoder": "napari_vqad.detectors.autoencoder:AutoencoderDetector",
    "vae": "napari_vqad.detectors.vae:VAEDetector",
    "ganomaly": "napari_vqad.detectors.ganomaly:GanomalyDetector",
    "histogram": "napari_vqad.detectors.histogram:HistogramDetector",
    "dfkde": "napari_vqad.detectors.dfkde:DFKDEDetector",
    "qspace": "napari_vqad.detectors.qspace.detector:QSpaceDetector",
}


def detector_class(kind: str) -> type[Detector]:
    """Import and return the class of a kind of detector.

    Raises:
        KeyError: there is no such kind.
    """
    module, _, name = DETECTORS[kind].partition(":")
    return getattr(import_module(module), name)
