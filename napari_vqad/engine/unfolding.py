"""The restoration of one slice, step by step, of what an explorer holds."""

from __future__ import annotations

from napari_vqad.detectors.protocol import Unfolding
from napari_vqad.engine.explorer import Explorer


def unfolding(explorer: Explorer, index: int, j: int = 0) -> Unfolding | None:
    """Restoration j (from 0) of a slice of the grid, step by step.

    Returns:
        None while the restoration is not there yet, and where the detector restores no codes.
    """
    detector, restored = explorer.detector, [m.name for m in explorer.maps.values() if m.role == "restoration"]
    if not restored or not explorer.ready(restored[0])[index]:
        return None
    done = {}
    for stage in (stage for stage in detector.stages if not stage.rebuildable):
        sample = j if stage.samples else 0
        names = explorer.stacked(stage.name)
        done[stage.name] = {name: explorer.results(stage.name, name, sample)[index] for name in names}
    settings = explorer.bundle.resolve_own(explorer.settings)
    return detector.unfold(explorer.grid.slices[index], float(explorer.grid.position[index]), done, settings)
