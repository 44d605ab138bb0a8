"""The entry to the notebook's explorer, which needs none of its packages to be imported."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_vqad.errors import InputError
from napari_vqad.resources import DEFAULT_BUNDLE

if TYPE_CHECKING:
    import numpy as np

    from napari_vqad.detectors.bundle import Bundle
    from napari_vqad.detectors.settings import Settings
    from napari_vqad.imaging.volume import Volume
    from napari_vqad.notebook.explorer import NotebookExplorer

NEEDS = ("ipyniivue", "ipywidgets", "anywidget", "IPython")


def explore(
    scan: str | Path | Volume,
    mask: str | Path | np.ndarray | None = None,
    model: str | Path | Bundle = DEFAULT_BUNDLE,
    settings: Settings | dict[str, Any] | None = None,
    *,
    device: str = "auto",
    series: str | int | None = None,
    debug: bool = False,
) -> NotebookExplorer:
    """Show a scan with its maps in a notebook, and analyse it in the background.

    Args:
        scan: a NIfTI file, a folder with DICOM files or one of these files, or a `Volume`.
        mask: a NIfTI file, or bool (R, A, S); computed if not given.
        model: name or folder of a model, or a loaded `Bundle`.
        settings: thresholds, method and so on, or a dict with some of them.
        device: "auto", "cuda", "mps" or "cpu"; ignored for a loaded model.
        series: number or UID, for a folder with several DICOM series.
        debug: show a traceback if an argument cannot be used, not one sentence alone.

    Returns:
        The explorer. A cell shows it at its end; `.result()` waits for the analysis and returns what `score` returns.

    Raises:
        InputError: a package is missing, or an argument cannot be used.
    """
    try:
        if missing := [name for name in NEEDS if find_spec(name) is None]:
            raise InputError(
                f"The explorer in a notebook needs {' and '.join(missing)}; run: pip install 'napari-vqad[notebook]'."
            )
        from napari_vqad.notebook.explore import make_explorer

        return make_explorer(scan, mask, model, settings, device, series)
    except InputError as error:
        if not debug:
            words = str(error)
            error._render_traceback_ = lambda *_: [words]  # type: ignore[attr-defined]  # IPython shows this instead
        raise
