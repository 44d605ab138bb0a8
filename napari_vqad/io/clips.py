"""Clips: frames of a fixed camera, with labels of abnormal frames and pixels if known.

A clip is an npz file with `frames`, uint8 (T, H, W). A labelled clip also has `frame_label`, (T,), nonzero for abnormal
frames, and `pixel_label`, uint8 (T, H, ⌈W/8⌉), with bits packed along the last axis, set for abnormal pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_vqad.errors import InputError
from napari_vqad.files import limits
from napari_vqad.files.archive import holds, read_npz
from napari_vqad.imaging.volume import Volume


@dataclass(frozen=True)
class Clip:
    """A clip: consecutive frames.

    Attributes:
        name: name shown on screen.
        frames: uint8 (T, H, W), grey.
        abnormal: bool (T,), abnormal frames; None if unlabelled.
        label: bool (T, H, W), abnormal pixels; None if unlabelled.
        path: the file.
    """

    name: str
    frames: np.ndarray
    abnormal: np.ndarray | None = None
    label: np.ndarray | None = None
    path: Path | None = None

    def __len__(self) -> int:
        return len(self.frames)

    def part(self, first: int, end: int) -> Clip:
        """Return the frames `first` to `end` − 1 as a new clip."""
        some = slice(first, end)
        return replace(
            self,
            name=f"{self.name}, frames {first} to {end - 1}",
            frames=self.frames[some],
            abnormal=None if self.abnormal is None else self.abnormal[some],
            label=None if self.label is None else self.label[some],
        )

    def volume(self) -> Volume:
        """Convert the frames to a volume of kind "clip": voxels (column, row, time), with unit steps."""
        voxels = self.frames.transpose(2, 1, 0).astype(np.float32)
        return Volume(voxels, np.eye(4), np.eye(4), name=self.name, path=self.path, kind="clip")


def is_clip(path: str | Path) -> bool:
    """Say whether this is an npz file with frames; only its list of contents is read."""
    return str(path).lower().endswith(".npz") and holds(path, "frames.npy")


def read_clip(path: str | Path) -> Clip:
    """Read a clip; nothing is unpickled.

    Raises:
        InputError: the file is missing or broken, or its frames or labels have the wrong type or shape.
    """
    path = Path(path)
    # Pixels are converted from uint8 to float32, which takes four times the memory.
    arrays = read_npz(path, ("frames", "frame_label", "pixel_label"), "clip", limits.VOXELS // 4)
    if "frames" not in arrays:
        raise InputError(f"{path} is not a clip: it holds no 'frames'.")
    frames = arrays["frames"]
    if frames.dtype != np.uint8 or frames.ndim != 3 or 0 in frames.shape:
        raise InputError(
            f"{path} is not a clip: its frames are {frames.dtype} of the shape {_size(frames)}, "
            "and grey frames are uint8 of time × height × width."
        )
    labelled = {"frame_label", "pixel_label"} & set(arrays)
    if not labelled:
        return Clip(path.stem, frames, path=path)
    if len(labelled) == 1:
        raise InputError(f"{path} has '{labelled.pop()}' alone; a labelled clip has 'frame_label' and 'pixel_label'.")
    abnormal, packed = arrays["frame_label"], arrays["pixel_label"]
    t, h, w = frames.shape
    if (
        abnormal.dtype.kind not in "biuf"
        or abnormal.shape != (t,)
        or packed.dtype != np.uint8
        or packed.shape != (t, h, -(-w // 8))
    ):
        raise InputError(
            f"{path} has labels of the shapes {_size(abnormal)} and {_size(packed)} (packed in bits) for frames of "
            f"{_size(frames)}; they must agree, and be numbers."
        )
    label = np.unpackbits(packed, axis=-1, count=w).astype(bool)
    return Clip(path.stem, frames, abnormal != 0, label, path)


def _size(array: np.ndarray) -> str:
    return "×".join(map(str, array.shape)) or "a single number"
