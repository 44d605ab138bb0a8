"""A request to analyse a scan, and the scan prepared for analysis."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from napari.layers import Image, Labels

from napari_vqad.engine.explorer import Explorer
from napari_vqad.export.reproduction import Reproduction, reproduction
from napari_vqad.export.study import Study
from napari_vqad.ui.layers.mask_input import StudyMask


@dataclass(frozen=True)
class AnalysisRequest:
    """What the user wants to analyse. `mask` is a layer, a file, the mask of a study, or None to compute one."""

    scan: Image
    mask: Labels | Path | StudyMask | None
    bundle: Path
    device: str


@dataclass(frozen=True)
class PreparedScan:
    """A scan that is ready for analysis.

    `scan` is its layer, `study` the saved study that it comes from, `files` the other files that were read. The mask
    was read from `mask_file`, or computed if `mask_computed`; else it comes from a layer or a study.
    """

    explorer: Explorer
    mask: np.ndarray
    note: str
    scan: Image | None = None
    study: Study | None = None
    files: tuple[Path, ...] = ()
    mask_file: Path | None = None
    mask_computed: bool = False

    def reproduction(self) -> Reproduction:
        """The command line, and three lines of Python, that repeat the analysis with its present settings."""
        return reproduction(self.explorer, self.mask_file, computed=self.mask_computed)
