"""A bundle: tokenizer, prior, preprocessing, calibration and card, as one folder. Nothing is ever unpickled."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from napari_vqad.detectors.bundle_checks import check_agreement, check_grid
from napari_vqad.detectors.calibration import Calibration, SliceTables, pixel_kind
from napari_vqad.detectors.pca import FILE as LINEAR
from napari_vqad.detectors.pca import PCA
from napari_vqad.errors import InputError
from napari_vqad.files import limits
from napari_vqad.files.jsonfile import parse_json, read_json, short, validated
from napari_vqad.files.regular import hash_regular, is_regular, read_regular
from napari_vqad.files.search import listed
from napari_vqad.files.snapshot import Snapshot
from napari_vqad.imaging.grid import GridSpec
from napari_vqad.imaging.template import FILE as TEMPLATE
from napari_vqad.imaging.template import Template
from napari_vqad.nets.device import pick_device
from napari_vqad.nets.vq.levels import Levels
from napari_vqad.nets.vq.masked_transformer import MaskedConfig
from napari_vqad.nets.vq.protocols import MaskedPrior, Prior
from napari_vqad.nets.vq.registry import PriorConfig, TokenizerConfig, has_places, make_prior, make_tokenizer
from napari_vqad.nets.vq.vqvae import Tokenizer
from napari_vqad.nets.weights import read_network
from napari_vqad.resources import models_folder
from napari_vqad.scores.normative import FILE as PLACES
from napari_vqad.scores.normative import Places
from napari_vqad.settings import Method, Scale, Settings
from napari_vqad.text import printable

VERSION = 1  # of config.json
SLICES = "slices.json"


class BundleConfig(BaseModel):
    """`config.json`: architecture, grid, preprocessing, and what the person reads in the list of models."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    title: str = Field(max_length=200)
    description: str = Field(max_length=10_000)
    grid: GridSpec = GridSpec()
    tokenizer: TokenizerConfig
    prior: PriorConfig

    @model_validator(mode="after")
    def _prior_reaches(self) -> BundleConfig:
        (height, width), stride = self.grid.shape, self.tokenizer.stride
        if height % stride or width % stride:
            raise ValueError(
                f"a slice of {height}×{width} pixels is no whole number of codes of {stride}×{stride} pixels"
            )
        levels = self.levels
        if getattr(self.tokenizer, "context", 0) and any(n % 2 for n in levels.shape):
            raise ValueError("a tokenizer with context has an even number of codes along each side")
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
    """A loaded bundle, its networks in eval mode on `device`.

    `hash` is that of the very bytes it was loaded from, as `fingerprint` makes it of a folder; `weights` that of the
    networks, template and linear model alone, which a calibration belongs to.
    """

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
    weights: str = ""

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
        return methods_of(self.config.prior)

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

    def scale(self, settings: Settings) -> Scale:
        """How a pixel score is measured: as the settings ask where the bundle knows places, else "plain"."""
        return settings.score if pixel_kind(settings.method, settings.pooling, "place") in self.places else "plain"

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
        files, target = Snapshot(find(folder), "bundle"), pick_device(device)
        folder, given = files.folder, calibration
        # In the order of `fingerprint`: each file is read once, and the hash is of what was read.
        config = _config(folder, files.read("config.json", limits.JSON))
        tokenizer = read_network(files, "tokenizer.safetensors", partial(make_tokenizer, config.tokenizer))
        prior = read_network(files, "prior.safetensors", partial(make_prior, config.prior, config.tokenizer.n_codes))
        parts = {name: files.read(name, limits.TABLES, True) for name in (LINEAR, TEMPLATE) if files.has(name)}
        raw = files.read("calibration.json", limits.JSON) if files.has("calibration.json") or given is None else b""
        if files.has(PLACES):
            parts[PLACES] = files.read(PLACES, limits.TABLES)
        calibration = given or validated(
            Calibration, parse_json(raw, folder / "calibration.json"), folder / "calibration.json"
        )
        template, places, linear = None, Places.none(), None
        if config.grid.aligned:
            template = Template.parse(_there(parts, folder / TEMPLATE), folder / TEMPLATE)
            linear = PCA.parse(parts[LINEAR], folder / LINEAR, config.grid.shape) if LINEAR in parts else None
            # A bundle that is about to be calibrated may have those of its last calibration.
            if PLACES in parts and given is None:
                places = Places.parse(parts[PLACES], folder / PLACES)
        loaded = cls(
            folder,
            files.all.hexdigest(),
            config,
            tokenizer.to(target).to(memory_format=torch.channels_last),  # type: ignore[call-overload]  # stubs lack it
            prior.to(target),
            calibration,
            target,
            template,
            places,
            linear,
            files.weights.hexdigest(),
        )
        check_grid(folder, config.grid, template)
        if given is None:
            check_agreement(loaded.folder, calibration, loaded.methods, loaded.levels, template, places, loaded.weights)
        return loaded if given else replace(loaded, calibration=_with_slices(loaded))

    def to(self, device: str) -> Bundle:
        """The same bundle on another device; this one is no longer of use."""
        target = pick_device(device)
        return replace(self, tokenizer=self.tokenizer.to(target), prior=self.prior.to(target), device=target)  # type: ignore[attr-defined,union-attr]


def list_bundles(folder: Path | None = None) -> list[Path]:
    """Folders with a tokenizer and a prior, under `folder` or the models that come with the package."""
    folder = models_folder() if folder is None else Path(folder)
    return [place for place in listed(folder) if is_regular(place / "prior.safetensors")]


def find(name: str | Path) -> Path:
    """The folder of a bundle given by path or by name."""
    for folder in (Path(name), models_folder() / name):
        if is_regular(folder / "config.json"):
            return folder
    known = ", ".join(p.name for p in list_bundles()) or "none"
    raise InputError(f"There is no bundle at '{name}'; the bundles at hand are: {known}.")


def same_grid(one: Path, other: Path) -> bool:
    """Does a scan lie on the grid of both bundles in the same way?"""
    grid = read_config(one).grid
    if grid != read_config(other).grid:
        return False
    return not grid.aligned or _template_of(one) == _template_of(other)


def read_config(folder: Path) -> BundleConfig:
    """`config.json` of a bundle, without its weights.

    Raises:
        InputError: it is missing, does not fit, or is of a newer version.
    """
    path = folder / "config.json"
    return _config(folder, read_regular(path, limits.JSON, "is missing from the bundle"))


def methods_of(prior: PriorConfig) -> tuple[Method, ...]:
    """The ways of restoring that a prior knows, the one to begin with first."""
    masked = isinstance(prior, MaskedConfig)
    return ("masked", "regenerative") if masked else ("anchored", "sequential", "light", "regenerative")


def fingerprint(folder: Path) -> str:
    """sha256 over what decides the maps: config, weights, template, calibration; not slices.json, which flags alone."""
    digest = hashlib.sha256()
    networks = ("tokenizer.safetensors", "prior.safetensors", LINEAR)
    for name in ("config.json", *networks, TEMPLATE, "calibration.json", PLACES):
        if (folder / name).exists():
            hash_regular(folder / name, 2 * limits.WEIGHTS, digest)
    return digest.hexdigest()


def _config(folder: Path, raw: bytes) -> BundleConfig:
    path = folder / "config.json"
    given = parse_json(raw, path)
    version = given.get("version", VERSION) if isinstance(given, dict) else VERSION
    if type(version) is int and version > VERSION:
        raise InputError(
            f"{path} is of version {version}, newer than this napari-vqad, which reads version {VERSION}; upgrade it."
        )
    return validated(BundleConfig, given, path)


def _with_slices(bundle: Bundle) -> Calibration:
    """Its calibration, with healthy slice scores where the bundle has some."""
    path = bundle.folder / SLICES
    if not path.exists():
        return bundle.calibration
    tables = validated(SliceTables, read_json(path), path)
    if tables.weights != bundle.weights or not set(tables.slices) <= set(bundle.calibration.pixel_score):
        raise InputError(f"{path} is of another model; run 'napari-vqad calibrate {bundle.folder} --slices'.")
    try:
        return bundle.calibration.with_slices(tables)
    except ValidationError as error:
        raise InputError(f"{path} does not fit: {short(error)}.") from error


def _there(parts: Mapping[str, bytes], path: Path) -> bytes:
    if path.name not in parts:
        raise InputError(f"{path} is missing from the bundle.")
    return parts[path.name]


def _template_of(folder: Path) -> bytes:
    return read_regular(folder / TEMPLATE, limits.TABLES, "is missing from the bundle")
