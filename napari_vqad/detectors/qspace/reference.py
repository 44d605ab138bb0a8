"""The normal voxels of a bundle: their measurements, or, if these must not be passed on, their codes alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save

from napari_vqad.detectors.qspace.config import QSpaceConfig
from napari_vqad.detectors.qspace.settings import NoveltyName
from napari_vqad.errors import InputError
from napari_vqad.files import limits
from napari_vqad.files.snapshot import Snapshot
from napari_vqad.files.tensors import parse_tensors
from napari_vqad.nets.voxel_vae import Gaussian, VoxelVAE
from napari_vqad.scores.novelty.batch import Reference

FILE = "reference.safetensors"
PARTS = {"voxels": ("voxels",), "codes": ("mean", "log_variance")}
OF_VOXELS: frozenset[NoveltyName] = frozenset({"input_distance", "output_input_distance"})  # which need measurements
Arrays = dict[str, NDArray[np.float16]]


class CodesOnly(Reference):
    """A reference without the measurements of its voxels; the scores of `OF_VOXELS` cannot be computed."""

    def __init__(self, vae: VoxelVAE, codes: Gaussian) -> None:
        super().__init__(vae, codes.mean)
        self.codes = codes  # type: ignore[misc]  # instead of those that `Reference` would compute of vectors


def make_reference(vae: VoxelVAE, arrays: Arrays, device: torch.device) -> Reference:
    """Make the reference of the arrays of a bundle, on the device of the network."""
    parts = {name: torch.from_numpy(array.astype(np.float32)).to(device) for name, array in arrays.items()}
    if "voxels" in parts:
        return Reference(vae, parts["voxels"])
    return CodesOnly(vae, Gaussian(parts["mean"], parts["log_variance"]))


@torch.inference_mode()
def arrays_of(vae: VoxelVAE, voxels: NDArray[np.float32], kind: str) -> Arrays:
    """Return what a bundle holds of normal voxels (M, C), half precision: "voxels", or "codes" alone."""
    if kind == "voxels":
        return {"voxels": voxels.astype(np.float16)}
    codes = vae.encode(torch.from_numpy(voxels))
    return {name: part.numpy().astype(np.float16) for name, part in zip(PARTS["codes"], codes, strict=True)}


def write_reference(arrays: Arrays, folder: Path) -> None:
    """Write the arrays into a bundle."""
    (folder / FILE).write_bytes(save(arrays))


def read_reference(files: Snapshot, config: QSpaceConfig) -> Arrays:
    """Read the arrays of a bundle.

    Raises:
        InputError: the file is missing, damaged, or of another network.
    """
    path = files.folder / FILE
    parts = parse_tensors(files.read(FILE, limits.TABLES, True), path)
    width = config.network.measurements if config.reference == "voxels" else config.network.latent
    shapes = {part.shape[1:] for part in parts.values()}
    numbers = {len(part) for part in parts.values() if part.ndim == 2}
    if set(parts) != set(PARTS[config.reference]) or shapes != {(width,)} or len(numbers) != 1 or 0 in numbers:
        raise InputError(f"{path} does not hold the normal voxels that config.json announces.")
    if any(part.dtype != np.float16 for part in parts.values()):
        raise InputError(f"{path} holds another kind of numbers than half precision.")
    return parts
