"""The picture: the scan and a map over it, in three planes and in 3D, drawn by NiiVue in the browser.

The map is NiiVue's *drawing*, a layer of one byte a voxel with a table of colours. An overlay would be simpler, but at
each change, of its opacity too, NiiVue computes the colours of all voxels of the scan and of each overlay again. For a
drawing it uploads the bytes, and for its opacity it draws the planes alone. Without a GPU that is 20 to 35 times as
quick.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ipyniivue import NiiVue, SliceType
from ipyniivue import Volume as NiiVolume
from ipyniivue.traits import ColorMap
from ipywidgets import Layout
from numpy.typing import NDArray

from napari_vqad.imaging.grid import Grid
from napari_vqad.imaging.volume import Volume
from napari_vqad.notebook.volumes import colours, nifti_bytes
from napari_vqad.notebook.voxels import Between, CanvasVoxels, Placement

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


class _Scan(NiiVolume):
    """A volume whose voxels the kernel alone changes.

    NiiVue sends the voxels of each volume that it has loaded back to the kernel. They are ignored: they may be older
    than those that the kernel has sent since, and the next change is sent as the difference to the kernel's.
    """

    def set_state(self, state: dict) -> None:
        """Take over what the browser says, without voxels."""
        super().set_state({name: value for name, value in state.items() if not name.startswith("chunk_img")})


class _View(NiiVue):
    """A NiiVue whose drawing the kernel alone changes; it calls `loaded` when the browser has loaded one."""

    def __init__(self, loaded: Callable[[], None], **options: Any) -> None:
        self._loaded = loaded
        super().__init__(**options)

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> dict:
        """The state without the drawing, of which the differences are sent."""
        state = super().get_state(key=key, drop_defaults=drop_defaults)
        return {name: value for name, value in state.items() if name != "draw_bitmap"}

    def set_state(self, state: dict) -> None:
        """Take over what the browser says, without the voxels of the drawing."""
        rest = {name: value for name, value in state.items() if "draw_bitmap" not in name}
        if rest:
            super().set_state(rest)
        if any(
            n.startswith("chunk_draw_bitmap") and v["chunk_index"] == v["total_chunks"] - 1 for n, v in state.items()
        ):
            self._loaded()


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
        self.volume, self._voxels = volume, CanvasVoxels(volume)
        self.widget = _View(
            self._map_loaded,
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
        self.widget.draw_opacity = 1.0
        self.widget.set_draw_colormap(ColorMap(**colours()))
        shown = self._voxels.of(grey)
        self._scan = _Scan(
            data=nifti_bytes(shown, self._voxels.affine), name="scan.nii", colormap="gray", cal_min=0.0, cal_max=255.0
        )
        self._scan.img = shown.ravel(order="F")
        self._map_lock = threading.Lock()  # the browser's news and the analysis come from different threads
        self._placement: Placement | None = None
        self._map: NDArray[np.uint8] = np.zeros(shown.size, np.uint8)
        self.widget.draw_bitmap = self._map
        self._has_map = False  # has the browser loaded a drawing, so that it can take changes of it?
        self._on_location = on_location
        self._at = (np.array(volume.voxels.shape) - 1) / 2 if at is None else at
        self.widget.on_canvas_attached(lambda: self.widget.load_volumes([self._scan]))
        self.widget.on_image_loaded(lambda _volume: self._image_loaded())
        self.widget.on_location_change(self._located)

    def _image_loaded(self) -> None:
        self.go_to(self._at)
        with self._map_lock:
            self._has_map = False
            bitmap = self.widget.draw_bitmap.reshape(self._voxels.shape, order="F")
        with tempfile.TemporaryDirectory(prefix="napari-vqad-") as folder:  # NiiVue takes a drawing as a file alone
            path = Path(folder) / "map.nii"
            path.write_bytes(nifti_bytes(bitmap, self._voxels.affine))
            self.widget.load_drawing(str(path))

    def _map_loaded(self) -> None:
        with self._map_lock:
            self._has_map = True
            self.widget.draw_bitmap = self._map  # it may have changed meanwhile

    def _located(self, location: dict[str, Any]) -> None:
        self._at = self._voxels.index(location["frac"][:3])
        if self._on_location is not None:
            self._on_location(self._at)

    # ---- the picture ------------------------------------------------------------------------------------------------

    def set_scan(self, grey: NDArray[np.uint8]) -> None:
        """Show the scan in another window."""
        self._scan.img = self._voxels.of(grey).ravel(order="F")

    def open_map(self, grid: Grid) -> None:
        """Show maps on the voxels of a grid's view from now on; at first an empty one."""
        self._placement = Placement(grid.view, self._voxels.frame)
        self.set_map(np.zeros(grid.view.shape, np.uint8), "nearest")

    def set_map(self, steps: NDArray[np.uint8], between: Between) -> None:
        """Show a map. Only the voxels that have changed are sent.

        Args:
            steps: (R, A, S) on the view, numbers of `volumes.colours`.
            between: how to interpolate between the voxels of the view (see `Placement`).
        """
        if self._placement is None:
            return
        placed = self._placement(steps, between)
        with self._map_lock:
            self._map = placed
            if self._has_map:
                self.widget.draw_bitmap = placed

    @property
    def map(self) -> NDArray[np.uint8]:
        """The map on the voxels of the canvas, (R, A, S)."""
        return self._map.reshape(self._voxels.shape, order="F")

    def set_opacity(self, opacity: float) -> None:
        """Set the map's opacity, 0 to 1."""
        self.widget.draw_opacity = opacity

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
        self._at = np.clip(np.asarray(index, float), 0, np.array(self.volume.voxels.shape) - 1)
        self.widget.scene.crosshair_pos = [float(v) for v in self._voxels.frac(self._at)]

    def close(self) -> None:
        """Remove the scan and the canvas from the browser."""
        self._scan.close()
        self.widget.close()
