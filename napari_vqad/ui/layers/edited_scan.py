"""The layers of an edited scan: the scan, directly above its original, and its label."""

from __future__ import annotations

from napari.layers import Image, Labels, Layer
from napari.viewer import Viewer

from napari_vqad.imaging.volume import Volume
from napari_vqad.ui.files.readers import scan_layer
from napari_vqad.ui.layers import placement
from napari_vqad.ui.layers.map_layers import remove_layers

MARK = "napari_vqad_edited"  # in the metadata of these layers


def show(viewer: Viewer, volume: Volume) -> Image:
    """Show an edited scan and its label in the layers of an earlier version, or in new ones; return the scan's."""
    assert volume.edited is not None
    layers = layers_of(viewer, volume.source)
    image = next((m for m in layers if isinstance(m, Image)), None)
    labels = next((m for m in layers if isinstance(m, Labels)), None)
    if image is None:
        original = _layer_of_original(viewer, volume.source)
        data, attributes, _kind = scan_layer(volume, f"{original.name} (edited)")
        image = Image(data, **attributes)
        viewer.layers.insert(viewer.layers.index(original) + 1, image)
    else:
        image.metadata["napari_vqad"] = volume  # before its data: they must fit
        image.data = placement.to_canvas(volume.voxels)
    marked = placement.to_canvas(volume.edited.label)
    if labels is None:
        labels = Labels(marked, name=f"{image.name}, label", opacity=0.9, **placement.placed_as(volume))
        labels.contour = int(viewer.dims.ndisplay == 2)
        viewer.layers.append(labels)
    else:
        labels.data = marked
    for layer in (image, labels):
        layer.metadata.update({"napari_vqad": volume, MARK: True})
        layer.visible = True
    return image


def hide(viewer: Viewer, original: Volume) -> None:
    """Hide the layers of an edited scan, because its original is shown."""
    for layer in layers_of(viewer, original):
        layer.visible = False


def remove(viewer: Viewer, original: Volume) -> None:
    """Remove the layers of an edited scan."""
    remove_layers(viewer, layers_of(viewer, original))


def layers_of(viewer: Viewer, original: Volume) -> list[Layer]:
    """The layers of edited versions of a scan: the scan and its label, if they are there."""
    return [m for m in viewer.layers if MARK in m.metadata and m.metadata["napari_vqad"].source is original]


def _layer_of_original(viewer: Viewer, original: Volume) -> Image:
    """The layer of the scan as it was read; it is opened if it is not in the viewer."""
    there = next((m for m in viewer.layers if isinstance(m, Image) and placement.is_scan_of(m, original)), None)
    if there is None:
        data, attributes, _kind = scan_layer(original)
        there = Image(data, **attributes)
        viewer.layers.insert(0, there)
    return there
