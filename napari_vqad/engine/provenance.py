"""Where numbers come from: the device and the versions that computed them, kept with them wherever they go."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from importlib.metadata import version

import napari_vqad

LIBRARIES = ("torch", "numpy", "scipy", "nibabel")  # that a number may depend on


@dataclass(frozen=True)
class ComputedWith:
    """With what something was computed.

    Attributes:
        device: of the networks, such as "cuda"; None where it was not recorded.
        versions: of napari-vqad, Python and the libraries, by name.
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
    """What is computed now, in this process, with the networks on a device."""
    return ComputedWith(str(device), dict(_versions()))


def appended(made: tuple[ComputedWith, ...], device: object) -> tuple[ComputedWith, ...]:
    """What was made so, and now goes on in this process with the networks on a device."""
    here = current(device)
    return made if here in made else (*made, here)


@lru_cache(maxsize=1)
def _versions() -> tuple[tuple[str, str], ...]:
    libraries = ((name, version(name)) for name in LIBRARIES)
    return (("napari-vqad", napari_vqad.__version__), ("python", platform.python_version()), *libraries)
