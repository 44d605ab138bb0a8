"""napari's readers, writers and sample data, built on `napari_vqad.io`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from napari import current_viewer
from napari.layers import Image
from napari.utils.notifications import show_error, show_info, show_warning

from napari_vqad.errors import InputError
from napari_vqad.imaging.volume import Volume
from napari_vqad.io.clips import Clip, is_clip, read_clip
from napari_vqad.io.dicom_index import SeveralSeriesError, holds_dicom, is_dicom
from napari_vqad.io.labels import holds_labels
from napari_vqad.io.load import load_scan
from napari_vqad.io.nifti import is_nifti, is_pair, read_scan, write_map
from napari_vqad.resources import samples_folder
from napari_vqad.ui.compare.canvas_state import PARTIAL
from napari_vqad.ui.files.recent import RecentlyRead, SeriesKey, key_of, keys_in
from napari_vqad.ui.files.series_dialog import ask_series
from napari_vqad.ui.layers import placement

LayerData = tuple[Any, dict, str]


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[LayerData]] | None:
    """The reader for NIfTI, DICOM (files or folders) and clips, or None. It reads a list of paths one by one."""
    paths = [path] if isinstance(path, str) else path
    return read if all(map(_is_ours, paths)) else None


def read(path: str | list[str]) -> list[LayerData]:
    """Read scans and clips as layers; a notification reports a file that cannot be used.

    Files of a series that is open already are skipped; a folder is always read.
    """
    found: list[LayerData] = []
    _recently_read.begin()
    for one in [path] if isinstance(path, str) else path:
        found += _layers(one, found)
    _recently_read.end()
    return found or [(None,)]  # type: ignore[list-item]  # tells napari: read, but nothing to show


_recently_read = RecentlyRead()


def _layers(path: str, before: list[LayerData]) -> list[LayerData]:
    """The layers of one file or folder; `before` are layers read in the same call and not yet in the viewer."""
    series = key_of(path)
    if series is not None and _is_known(path, series, before):
        return []
    try:
        if is_clip(path):
            return clip_layers(read_clip(path))
        volume = _scan(path)
    except InputError as error:
        if series is not None:
            _recently_read.add(("refused", series))
        if _recently_read.add(str(error)) or not is_dicom(path):
            show_error(str(error))
        return []
    if volume is None:
        return []
    _recently_read.add(("read", series))
    for note in volume.notes:
        show_info(f"{volume.name}: {note}")
    if is_nifti(path) and holds_labels(volume):
        return [label_layer(volume, volume.name)]
    return scan_layers(volume)


def _is_known(path: str, series: SeriesKey, before: list[LayerData]) -> bool:
    """Does a file belong to a series that is open, or that was refused a moment ago?"""
    if ("refused", series) in _recently_read:
        return True
    viewer = current_viewer()
    images = [layer for layer in (viewer.layers if viewer else ()) if isinstance(layer, Image)]
    metadata = [m.metadata for m in images if "napari_vqad_grid" not in m.metadata]  # maps may outlive it
    metadata += [attributes["metadata"] for _, attributes, _ in before]
    volumes = (known.get("napari_vqad") for known in metadata)
    if series not in keys_in(v for v in volumes if isinstance(v, Volume)):
        return False
    if _recently_read.add(("read", series)):  # the user opened it again and must be told why nothing happens
        show_info(f"The series of {Path(path).name} is already open; to open it twice, open its folder.")
    return True


def _is_ours(path: str) -> bool:
    """Can this reader read a path? For a folder only a few files are checked."""
    if Path(path).is_dir():
        return holds_dicom(path)
    return is_nifti(path) or is_clip(path) or is_pair(path) or is_dicom(path)


def _scan(path: str) -> Volume | None:
    """Read a scan. If a folder holds several series, ask for one; None if the user wants none."""
    try:
        return load_scan(path)
    except SeveralSeriesError as several:
        uid = ask_series(several)
        return None if uid is None else load_scan(path, uid)


def scan_layer(volume: Volume, name: str | None = None) -> LayerData:
    """A scan as an image layer.

    The window is from the 1st percentile of all voxels to the 99.5th percentile of those above the median.
    """
    bright = volume.voxels[volume.voxels > np.percentile(volume.voxels, 50)]
    high = float(np.percentile(bright, 99.5)) if len(bright) else float(volume.voxels.max())
    low = float(np.percentile(volume.voxels, 1))
    attributes = {
        "name": name or volume.name,
        "contrast_limits": (low, max(high, low + 1e-6)),
        "colormap": "gray",
        "interpolation2d": "linear",
        "metadata": {"napari_vqad": volume},
        **placement.placed_as(volume),
    }
    return placement.to_canvas(volume.voxels), attributes, "image"


def scan_layers(volume: Volume, name: str | None = None) -> list[LayerData]:
    """A scan as an image layer; of a diffusion scan also its measurements, with an axis of their own, hidden."""
    layers = [scan_layer(volume, name)]
    if volume.measurements is not None:
        layers.append(measurements_layer(volume, f"{name or volume.name}, measurements"))
    return layers


def measurements_layer(volume: Volume, name: str) -> LayerData:
    """The measurements of a diffusion scan as a hidden image layer (measurement, S, A, R).

    The window is from zero to the 99.5th percentile of a part of the values.
    """
    assert volume.measurements is not None
    values = volume.measurements.values
    high = float(np.percentile(values[::2, ::2, ::2], 99.5))
    attributes = {
        "name": name,
        "visible": False,
        "contrast_limits": (0.0, max(high, 1e-6)),
        "colormap": "gray",
        "interpolation2d": "linear",
        "metadata": {placement.MEASUREMENTS: volume},
        **placement.placed_measurements(volume),
    }
    return values.transpose(3, 2, 1, 0), attributes, "image"


def clip_layers(clip: Clip) -> list[LayerData]:
    """The frames of a clip as an image layer (time, row, column), and its abnormal pixels, if known, hidden."""
    volume = clip.volume()
    common = {"metadata": {"napari_vqad": volume}, **placement.placed_as(volume)}
    frames = {"name": clip.name, "contrast_limits": (0, 255), "colormap": "gray", "interpolation2d": "linear"}
    layers: list[LayerData] = [(clip.frames, {**frames, **common}, "image")]
    if clip.label is not None:
        label = {"name": f"{clip.name}, abnormal (ground truth)", "visible": False, "opacity": 0.6}
        layers.append((clip.label.astype(np.uint8), {**label, **common}, "labels"))
    return layers


def label_layer(volume: Volume, name: str) -> LayerData:
    """Labels as a layer on the voxels of their scan."""
    attributes = {"name": name, "metadata": {"napari_vqad": volume}, "opacity": 0.6, **placement.placed_as(volume)}
    values = np.abs(np.unique(volume.voxels))
    whole = np.array_equal(values, np.rint(values)) and volume.voxels.min() >= 0
    labels = volume.voxels if whole else volume.voxels > volume.voxels.min()  # else a two-valued mask
    return placement.to_canvas(labels).astype(np.uint8 if values.max() < 256 else np.int32), attributes, "labels"


def write_image(path: str, data: Any, attributes: dict) -> list[str]:
    """Write an image layer as NIfTI, in the space of the scan it belongs to."""
    return _write(path, np.asarray(data, np.float32), attributes)


def write_labels(path: str, data: Any, attributes: dict) -> list[str]:
    """Write a labels layer as NIfTI, in the space of the scan it belongs to."""
    return _write(path, np.asarray(data).astype(np.int16), attributes)


def _write(path: str, data: np.ndarray, attributes: dict) -> list[str]:
    if partial := attributes["metadata"].get(PARTIAL):
        show_warning(
            f"{Path(path).name}: {attributes.get('name', 'the map')} was written but is not up to date: {partial}."
        )
    if data.ndim != 3:
        raise InputError(f"{Path(path).name}: only a 3D layer can be written as a scan.")
    like = attributes["metadata"].get("napari_vqad")
    if isinstance(like, Volume) and like.kind == "clip":
        raise InputError(f"{Path(path).name}: a layer of a clip cannot be written as NIfTI; save it as .tif.")
    if not isinstance(like, Volume):
        scale, translate = np.asarray(attributes["scale"]), np.asarray(attributes["translate"])
        affine = np.diag([*-scale[::-1], 1.0])
        affine[:3, 3] = -translate[::-1]
        like = Volume(placement.from_canvas(data), affine, affine)
    elif like.voxels.shape != data.shape[::-1]:
        grid = attributes["metadata"]["napari_vqad_grid"]
        labels = data.dtype.kind in "iu"
        data = placement.to_canvas(grid.view_to_scan(placement.from_canvas(data), order=0 if labels else 1))
    target = path if is_nifti(path) else f"{path}.nii.gz"
    if like.path is not None and _same_file(target, like.path):
        raise InputError(f"{target} is the file of the scan that the layer belongs to; choose another name.")
    write_map(target, placement.from_canvas(data), like, attributes.get("name", ""))
    return [target]


def _same_file(one: str | Path, other: str | Path) -> bool:
    return os.path.exists(one) and os.path.exists(other) and os.path.samefile(one, other)


def healthy_sample() -> list[LayerData]:
    """The simulated healthy head."""
    return [scan_layer(read_scan(samples_folder() / "healthy_t1.nii.gz"), "Simulated head, healthy")]


def lesions_sample() -> list[LayerData]:
    """The simulated head with lesions, and the labels of the lesions, hidden at first."""
    scan = read_scan(samples_folder() / "lesions_t1.nii.gz")
    labels = label_layer(read_scan(samples_folder() / "lesions_label.nii.gz"), "Simulated lesions (ground truth)")
    labels[1]["visible"] = False
    return [scan_layer(scan, "Simulated head, lesions"), labels]


def diffusion_sample() -> list[LayerData]:
    """The simulated diffusion scan, its measurements, and the labels of its lesions, hidden at first."""
    scan = load_scan(samples_folder() / "diffusion.nii.gz")
    labels = label_layer(read_scan(samples_folder() / "diffusion_label.nii.gz"), "Simulated lesions (ground truth)")
    labels[1]["visible"] = False
    return [*scan_layers(scan, "Simulated diffusion, mean b = 0"), labels]
