"""An analysis of a few slices of a head, with the scored map as it is."""

from pathlib import Path

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.explorer import Explorer


def explored(folder: Path, head, explorer: Explorer | None = None, **settings) -> Explorer:
    """Analyse seven slices with a bundle and settings; with `explorer`, change the settings of that one."""
    chosen = Settings(score="intensity", pooling="none", slices=(10, 17), **settings)
    if explorer is None:
        explorer = Explorer(Bundle.load(folder, "cpu"), chosen)
        explorer.load_scan(*head)
    explorer.change(chosen)
    explorer.finish()
    return explorer
