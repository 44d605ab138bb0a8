"""What is to be analysed, and what comes of that before the work begins."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from napari.layers import Image, Labels

from napari_vqad.engine.explorer import Explorer
from napari_vqad.export.study import Study
from napari_vqad.ui.layers.mask_input import StudyMask


@dataclass(frozen=True)
class AnalysisRequest:
    """What the person asks to be analysed. `mask` is a layer, a file, that of a study, or None to have one made."""

    scan: Image
    mask: Labels | Path | StudyMask | None
    bundle: Path
    device: str


@dataclass(frozen=True)
class PreparedScan:
    """A scan that is ready to be worked on; `scan` is its layer, `study` the saved one that it comes of, if any.

    `files` were read beside the scan.
    """

    explorer: Explorer
    mask: np.ndarray
    note: str
    scan: Image | None = None
    study: Study | None = None
    files: tuple[Path, ...] = ()
