"""A recipe: everything that decides a bundle before its data, as one TOML file."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from napari_vqad.bundle import BundleConfig
from napari_vqad.errors import InputError
from napari_vqad.grid import GridSpec
from napari_vqad.nets.kinds import OwnTokenizerConfig, PriorConfig
from napari_vqad.nets.pixelsnail import PixelSnailConfig
from napari_vqad.nets.tokenizer import TokenizerConfig
from napari_vqad.train.prior import PriorTraining
from napari_vqad.train.tokenizer import TokenizerTraining

FOLDER = Path(__file__).parent / "recipes"


class Recipe(BaseModel):
    """Sizes of the networks and how they are trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    description: str
    grid: GridSpec = GridSpec()
    slices: int = Field(72, ge=1, description="slices of the template, where the grid is aligned")
    tokenizer: OwnTokenizerConfig = TokenizerConfig()
    tokenizer_training: TokenizerTraining = TokenizerTraining()
    prior: PriorConfig = PixelSnailConfig()
    prior_training: PriorTraining = PriorTraining()

    @model_validator(mode="after")
    def _fits(self) -> Recipe:
        self.bundle_config()  # refuses a prior that has no place for the tokenizer's codes
        return self

    @classmethod
    def read(cls, name: str | Path) -> Recipe:
        """Read a TOML file, or one of the recipes that come with the package by its name.

        Raises:
            InputError: there is none, or it does not fit.
        """
        path = next((p for p in (Path(name), FOLDER / f"{name}.toml") if p.is_file()), None)
        if path is None:
            known = ", ".join(sorted(p.stem for p in FOLDER.glob("*.toml")))
            raise InputError(f"There is no recipe '{name}'; give a TOML file or one of: {known}.")
        try:
            return cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "prior"
            raise InputError(f"{path} does not fit at '{where}': {first['msg'].lower()}.") from error
        except tomllib.TOMLDecodeError as error:
            raise InputError(f"{path} is not readable TOML: {error}.") from error

    def bundle_config(self) -> BundleConfig:
        """What of it goes into the bundle's config.json."""
        return BundleConfig(
            title=self.title,
            description=self.description,
            grid=self.grid,
            tokenizer=self.tokenizer,
            prior=self.prior,
        )
