"""What detectors with a single trained network in one file share."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import nn

from napari_vqad.detectors.base import BaseDetector
from napari_vqad.files.snapshot import Snapshot
from napari_vqad.nets.device import device_of, moved
from napari_vqad.nets.weights import read_network, save_weights

FILE = "network.safetensors"


class OneNetworkDetector(BaseDetector):
    """A detector with one network, in eval mode on one device."""

    files: ClassVar[tuple[str, ...]] = (FILE,)

    def __init__(self, network: Any) -> None:
        self.network = network
        self.device = device_of(network)

    @classmethod
    def make(cls, config: Any) -> nn.Module:
        """Make the network of a config, untrained."""
        raise NotImplementedError

    @classmethod
    def load(cls, config: Any, files: Snapshot) -> Self:
        """Load the network of a bundle.

        Raises:
            InputError: the file is missing, or of another network.
        """
        return cls(read_network(files, FILE, partial(cls.make, config)))

    def save(self, folder: Path) -> None:
        """Write the network into a folder, half precision."""
        save_weights(self.network, folder / FILE)

    def to(self, device: torch.device) -> Self:
        """Return the same network on another device, as a new module."""
        return type(self)(moved(self.network, device))
