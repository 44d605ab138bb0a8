"""DFKDE, deep feature kernel density estimation: how unlikely the features of a slice are among healthy ones.

    f = mean over places of the last features of an encoder          score = −ln p(f)

as anomalib defines it (Akcay et al. 2022): deep features, PCA to 16 components, Gaussian kernel density. There the
features are those of a ResNet that has seen ImageNet; here they are those of a network that was trained on healthy
slices, the encoder of an autoencoder, a VAE or a tokenizer. It scores whole slices and has no maps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from safetensors.numpy import save
from torch import nn

from napari_vqad.detectors.base import BaseDetector, BundleConfig
from napari_vqad.detectors.protocol import Arrays, Family, HealthySlices, Job, MapSpec, Stage
from napari_vqad.errors import InputError
from napari_vqad.files import limits
from napari_vqad.files.snapshot import Snapshot
from napari_vqad.files.tensors import parse_tensors
from napari_vqad.nets.autoencoder import Autoencoder, AutoencoderSizes
from napari_vqad.nets.device import device_of, exact, moved
from napari_vqad.nets.vq.registry import OwnTokenizer, OwnTokenizerConfig, make_own
from napari_vqad.nets.weights import load_weights, read_network
from napari_vqad.scores.kernel_density import KernelDensity

FEATURES, DENSITY = "features.safetensors", "density.safetensors"
PARTS = ("mean", "sd", "whiten", "points")  # arrays of the density


class FeatureNetwork(BaseModel):
    """The network whose encoder gives the features: an autoencoder or VAE, or a tokenizer.

    The bundle holds its file with the bytes unchanged, so that both bundles may share it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(max_length=200, description="name of its bundle")
    autoencoder: AutoencoderSizes | None = None
    variational: bool = False
    tokenizer: OwnTokenizerConfig | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.autoencoder is None) == (self.tokenizer is None):
            raise ValueError("features are those of an autoencoder or of a tokenizer")
        return self

    def make(self, shape: tuple[int, int]) -> Autoencoder | OwnTokenizer:
        """Make the network, untrained."""
        if self.autoencoder is not None:
            return Autoencoder(self.autoencoder, shape, self.variational)
        assert self.tokenizer is not None
        return make_own(self.tokenizer)


class DFKDEConfig(BundleConfig):
    """`config.json` of a bundle with this detector; a recipe does not name the network."""

    detector: Literal["dfkde"] = "dfkde"
    components: int = Field(16, ge=1, le=1000, description="d, principal components of the features")
    features: FeatureNetwork | None = None


class DFKDEDetector(BaseDetector):
    """Kernel density of a slice's deep features among those of healthy slices (DFKDE)."""

    kind: ClassVar[str] = "dfkde"
    family: ClassVar[Family] = "density"
    files: ClassVar[tuple[str, ...]] = (FEATURES, DENSITY)
    Config: ClassVar[type[Any]] = DFKDEConfig
    stages: ClassVar[tuple[Stage, ...]] = (Stage("features", "Features", at_once=16),)
    maps: ClassVar[tuple[MapSpec, ...]] = ()
    scored: ClassVar[str | None] = None
    slice_title: ClassVar[str | None] = "−ln p(features)"
    slice_unit: ClassVar[str | None] = "nats"

    def __init__(self, network: Any, density: KernelDensity, source: str) -> None:
        self.network, self.density, self.source = network, density, source
        self.device = device_of(network)

    # ---- files ----------------------------------------------------------------------------------------------------

    @classmethod
    def load(cls, config: DFKDEConfig, files: Snapshot) -> Self:
        """Load network and density of a bundle.

        Raises:
            InputError: a file is missing, damaged or of another network.
        """
        if config.features is None:
            raise InputError(f"{files.folder / 'config.json'} does not say which network the features come from.")
        network = read_network(files, FEATURES, partial(config.features.make, config.grid.shape))
        raw = files.read(DENSITY, limits.TABLES, True)
        return cls(network, _parse(raw, files.folder / DENSITY, config), config.features.name)

    def save(self, folder: Path) -> None:
        """Write the density; `fit` names the network's file, which is copied with its bytes unchanged."""
        parts = {name: getattr(self.density, name) for name in PARTS}
        (folder / DENSITY).write_bytes(save(parts))

    def to(self, device: torch.device) -> Self:
        """Return the same detector on another device, with a new network."""
        return type(self)(moved(self.network, device), self.density, self.source)

    # ---- fitting --------------------------------------------------------------------------------------------------

    @classmethod
    def prepare(cls, config: DFKDEConfig, source: BundleConfig | None, name: str) -> tuple[DFKDEConfig, dict[str, str]]:
        """Add the network of another bundle to the config and its name to the title.

        Raises:
            InputError: there is no other bundle, or it has no such network, or another grid.
        """
        if source is None:
            raise InputError("This detector needs the features of a network: give a bundle with --features.")
        sizes, tokenizer = getattr(source, "network", None), getattr(source, "tokenizer", None)
        if not isinstance(sizes, AutoencoderSizes) and getattr(tokenizer, "kind", "monai") == "monai":
            raise InputError(f"{name} has no encoder whose features can be used.")
        if source.grid != config.grid:
            raise InputError(f"{name} has another grid than the recipe asks for.")
        autoencoder = sizes if isinstance(sizes, AutoencoderSizes) else None
        features = FeatureNetwork(
            name=name,
            autoencoder=autoencoder,
            variational=getattr(source, "detector", "") == "vae",
            tokenizer=None if autoencoder else tokenizer,
        )
        title = f"{config.title} on features of {name}"
        file = "network.safetensors" if autoencoder else "tokenizer.safetensors"
        return config.model_copy(update={"features": features, "title": title}), {FEATURES: file}

    @classmethod
    def fit(cls, config: DFKDEConfig, healthy: HealthySlices) -> Self:
        """Fit the density to the features of the training slices.

        Raises:
            InputError: the network's file is damaged, or the slices are all alike.
        """
        assert config.features is not None
        network = load_weights(config.features.make(config.grid.shape), healthy.files[FEATURES])
        try:
            density = KernelDensity.fit(pooled_features(network, healthy.slices, healthy.position), config.components)
        except ValueError as error:
            raise InputError(f"{config.title} cannot be fitted: {error}.") from error
        return cls(network, density, config.features.name)

    # ---- scores ---------------------------------------------------------------------------------------------------

    def run(self, stage: str, job: Job) -> list[Arrays]:
        """Compute −ln p of each slice, (1,), nats."""
        job.check()
        surprise = self.density.surprise(pooled_features(self.network, job.slices, job.position))
        return [{"surprise": value[None]} for value in surprise]

    def map(self, name: str, data: Any) -> NDArray:
        """There are no maps."""
        raise KeyError(name)

    def slice_score(self, results: Arrays, settings: Any) -> NDArray | None:
        """Return −ln p of each slice, (n,), nats."""
        return results["surprise"]

    def slice_words(self, settings: Any) -> str:
        """Describe the score and the features."""
        return f"−ln p of each slice: how unlike those of all healthy slices its features are, by {self.source}."

    def about(self) -> list[tuple[str, str]]:
        """Describe features and density."""
        (n, d), width = self.density.points.shape, len(self.density.mean)
        features = f"of {self.source}, its encoder's last level, averaged over the slice: {width} numbers"
        density = (
            f"{d} principal components of {n} healthy slices, Gaussian kernels of width {self.density.bandwidth:.3f}"
        )
        return [*super().about(), ("features", features), ("density", density)]

    def fits(self, results: Mapping[str, Sequence[Arrays]], shape: tuple[int, ...]) -> bool:
        """Check that results hold one float32 number for each slice."""
        slices = results.get("features", ())
        alike = all(
            {k: (a.shape, a.dtype) for k, a in s.items()} == {"surprise": ((1,), np.float32)} for s in slices if s
        )
        return set(results) == {"features"} and alike


@torch.inference_mode()
def pooled_features(network: Any, slices: NDArray, position: NDArray, at_once: int = 64) -> NDArray[np.float32]:
    """Average the last features of a network's encoder over each slice: (n, H, W) in SD and (n,) → (n, D)."""
    assert isinstance(network, nn.Module)
    device, found = device_of(network), []
    with exact(device):
        for start in range(0, len(slices), at_once):
            part = slice(start, start + at_once)
            y, place = (
                torch.as_tensor(np.ascontiguousarray(a[part])).to(device, torch.float32) for a in (slices, position)
            )
            last = network.features(y[:, None], place)[-1]  # type: ignore[operator]
            found.append(last.float().mean((2, 3)).cpu().numpy())
    return np.concatenate(found)


def _parse(raw: bytes, path: Path, config: DFKDEConfig) -> KernelDensity:
    """Parse the density of a bundle.

    Raises:
        InputError: it is damaged, or of other features.
    """
    parts = parse_tensors(raw, path)
    shapes = {name: part.shape for name, part in parts.items()}
    if set(shapes) != set(PARTS) or any(part.dtype != np.float32 for part in parts.values()):
        raise InputError(f"{path} is not a kernel density.")
    (n, d), width = shapes["points"] if len(shapes["points"]) == 2 else (0, 0), shapes["mean"]
    if n < 2 or not 1 <= d <= config.components or shapes["sd"] != width or shapes["whiten"] != (d, *width):
        raise InputError(f"{path} is not a kernel density in at most {config.components} components.")
    if not all(np.isfinite(part).all() for part in parts.values()) or not (parts["sd"] > 0).all():
        raise InputError(f"{path} has values that are not finite.")
    return KernelDensity(**parts)
