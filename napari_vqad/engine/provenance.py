"""Records the device and versions that computed results; they are stored with the results."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from importlib.metadata import version

import napari_vqad

LIBRARIES = ("torch", "numpy", "scipy", "nibabel")  # that may affect the results


@dataclass(frozen=True)
class ComputedWith:
    """Device and versions of a computation.

    Attributes:
        device: device of the networks, such as "cuda"; None if not recorded.
        versions: versions of napari-vqad, Python and the libraries, by name.
    """

    device: str | None = None
    versions: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        known = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        return f"{self.device}; {known}" if self.device else "not recorded"


@dataclass(frozen=True)
class Saved:
    """When a study was saved, and by which version of napari-vqad."""

    when: datetime
    version: str

    def __str__(self) -> str:
        return f"{self.when:%d %B %Y, %H:%M %Z}, with napari-vqad {self.version}"


def current(device: object) -> ComputedWith:
    """Return the record of this process, with the networks on a device."""
    return ComputedWith(str(device), dict(_versions()))


def appended(made: tuple[ComputedWith, ...], device: object) -> tuple[ComputedWith, ...]:
    """Append the record of this process and device, unless it is already included."""
    here = current(device)
    return made if here in made else (*made, here)


@lru_cache(maxsize=1)
def _versions() -> tuple[tuple[str, str], ...]:
    libraries = ((name, version(name)) for name in LIBRARIES)
    return (("napari-vqad", napari_vqad.__version__), ("python", platform.python_version()), *libraries)
