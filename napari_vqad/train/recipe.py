"""Recipes: TOML files with all options of a bundle and of its training, except the data."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from napari_vqad.detectors.registry import detector_class
from napari_vqad.detectors.vq.config import VQConfig
from napari_vqad.errors import InputError
from napari_vqad.files import limits
from napari_vqad.files.jsonfile import short, validated
from napari_vqad.files.regular import is_regular, read_text
from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.nets.vq.pixelsnail import PixelSnailConfig
from napari_vqad.nets.vq.registry import OwnTokenizerConfig, PriorConfig
from napari_vqad.nets.vq.vqvae import TokenizerConfig
from napari_vqad.train.prior import PriorTraining
from napari_vqad.train.tokenizer import TokenizerTraining

FOLDER = Path(__file__).parent / "recipes"


def read_toml(name: str | Path, changes: Sequence[str] = ()) -> tuple[dict[str, Any], Path]:
    """Read a TOML file, or a recipe of the package by its name; return its values and its path.

    Args:
        name: path of the file, or name of the recipe.
        changes: values to change, such as "tokenizer.n_codes=512"; the value is written as in TOML.

    Raises:
        InputError: there is no such recipe, it is not TOML, or a change is not of this form.
    """
    path = next((p for p in (Path(name), FOLDER / f"{name}.toml") if is_regular(p)), None)
    if path is None:
        known = ", ".join(sorted(p.stem for p in FOLDER.glob("*.toml")))
        raise InputError(f"There is no recipe '{name}'; give a TOML file or one of: {known}.")
    text = read_text(path, limits.RECIPE)
    # A dotted key makes a table for each dot, which is compared with all tables before it; this limits the time.
    if max(line.count(".") for line in text.split("\n")) > limits.DOTS:
        raise InputError(f"{path} has a line with more than {limits.DOTS} dots, which is no recipe's.")
    try:
        given = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not readable TOML: {short(error)}.") from error
    for change in changes:
        _change(given, change)
    return given, path


def detector_named(given: dict[str, Any], path: Path, kinds: Sequence[str]) -> Any:
    """Return the class of the detector that a recipe names.

    Args:
        given: values of the recipe.
        path: path of the recipe, for the message.
        kinds: the detectors that are allowed, by their names in config.json.

    Raises:
        InputError: the recipe names none of them.
    """
    kind = given.get("detector")
    if kind not in kinds:
        allowed = kinds[0] if len(kinds) == 1 else f"one of {', '.join(kinds)}"
        raise InputError(f"{path} does not say detector = {allowed}, but '{short(str(kind))}'.")
    return detector_class(str(kind))


class Recipe(BaseModel):
    """The recipe of a vector-quantised bundle: sizes of the networks, and their training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    description: str
    grid: GridSpec = GridSpec()
    slices: int = Field(72, ge=1, le=2048, description="slices of the template, if the grid is aligned")
    tokenizer: OwnTokenizerConfig = TokenizerConfig()
    tokenizer_training: TokenizerTraining = TokenizerTraining()
    prior: PriorConfig = PixelSnailConfig()
    prior_training: PriorTraining = PriorTraining()

    @model_validator(mode="after")
    def _fits(self) -> Recipe:
        self.bundle_config()  # raises an error if the prior has no place for the tokenizer's codes
        return self

    @classmethod
    def read(cls, name: str | Path, changes: Sequence[str] = ()) -> Recipe:
        """Read a recipe; arguments as of `read_toml`.

        Raises:
            InputError: there is no such recipe, it is not valid, or a change is not of the right form.
        """
        given, path = read_toml(name, changes)
        return validated(cls, given, path)

    def bundle_config(self) -> VQConfig:
        """Return the content of the bundle's config.json."""
        return VQConfig(
            title=self.title,
            description=self.description,
            grid=self.grid,
            tokenizer=self.tokenizer,
            prior=self.prior,
        )


def _change(given: dict[str, Any], change: str) -> None:
    key, equals, text = change.partition("=")
    *tables, last = key.strip().split(".")
    wrong = InputError(f"--set {short(change)} is not of the form tokenizer.n_codes=512.")
    if not equals or not last or not text.strip() or "\n" in text:
        raise wrong
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError) as error:
        value = text.strip()  # words need no quotation marks, which a shell would take away
        if not re.fullmatch(r"[^\W\d][\w .-]*", value):
            raise wrong from error
    for table in tables:
        given = given.setdefault(table, {})
        if not isinstance(given, dict):
            raise wrong
    given[last] = value
