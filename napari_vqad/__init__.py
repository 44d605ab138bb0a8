"""See how a vector-quantised anomaly detector thinks about a 3D scan.

In a notebook::

    import napari_vqad
    result = napari_vqad.score("head.nii.gz", progress=print)
    result.sheet()
    result.as_dict()["volume_score"]

Nothing heavy is imported until it is asked for.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the same names and modules as in `_WHERE`, for type checkers and editors
    from napari_vqad.detectors.bundle import Bundle
    from napari_vqad.detectors.library import list_bundles
    from napari_vqad.detectors.settings import Settings
    from napari_vqad.engine.explorer import Explorer
    from napari_vqad.errors import InputError
    from napari_vqad.export.result_file import read_result
    from napari_vqad.export.study import Study, open_study, save_study
    from napari_vqad.findings.findings import Finding
    from napari_vqad.imaging.brain_mask import make_mask
    from napari_vqad.imaging.volume import Volume
    from napari_vqad.io.load import load_scan
    from napari_vqad.io.nifti import read_scan
    from napari_vqad.notebook.entry import explore
    from napari_vqad.scoring import Result, sample_scan, score

__all__ = [
    "Bundle",
    "Explorer",
    "Finding",
    "InputError",
    "Result",
    "Settings",
    "Study",
    "Volume",
    "__version__",
    "explore",
    "list_bundles",
    "load_scan",
    "make_mask",
    "open_study",
    "read_result",
    "read_scan",
    "sample_scan",
    "save_study",
    "score",
]

try:
    __version__ = version("napari-vqad")
except PackageNotFoundError:  # a checkout on the path, not installed
    __version__ = "0+unknown"

_WHERE = {
    "Bundle": "napari_vqad.detectors.bundle",
    "Explorer": "napari_vqad.engine.explorer",
    "Finding": "napari_vqad.findings.findings",
    "InputError": "napari_vqad.errors",
    "Result": "napari_vqad.scoring",
    "Settings": "napari_vqad.detectors.settings",
    "Study": "napari_vqad.export.study",
    "Volume": "napari_vqad.imaging.volume",
    "explore": "napari_vqad.notebook.entry",
    "list_bundles": "napari_vqad.detectors.library",
    "load_scan": "napari_vqad.io.load",
    "make_mask": "napari_vqad.imaging.brain_mask",
    "open_study": "napari_vqad.export.study",
    "read_result": "napari_vqad.export.result_file",
    "read_scan": "napari_vqad.io.nifti",
    "sample_scan": "napari_vqad.scoring",
    "save_study": "napari_vqad.export.study",
    "score": "napari_vqad.scoring",
}

if not TYPE_CHECKING:  # a type checker would take every unknown name for one that this returns

    def __getattr__(name: str) -> object:
        if name in _WHERE:
            return getattr(import_module(_WHERE[name]), name)
        raise AttributeError(f"module 'napari_vqad' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
