"""A bundle: tokenizer, prior, preprocessing, calibration and card, as one folder. Nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from napari_vqad.calibration import Calibration
from napari_vqad.device import pick_device
from napari_vqad.errors import InputError
from napari_vqad.evidence import MADE_WITH
from napari_vqad.grid import GridSpec
from napari_vqad.io.whole import whole
from napari_vqad.nets.kinds import PriorConfig, TokenizerConfig, has_places, make_prior, make_tokenizer
from napari_vqad.nets.levels import Levels
from napari_vqad.nets.pca import FILE as LINEAR
from napari_vqad.nets.pca import PCA
from napari_vqad.nets.prior import MaskedPrior, Prior
from napari_vqad.nets.tokenizer import Tokenizer
from napari_vqad.paths import models_folder
from napari_vqad.places import FILE as PLACES
from napari_vqad.places import Places
from napari_vqad.settings import Method, Settings
from napari_vqad.template import FILE as TEMPLATE
from napari_vqad.template import Template
from napari_vqad.text import printable


class BundleConfig(BaseModel):
    """`config.json`: architecture, grid, preprocessing, and what the person reads in the list of models."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    title: str
    description: str
    grid: GridSpec = GridSpec()
    tokenizer: TokenizerConfig
    prior: PriorConfig

    @model_validator(mode="after")
    def _prior_reaches(self) -> BundleConfig:
        levels = self.levels
        if not has_places(self.prior, levels):
            grids = " and ".join(f"{h}×{w}" for h, w in levels.shapes)
            raise ValueError(f"the prior has no place for a grid of {grids} codes")
        return self

    @property
    def levels(self) -> Levels:
        """Of the codes of a slice."""
        return self.tokenizer.levels(self.grid.shape)


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle, its networks in eval mode on `device`."""

    folder: Path
    hash: str
    config: BundleConfig
    tokenizer: Tokenizer
    prior: Prior | MaskedPrior
    calibration: Calibration
    device: torch.device
    template: Template | None = None  # of a model that knows aligned heads
    places: Places = field(default_factory=Places.none)  # what is normal where, of such a model
    linear: PCA | None = None  # its second opinion

    @property
    def name(self) -> str:
        """The folder's name, by which the command line knows it."""
        return printable(self.folder.name)

    @property
    def title(self) -> str:
        """What the list of models shows."""
        return self.config.title

    @property
    def methods(self) -> tuple[Method, ...]:
        """The ways of restoring that its prior knows, the one to begin with first."""
        masked = isinstance(self.prior, MaskedPrior)
        return ("masked", "regenerative") if masked else ("anchored", "sequential", "light", "regenerative")

    @property
    def causal(self) -> Prior:
        """Its prior, where that sees the past alone.

        Raises:
            InputError: it sees both sides.
        """
        if isinstance(self.prior, MaskedPrior):
            raise InputError(f"{self.title} has a masked prior; this needs a causal one.")
        return self.prior

    def known(self, settings: Settings) -> Settings:
        """The settings with a method and a level that this bundle knows: its first, where theirs is another's."""
        method = settings.method if settings.method in self.methods else self.methods[0]
        level = settings.level if settings.level in self.levels.names else "all"
        new = {"method": method, "level": level}
        # What fits is left as it is: a copy would count as chosen by the person.
        changed = {name: value for name, value in new.items() if value != getattr(settings, name)}
        return settings.model_copy(update=changed) if changed else settings

    def fitting(self, settings: Settings) -> Settings:
        """As `known`, where nobody has chosen otherwise.

        Raises:
            InputError: a method was chosen that its prior cannot do, or a level that its codes do not have.
        """
        if settings.method not in self.methods and "method" in settings.model_fields_set:
            raise InputError(f"{self.title} cannot restore by '{settings.method}'; choose {' or '.join(self.methods)}.")
        if settings.level not in ("all", *self.levels.names) and "level" in settings.model_fields_set:
            raise InputError(f"{self.title} has one level of codes, and no '{settings.level}'.")
        return self.known(settings)

    @property
    def levels(self) -> Levels:
        """Of the codes of a slice; their `shape` is that of all arrays of codes."""
        return self.config.levels

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto", calibration: Calibration | None = None) -> Bundle:
        """Load a bundle by its folder, or by its name under models/.

        `calibration` stands in for calibration.json, which a bundle in training does not have yet.

        Raises:
            InputError: it does not exist or does not fit; the sentence says what and where.
        """
        folder = find(folder)
        config = read_config(folder)
        target = pick_device(device)
        tokenizer = load_weights(make_tokenizer(config.tokenizer), folder / "tokenizer.safetensors")
        prior = load_weights(make_prior(config.prior, config.tokenizer.n_codes), folder / "prior.safetensors")
        calibration = calibration or _read_json(folder / "calibration.json", Calibration)
        if any(kind.endswith(" fused") for kind in calibration.pixel_score) and calibration.fused != MADE_WITH:
            raise InputError(f"{folder} was calibrated for another fused score; run 'napari-vqad calibrate {folder}'.")
        return cls(
            folder,
            fingerprint(folder),
            config,
            tokenizer.to(target).to(memory_format=torch.channels_last),  # type: ignore[call-overload]  # stubs lack it
            prior.to(target),
            calibration,
            target,
            Template.load(folder) if config.grid.aligned else None,
            Places.load(folder) if config.grid.aligned else Places.none(),
            PCA.load(folder, config.grid.shape) if config.grid.aligned else None,
        )

    def to(self, device: str) -> Bundle:
        """The same bundle on another device; this one is no longer of use."""
        target = pick_device(device)
        return replace(self, tokenizer=self.tokenizer.to(target), prior=self.prior.to(target), device=target)  # type: ignore[attr-defined,union-attr]


def list_bundles(folder: Path | None = None) -> list[Path]:
    """Folders with a tokenizer and a prior, under `folder` or the models that come with the package."""
    folder = models_folder() if folder is None else Path(folder)
    return sorted(p.parent for p in folder.glob("*/prior.safetensors")) if folder.is_dir() else []


def find(name: str | Path) -> Path:
    """The folder of a bundle given by path or by name."""
    for folder in (Path(name), models_folder() / name):
        if (folder / "config.json").is_file():
            return folder
    known = ", ".join(p.name for p in list_bundles()) or "none"
    raise InputError(f"There is no bundle at '{name}'; the bundles at hand are: {known}.")


def same_grid(one: Path, other: Path) -> bool:
    """Does a scan lie on the grid of both bundles in the same way?"""
    grid = read_config(one).grid
    if grid != read_config(other).grid:
        return False
    return not grid.aligned or (one / TEMPLATE).read_bytes() == (other / TEMPLATE).read_bytes()


def read_config(folder: Path) -> BundleConfig:
    """`config.json` of a bundle, without its weights."""
    return _read_json(folder / "config.json", BundleConfig)


Network = TypeVar("Network", bound=nn.Module)


def load_weights(model: Network, path: Path) -> Network:
    """Fill a network from a safetensors file of any float type; float32, eval mode, no gradients.

    Raises:
        InputError: the file is missing, broken, or of another network.
    """
    try:
        tensors = load_file(path)
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing from the bundle.") from error
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a readable safetensors file.") from error
    wanted = model.state_dict()
    for name, tensor in wanted.items():
        if name not in tensors:
            raise InputError(f"{path} lacks '{name}', which config.json asks for.")
        if tensors[name].shape != tensor.shape:
            has, asks = tuple(tensors[name].shape), tuple(tensor.shape)
            raise InputError(f"{path} has '{name}' of shape {has} where config.json asks for {asks}.")
    unknown = sorted(set(tensors) - set(wanted))
    if unknown:
        raise InputError(f"{path} has '{unknown[0]}', which config.json does not know.")
    model.load_state_dict({k: v.to(wanted[k].dtype) for k, v in tensors.items()})
    return model.eval().requires_grad_(False)


def save_weights(model: nn.Module, path: Path) -> None:
    """Write a network's weights in half precision; `load_weights` turns them back into float32.

    Raises:
        InputError: the file cannot be written.
    """
    tensors = {k: v.detach().cpu().half().contiguous() for k, v in model.state_dict().items()}
    with whole(path) as file:
        file.write_bytes(save(tensors))


def fingerprint(folder: Path) -> str:
    """sha256 over what decides the maps: config, weights, template and calibration."""
    digest = hashlib.sha256()
    networks = ("tokenizer.safetensors", "prior.safetensors", LINEAR)
    for name in ("config.json", *networks, TEMPLATE, "calibration.json", PLACES):
        if (folder / name).exists():
            digest.update((folder / name).read_bytes())
    return digest.hexdigest()


T = TypeVar("T", bound=BaseModel)


def _read_json(path: Path, kind: type[T]) -> T:
    try:
        return kind.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing from the bundle.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path} does not fit at '{where}': {first['msg'].lower()}.") from error
    except ValueError as error:
        raise InputError(f"{path} is not readable JSON.") from error
