"""See how a vector-quantised anomaly detector thinks about a 3D scan.

In a notebook::

    import napari_vqad
    result = napari_vqad.score("head.nii.gz")
    result.sheet()

Nothing heavy is imported until it is asked for.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

try:
    __version__ = version("napari-vqad")
except PackageNotFoundError:  # a checkout on the path, not installed
    __version__ = "0+unknown"

_WHERE = {
    "Bundle": "napari_vqad.detectors.bundle",
    "Explorer": "napari_vqad.engine.explorer",
    "InputError": "napari_vqad.errors",
    "Settings": "napari_vqad.settings",
    "Volume": "napari_vqad.imaging.volume",
    "make_mask": "napari_vqad.imaging.brain_mask",
    "read_scan": "napari_vqad.io.nifti",
    "score": "napari_vqad.scoring",
}
__all__ = ["__version__", *_WHERE]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'napari_vqad' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
