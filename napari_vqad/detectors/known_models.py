"""The registry of bundles, with the SHA-256 of each file: `known_models.json`, which is part of the wheel.

`python -m napari_vqad.detectors.publish` writes it from models/.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from napari_vqad.files import limits
from napari_vqad.files.jsonfile import read_json, validated_as
from napari_vqad.files.regular import hash_regular
from napari_vqad.files.search import listed
from napari_vqad.files.shared import LIST, path_of, shared_files

REGISTRY = Path(__file__).parent / "known_models.json"


class KnownFile(BaseModel):
    """A file of a bundle."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size: int = Field(ge=0)


class KnownModel(BaseModel):
    """A bundle: its title, and its files by name, including shared files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    files: dict[str, KnownFile]

    @property
    def size(self) -> int:
        """Total size of the files, bytes."""
        return sum(file.size for file in self.files.values())


_TABLE = TypeAdapter(dict[str, KnownModel])


def known_models(path: Path = REGISTRY) -> dict[str, KnownModel]:
    """Read the bundles of the registry, by name.

    Raises:
        InputError: the registry is damaged.
    """
    return validated_as(_TABLE, read_json(path), path)


def described(folder: Path) -> KnownModel:
    """Compute the entry of the registry for the bundle in a folder.

    Raises:
        InputError: a file cannot be read.
    """
    own = [path.name for path in listed(folder) if path.is_file() and path.name != LIST]
    names = sorted({*own, *shared_files(folder)})
    title = read_json(folder / "config.json")["title"]
    return KnownModel(title=title, files={name: _described(path_of(folder, name)) for name in names})


def written(models: dict[str, KnownModel]) -> str:
    """Return the registry as JSON text."""
    return _TABLE.dump_json(models, indent=1).decode() + "\n"


def _described(path: Path) -> KnownFile:
    digest = hashlib.sha256()
    hash_regular(path, 2 * limits.WEIGHTS, digest)
    return KnownFile(sha256=digest.hexdigest(), size=path.stat().st_size)
