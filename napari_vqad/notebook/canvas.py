"""The picture: the scan and a map over it, in three planes and in 3D, drawn by NiiVue in the browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from ipyniivue import ColormapType, NiiVue, SliceType
from ipyniivue import Volume as NiiVolume
from ipywidgets import Layout
from numpy.typing import NDArray

from napari_vqad.imaging.grid import Grid
from napari_vqad.imaging.volume import Volume
from napari_vqad.notebook.volumes import GREY, HEAT, OPAQUE, colour_maps, nifti_bytes, view_affine

HEIGHT = 340  # pixels
PLANES = {
    "Three planes": SliceType.MULTIPLANAR,
    "Axial": SliceType.AXIAL,
    "Coronal": SliceType.CORONAL,
    "Sagittal": SliceType.SAGITTAL,
    "3D": SliceType.RENDER,
}
CROSS = (0.35, 0.75, 1.0, 0.9)  # the colour of the cross-hair
OnLocation = Callable[[NDArray], None]


class _Voxels(NiiVolume):
    """A volume whose voxels the kernel alone changes.

    NiiVue sends the voxels of each volume that it has loaded back to the kernel. They are ignored: they may be older
    than those that the kernel has sent since, and the next change is sent as the difference to the kernel's.
    """

    def set_state(self, state: dict) -> None:
        """Take over what the browser says, without voxels."""
        super().set_state({name: value for name, value in state.items() if not name.startswith("chunk_img")})


class Canvas:
    """One NiiVue with the scan, and with a map once there is one."""

    def __init__(
        self,
        volume: Volume,
        grey: NDArray[np.uint8],
        on_location: OnLocation | None = None,
        at: NDArray | None = None,
    ) -> None:
        """Show a scan.

        Args:
            volume: the scan.
            grey: its voxels as 0 to 255, (R, A, S).
            on_location: called with the canonical voxel index (3,) where the user has put the cross-hair.
            at: where the cross-hair is at first; by default in the middle of the scan.
        """
        self.volume = volume
        self.widget = NiiVue(
            height=HEIGHT,
            is_radiological_convention=True,
            sagittal_nose_left=True,
            is_orientation_text_visible=volume.side_known,
            show_all_orientation_markers=True,
            drag_and_drop_enabled=False,
            crosshair_color=CROSS,
            crosshair_width=1.0,
            crosshair_gap=6.0,
            font_color=(1.0, 1.0, 1.0, 1.0),
            font_min_px=16,
            back_color=(0.0, 0.0, 0.0, 1.0),
            multiplanar_pad_pixels=6,
            log_level="error",
        )
        self.widget.layout = Layout(flex="1 1 0", width="auto", min_width="0")
        self._scan = self._volume("scan.nii", grey, volume.affine, GREY)
        self._map: _Voxels | None = None
        self._on_location = on_location
        self._at = (np.array(volume.voxels.shape) - 1) / 2 if at is None else at
        self.widget.on_canvas_attached(self._attached)
        self.widget.on_image_loaded(lambda _volume: self.go_to(self._at))
        self.widget.on_location_change(self._located)

    @staticmethod
    def _volume(name: str, voxels: NDArray[np.uint8], affine: NDArray, colours: str, opaque: float = 0.0) -> _Voxels:
        """A volume; if `opaque` is above 0, lower values are the more transparent the lower they are."""
        kind = ColormapType.ZERO_TO_MAX_TRANSLUCENT_BELOW_MIN if opaque else ColormapType.MIN_TO_MAX
        made = _Voxels(
            data=nifti_bytes(voxels, affine),
            name=name,
            colormap=colours,
            colormap_type=kind,
            cal_min=opaque,
            cal_max=255.0,
        )
        made.img = voxels.ravel(order="F")
        return made

    def _attached(self) -> None:
        for name, colours in colour_maps().items():
            self.widget.add_colormap(name, colours)
        self._load()

    def _load(self) -> None:
        self.widget.load_volumes([v for v in (self._scan, self._map) if v is not None])

    def _located(self, location: dict[str, Any]) -> None:
        shape = np.array(self.volume.voxels.shape)
        self._at = np.asarray(location["frac"][:3], float) * shape - 0.5
        if self._on_location is not None:
            self._on_location(self._at)

    # ---- the picture ------------------------------------------------------------------------------------------------

    def set_scan(self, grey: NDArray[np.uint8]) -> None:
        """Show the scan in another window."""
        self._scan.img = grey.ravel(order="F")

    def open_map(self, grid: Grid) -> None:
        """Add the map's volume, on the voxels of a grid's view; it is empty at first."""
        empty = np.zeros(grid.view.shape, np.uint8)
        self._map = self._volume("map.nii", empty, view_affine(self.volume, grid), HEAT, OPAQUE)
        if self.widget._canvas_attached:
            self._load()

    def set_map(self, steps: NDArray[np.uint8], colours: str) -> None:
        """Show a map, (R, A, S) on the view. Only the voxels that have changed are sent."""
        if self._map is None:
            return
        if self._map.colormap != colours:
            self._map.colormap = colours
        self._map.img = steps.ravel(order="F")

    def set_opacity(self, opacity: float) -> None:
        """Set the map's opacity, 0 to 1."""
        if self._map is not None and self._map.opacity != opacity:
            self._map.opacity = opacity

    def set_planes(self, name: str) -> None:
        """Show one plane, three planes or 3D (`PLANES`)."""
        self.widget.set_slice_type(PLANES[name])

    # ---- the cross-hair ---------------------------------------------------------------------------------------------

    @property
    def at(self) -> NDArray:
        """The canonical voxel index of the cross-hair, (3,)."""
        return self._at

    def go_to(self, index: NDArray) -> None:
        """Put the cross-hair at a canonical voxel index, (3,)."""
        shape = np.array(self.volume.voxels.shape)
        self._at = np.clip(np.asarray(index, float), 0, shape - 1)
        self.widget.scene.crosshair_pos = [float(v) for v in (self._at + 0.5) / shape]

    def close(self) -> None:
        """Remove the volumes and the canvas from the browser."""
        for volume in (self._scan, self._map):
            if volume is not None:
                volume.close()
        self.widget.close()
