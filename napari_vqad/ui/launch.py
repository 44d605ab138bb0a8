"""The demo: open a sample head in the viewer, add the dock and start the analysis."""

from __future__ import annotations

import napari
from napari.plugins import menu_item_template
from napari.viewer import Viewer, current_viewer

from napari_vqad.detectors.bundle import read_config
from napari_vqad.detectors.library import find
from napari_vqad.ui.dock import ExplorerDock
from napari_vqad.ui.files.readers import healthy_sample, lesions_sample
from napari_vqad.ui.plumbing.connections import docked

# The dock's name in napari's Plugins menu. With this name the menu hides and shows this dock and adds no second one.
NAME = menu_item_template.format("VQ Anomaly Explorer", "Explorer")
SAMPLES = {"healthy": healthy_sample, "lesions": lesions_sample}


def open_sample(
    viewer: Viewer, sample: str = "lesions", bundle: str | None = None, device: str | None = None
) -> ExplorerDock:
    """Add a sample head, and the dock if the viewer has none, to a viewer and start the analysis."""
    for data, attributes, kind in SAMPLES[sample]():
        getattr(viewer, f"add_{kind}")(data, **attributes)
    there = docked(viewer, ExplorerDock)
    dock = there[0] if there else ExplorerDock(viewer)
    if not there:
        viewer.window.add_dock_widget(dock, name=NAME, area="right")
    elif (frame := dock.parentWidget()) is not None:
        frame.show()  # the user may have hidden it
    if bundle is not None:
        folder = find(bundle)
        if all(value != folder for _, value in dock.inputs.bundle.items()):  # not listed yet
            dock.inputs.bundle.box.addItem(read_config(folder).title, folder)
        dock.inputs.bundle.pick(folder)
    if device is not None:
        dock.inputs.device.pick(device)
    dock.start()
    return dock


def open_here() -> None:
    """Open the sample in the current viewer. A menu entry calls this."""
    viewer = current_viewer()
    if viewer is not None:
        open_sample(viewer)


def run(sample: str = "lesions", bundle: str | None = None, device: str | None = None) -> None:
    """Open a viewer with the sample and return when the user closes it."""
    viewer = Viewer(title="napari-vqad")
    open_sample(viewer, sample, bundle, device)
    napari.run()
