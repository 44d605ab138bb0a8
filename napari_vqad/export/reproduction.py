"""The command line, and three lines of Python, that give the numbers of an analysis again without a viewer."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, NamedTuple

from napari_vqad.detectors.library import find
from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.export.output_folder import source_of
from napari_vqad.settings import flag

SCAN, MASK = "scan.nii.gz", "mask.nii.gz"  # files that the user must write first, if scan or mask is not a file


class Reproduction(NamedTuple):
    """How to repeat an analysis.

    Attributes:
        command: a command line for a POSIX shell.
        python: three lines.
        missing: what must be saved first, in sentences.
    """

    command: str
    python: str
    missing: tuple[str, ...]


def reproduction(explorer: Explorer, mask: Path | None = None, *, computed: bool = True) -> Reproduction:
    """Write the commands that repeat an analysis with its present settings.

    Args:
        explorer: holds the scan.
        mask: the file that the brain mask was read from.
        computed: was the brain mask made by `make_mask`? If not, and without a file, the user must save it first.

    Raises:
        InputError: the scan is a clip, which only the viewer analyses.
    """
    volume, missing = explorer.scan, []
    if volume.kind != "head":
        raise InputError(f"{volume.name} is a {volume.kind}, which only the viewer analyses.")
    path, series = source_of(volume)
    if path is None:
        missing.append(f"The scan is not a file: save its layer as {SCAN} first.")
    if mask is None and not computed:
        missing.append(f"The brain mask is not a file: save the layer 'Brain mask' as {MASK} first.")
    given: dict[str, Any] = {"mask": str(mask) if mask else None if computed else MASK, "bundle": _name(explorer)}
    given |= {"series": series, "device": explorer.bundle.device.type}
    given = {name: value for name, value in given.items() if value is not None}
    scan, changed = str(path or SCAN), changed_settings(explorer)
    words = ["napari-vqad", "score", scan, "-o", f"{Path(scan).name.partition('.')[0]}_vqad"]
    words += [word for name, value in given.items() for word in (f"--{name}", value)]
    words += [word for name, value in changed.items() for word in _flag(name, value)]
    settings = ", ".join(f"{name}={value!r}" for name, value in changed.items())
    arguments = "".join(f", {name}={value!r}" for name, value in given.items())
    python = (
        "import napari_vqad\n"
        f"settings = napari_vqad.Settings({settings})\n"
        f"result = napari_vqad.score({scan!r}{arguments}, settings=settings)\n"
    )
    return Reproduction(shlex.join(words), python, tuple(missing))


def changed_settings(explorer: Explorer) -> dict[str, Any]:
    """Return the settings of the detector that differ from the bundle's defaults, by name."""
    usual = explorer.bundle.coerce(Settings())
    names = [name for name in Settings.model_fields if name in explorer.detector.Settings.model_fields]
    now = {name: getattr(explorer.settings, name) for name in names}
    return {name: value for name, value in now.items() if value != getattr(usual, name)}


def _name(explorer: Explorer) -> str:
    """Return the bundle's name if it is found by it, else its folder."""
    bundle = explorer.bundle
    try:
        known = find(bundle.name).resolve() == bundle.folder.resolve()
    except InputError:
        known = False
    return bundle.name if known else str(bundle.folder)


def _flag(name: str, value: Any) -> list[str]:
    """Return the words of one setting on the command line."""
    if isinstance(value, bool):  # all flags without a value switch something on
        return [flag(name)] if value else []
    return [flag(name), *(str(v) for v in (value if isinstance(value, tuple) else (value,)))]
