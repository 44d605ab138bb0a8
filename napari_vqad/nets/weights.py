"""Reading and writing the weights of networks: safetensors only, checked before memory is allocated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import nn

from napari_vqad.errors import InputError
from napari_vqad.files import limits
from napari_vqad.files.atomic import atomic_write
from napari_vqad.files.jsonfile import short
from napari_vqad.files.limits import gib
from napari_vqad.files.shared import read_file
from napari_vqad.files.snapshot import Snapshot
from napari_vqad.files.tensors import Entry, parse_tensors
from napari_vqad.nets.blank import blank, bytes_of

Network = TypeVar("Network", bound=nn.Module)


def load_weights(model: Network, path: Path) -> Network:
    """Load weights of any float type from a safetensors file into a network: float32, eval mode, without gradients.

    Raises:
        InputError: the file is missing, broken, or of another network.
    """
    wanted = model.state_dict()
    limit = 2 * bytes_of(model) + limits.TENSOR_HEADER
    raw = read_file(path.parent, path.name, limit, "is missing from the bundle")
    return _filled(model, parse_tensors(raw, path, partial(_check_entries, wanted, path)), path)


def read_network(files: Snapshot, name: str, make: Callable[[], Network]) -> Network:
    """Read a network from a file of a bundle; the file is checked before the network is allocated.

    Raises:
        InputError: the file is missing, damaged, or of another network.
    """
    empty, path = blank(make), files.folder / name
    if (size := bytes_of(empty)) > limits.WEIGHTS:
        raise InputError(
            f"{files.folder / 'config.json'} asks for a network of {gib(size)}, and at most {gib(limits.WEIGHTS)} are "
            "read."
        )
    raw = files.read(name, 2 * size + limits.TENSOR_HEADER, True)  # twice the size, because the weights may be float64
    return _filled(make(), parse_tensors(raw, path, partial(_check_entries, empty.state_dict(), path)), path)


def _check_entries(wanted: Mapping[str, torch.Tensor], path: Path, entries: Mapping[str, Entry]) -> None:
    for name, tensor in wanted.items():
        if name not in entries:
            raise InputError(f"{path} lacks '{name}', which config.json asks for.")
        has, asks = entries[name].shape, tuple(tensor.shape)
        if has != asks:
            raise InputError(f"{path} has '{name}' of shape {has} where config.json asks for {asks}.")
        if tensor.is_floating_point() and not entries[name].is_float:
            raise InputError(f"{path} has '{name}' as {entries[name].dtype}, which is another kind of number.")
    unknown = sorted(set(entries) - set(wanted))
    if unknown:
        raise InputError(f"{path} has '{short(unknown[0])}', which config.json does not know.")


def _filled(model: Network, tensors: dict[str, NDArray], path: Path) -> Network:
    wanted = model.state_dict()
    for name, tensor in tensors.items():
        # Earlier versions saved integers in half precision, too.
        if not wanted[name].is_floating_point() and not np.array_equal(tensor, np.rint(tensor)):
            raise InputError(f"{path} has '{name}' with values that are not whole numbers.")
    model.load_state_dict({k: torch.from_numpy(v).to(wanted[k].dtype) for k, v in tensors.items()})
    if not getattr(model, "in_order", True):  # a prior that reads codes in its own order
        raise InputError(f"{path} has an 'order' that does not name each place of the sequence once.")
    return model.eval().requires_grad_(False)


def save_weights(model: nn.Module, path: Path) -> None:
    """Write a network's weights in half precision; `load_weights` turns them back into float32.

    Raises:
        InputError: the file cannot be written.
    """
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    with atomic_write(path) as file:
        file.write_bytes(save({k: v.half() if v.is_floating_point() else v for k, v in tensors.items()}))
