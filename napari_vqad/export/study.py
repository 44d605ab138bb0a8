"""Saves and opens studies: a study can be opened later, on another machine, with the same pictures and numbers."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

import napari_vqad
from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.bundle import fingerprint as hash_of
from napari_vqad.detectors.library import find, list_bundles
from napari_vqad.engine.explorer import Explorer
from napari_vqad.engine.provenance import Saved
from napari_vqad.engine.store import CACHE_BYTES
from napari_vqad.errors import InputError
from napari_vqad.export import study_file
from napari_vqad.export.study_file import Contents, Header, SavedBundle, SavedScan
from napari_vqad.files.regular import is_regular
from napari_vqad.findings.review import Annotation, Peaks
from napari_vqad.imaging.layout import AXES
from napari_vqad.imaging.volume import Volume, fingerprint
from napari_vqad.io.load import load_scan, source_of
from napari_vqad.simulate.edits import replay, scans_of
from napari_vqad.text import printable

SUFFIX = ".vqad"


@dataclass(frozen=True)
class Study:
    """A study that was opened.

    Attributes:
        explorer: holds all saved results and settings.
        volume: the scan.
        mask: its brain mask, bool (R, A, S).
        mask_note: one sentence on the source of the mask.
        words: verdicts and notes on findings, for `Review.restore`.
        slice: slice of the grid in view.
        view: name of the view.
        which: number of the restoration in view; 0: their mean.
        saved: when, and with which version.
    """

    explorer: Explorer
    volume: Volume
    mask: np.ndarray
    mask_note: str
    words: dict[Peaks, Annotation]
    slice: int
    view: str
    which: int
    saved: Saved


def save_study(
    path: str | Path,
    explorer: Explorer,
    mask: np.ndarray,
    mask_note: str = "",
    words: Mapping[Peaks, Annotation] | None = None,
    view: str = "Score",
    which: int = 0,
) -> None:
    """Save an explorer's analysis of a head, with the mask and the verdicts and notes on its findings.

    An incomplete analysis is saved in its current state and can be continued after opening.

    Raises:
        InputError: there is no scan, or it is a clip; or the file cannot be written.
    """
    path, grid, bundle = Path(path), explorer.grid, explorer.bundle
    edited, volume = explorer.scan.edited, explorer.scan.source
    if grid.kind != "head":
        raise InputError("A study is of a head; clips are not saved.")
    (scan, series), stages = source_of(volume), explorer.stages()
    header = Header(
        saved=datetime.now().astimezone(),
        software={"napari-vqad": napari_vqad.__version__, "python": platform.python_version()},
        made=stages.made,
        scan=SavedScan(
            name=volume.name,
            path=printable(str(scan.absolute())) if scan else None,
            relative=_relative(scan, path),
            series=series,
            shape=volume.voxels.shape,
            affine=volume.affine.tolist(),
            sha256=fingerprint(volume),
        ),
        bundle=SavedBundle(
            name=printable(bundle.name),
            folder=printable(str(bundle.folder.absolute())),
            title=bundle.title,
            sha256=bundle.hash,
        ),
        settings=explorer.settings,
        mask_note=printable(mask_note),
        words=list((words or {}).items()),
        slice=explorer.focus,
        view=view,
        which=which,
        grid=study_file.saved_grid(grid),
        edits=None if edited is None else edited.recipe,
    )
    study_file.write(path, Contents(header, np.asarray(mask, bool), grid, stages))


def find_scan(path: str | Path, at_hand: Iterable[Volume] = ()) -> Volume | Path | None:
    """Find the scan of a study: one of the volumes `at_hand`, else a file at a saved path; None if there is none.

    Raises:
        InputError: the file is not a study.
    """
    path = Path(path)
    header = study_file.read_header(path)
    fitting = next((v for v in at_hand if header.scan.fits(v)), None)
    return fitting or next(iter(_candidates(path, header)), None)


def open_study(
    path: str | Path,
    scan: str | Path | Volume | None = None,
    *,
    bundle: str | Path | Bundle | None = None,
    bundles: Iterable[Path] = (),
    device: str = "auto",
    cache_bytes: int = CACHE_BYTES,
    at_hand: Iterable[Volume] = (),
) -> Study:
    """Open a study. No network runs: codes, NLL, restorations and their pictures are read from the file.

    A study of an edited scan stores what was put in, which is replayed here on the scan as it was read.

    Args:
        path: the study.
        scan: the scan, if it has moved: a path, as in `load_scan`, or a `Volume`.
        bundle: the model, if it has moved: its name, its folder or a loaded bundle.
        bundles: further model folders to search, in addition to the installed ones.
        device: device for a bundle that is not loaded yet.
        cache_bytes: as in `Explorer`.
        at_hand: scans that are open; a patch of an edited scan may come from one of them.

    Raises:
        InputError: the file is broken or of an unknown version; the scan, or one that a patch comes from, is missing or
            another one; the model is missing or has other weights.
    """
    path = Path(path)
    contents = study_file.read(path)
    header = contents.header
    volume = _replayed(_scan(path, header, scan), contents, at_hand)
    loaded = _bundle(path, header.bundle, bundle, bundles, device)
    explorer = Explorer(loaded, loaded.coerce(header.settings), cache_bytes)
    if not loaded.detector.fits(contents.stages.results, contents.grid.slices.shape[1:]):
        raise InputError(f"{path} is damaged: its codes do not fit {loaded.title}.")
    n, template = len(contents.grid), loaded.template
    spec, axis = loaded.config.grid, contents.grid.axis
    shape = tuple(spec.shape) if spec.measurements is None else tuple(np.delete(contents.mask.shape, axis).tolist())
    on_grid = contents.grid.slices.shape[1:] == shape
    if not on_grid or contents.grid.aligned != (template is not None) or (template and template.voxels.shape[2] != n):
        raise InputError(f"{path} is damaged: its slices do not fit {loaded.title}.")
    if header.grid.axis != AXES[header.settings.axis]:
        raise InputError(f"{path} is damaged: its slices lie along another axis than its settings say.")
    explorer.resume(volume, contents.mask, contents.grid, contents.stages)
    explorer.focus = int(np.clip(header.slice, 0, len(contents.grid) - 1))
    return Study(
        explorer,
        volume,
        contents.mask,
        header.mask_note,
        {of if isinstance(of, frozenset) else frozenset([of]): word for of, word in header.words},
        explorer.focus,
        header.view,
        header.which,
        Saved(header.saved, header.software.get("napari-vqad", "of an unknown version")),
    )


def _replayed(volume: Volume, contents: Contents, at_hand: Iterable[Volume]) -> Volume:
    """Return the edited scan, or the scan itself if the study is of that."""
    recipe = contents.header.edits
    if recipe is None:
        return volume
    wanted, there = scans_of(recipe), {}
    if wanted:
        there = {fingerprint(v): v for v in at_hand}
    for scan in wanted:
        if scan.sha256 not in there and scan.path is not None and _is_there(Path(scan.path)):
            found = load_scan(scan.path, scan.series)
            there[fingerprint(found)] = found
    return replay(volume, contents.mask, recipe, there)


def _hash(folder: Path) -> str | None:
    """Hash a bundle folder; None if its files cannot be read."""
    try:
        return hash_of(folder)
    except InputError:
        return None


def _relative(scan: Path | None, study: Path) -> str | None:
    try:
        return printable(Path(os.path.relpath(scan, study.parent)).as_posix()) if scan else None
    except ValueError:  # on another drive
        return None


def _candidates(path: Path, header: Header) -> list[Path]:
    saved = header.scan
    near = Path(os.path.normpath(path.parent / saved.relative)) if saved.relative else None
    far = Path(saved.path) if saved.path else None
    return list(dict.fromkeys(p for p in (near, far) if p is not None and _is_there(p)))


def _is_there(path: Path) -> bool:
    """Say whether a path is a regular file or a folder; False if access is denied, as in another user's home."""
    try:
        return is_regular(path) or path.is_dir()
    except (OSError, ValueError):  # ValueError: a name with a NUL
        return False


def _scan(path: Path, header: Header, given: str | Path | Volume | None) -> Volume:
    """Return the scan, given or read from a file, after checking that it is the study's."""
    if isinstance(given, Volume):
        if not header.scan.fits(given):
            raise InputError(_other(path, header, given.path or given.name))
        return given
    files = [Path(given)] if given is not None else _candidates(path, header)
    if not files:
        raise InputError(
            f"The scan of {path}, {header.scan.path or header.scan.name}, is not there; give its new place."
        )
    refused = InputError(_other(path, header, files[0]))
    for file in files:
        try:
            volume = load_scan(file, header.scan.series if file.is_dir() else None)
        except InputError as error:  # the next file may fit
            refused = error
            continue
        if header.scan.fits(volume):
            return volume
    raise refused


def _other(path: Path, header: Header, found: str | Path) -> str:
    return f"{found} is not the scan of {path}: its content is another than that of {header.scan.name} was then."


def _bundle(
    path: Path, saved: SavedBundle, given: str | Path | Bundle | None, others: Iterable[Path], device: str
) -> Bundle:
    """Find the model by the hash of its files; its folder may have been renamed."""
    if isinstance(given, Bundle):
        if given.hash != saved.sha256:
            raise InputError(f"{path} was made with other weights than those of {given.folder}.")
        return given
    folders = [find(given)] if given is not None else [Path(saved.folder), *others, *list_bundles()]
    there = [f for f in dict.fromkeys(folders) if is_regular(f / "config.json")]
    for folder in there:
        if _hash(folder) == saved.sha256 and (loaded := Bundle.load(folder, device)).hash == saved.sha256:
            return loaded  # hashed again, in case the folder was replaced meanwhile
    alike = next((f for f in there if f.name == saved.name or given is not None), None)
    if alike is not None:
        raise InputError(f"{path} was made with other weights than those of {alike}.")
    raise InputError(f"{path} was made with the model {saved.title} ({saved.name}), which is not here.")
