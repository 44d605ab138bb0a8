"""`explore`: show a scan and its maps in a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from IPython import get_ipython

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings, settings_from
from napari_vqad.imaging.volume import Volume
from napari_vqad.io.nifti import read_mask
from napari_vqad.notebook.explorer import NotebookExplorer
from napari_vqad.scoring import head_of

_open: dict[str, list[tuple[int, NotebookExplorer]]] = {}  # by cell: number of its run, and explorer


def make_explorer(
    scan: str | Path | Volume,
    mask: str | Path | np.ndarray | None,
    model: str | Path | Bundle,
    settings: Settings | dict[str, Any] | None,
    device: str,
    series: str | int | None,
) -> NotebookExplorer:
    """Make an explorer; see `napari_vqad.explore`."""
    cell, run = _cell()
    for before, explorer in _open.pop(cell, []):
        if before == run:  # the same run of the cell has made two
            _open.setdefault(cell, []).append((before, explorer))
        else:
            explorer.close()
    volume = head_of(scan, series)
    if isinstance(mask, (str, Path)):
        read_mask(mask, volume)  # refuse it now, not in the background
    bundle = model if isinstance(model, Bundle) else Bundle.load(model, device)
    given = settings if isinstance(settings, Settings) else settings_from(settings or {})
    bundle.refuse_foreign(given)
    explorer = NotebookExplorer(volume, bundle, given, mask, device)
    _open.setdefault(cell, []).append((run, explorer))
    return explorer


def _cell() -> tuple[str, int]:
    """The cell that runs now, and the number of its run; the front-end names the cell in its request."""
    shell: Any = get_ipython()
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return "", 0
    parent = kernel.get_parent("shell") or {}
    return str(parent.get("metadata", {}).get("cellId", "")), int(shell.execution_count)
