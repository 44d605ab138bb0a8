"""Score a whole scan without a viewer, for the command line and for notebooks."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from typing_extensions import deprecated

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings
from napari_vqad.display import slice_scores
from napari_vqad.display.scales import described
from napari_vqad.engine.completeness import incomplete
from napari_vqad.engine.dependencies import evidence_maps
from napari_vqad.engine.explorer import Explorer
from napari_vqad.engine.provenance import Saved
from napari_vqad.engine.store import CACHE_BYTES
from napari_vqad.errors import InputError
from napari_vqad.export.contact_sheet import draw_sheet
from napari_vqad.export.dicom import SCORE, SEGMENTS, export_dicom
from napari_vqad.export.output_folder import (
    NUMBERS,
    REPORT,
    SHEET,
    TABLE,
    check_place,
    check_room,
    file_of,
    map_files,
    saved_maps,
)
from napari_vqad.export.report import report_html
from napari_vqad.export.reproduction import Reproduction, reproduction
from napari_vqad.export.result_json import result_dict
from napari_vqad.export.result_schema import ResultDict
from napari_vqad.export.tables import as_csv
from napari_vqad.files.atomic import atomic_folder
from napari_vqad.files.space import folder_of
from napari_vqad.findings.findings import Finding, findings
from napari_vqad.findings.review import Review
from napari_vqad.imaging.brain_mask import make_mask
from napari_vqad.imaging.volume import Volume
from napari_vqad.io.dicom_write import check_source
from napari_vqad.io.load import load_scan
from napari_vqad.io.nifti import read_mask, write_map
from napari_vqad.resources import DEFAULT_BUNDLE, samples_folder
from napari_vqad.terminal.screen import has_screen as has_screen  # re-exported
from napari_vqad.text import printable


@dataclass(frozen=True)
class Result:
    """The results of an analysis.

    Attributes:
        explorer: holds every map on the model's grid; its settings can still be changed.
        volume, mask: the scan and its brain mask, canonical (R, A, S).
        mask_note: where the mask came from.
        review: the reader's verdicts and notes on the findings.
        reopened: date and version of the saved study that the results come from; None if there is none.
        files: other files that were read, such as a mask; `save` does not overwrite them.
        mask_file: the file that the mask was read from; None if there was none.
        mask_computed: was the mask made by `make_mask`?
    """

    explorer: Explorer
    volume: Volume
    mask: np.ndarray
    mask_note: str
    review: Review = field(default_factory=Review)
    reopened: Saved | None = None
    files: tuple[Path, ...] = ()
    mask_file: Path | None = None
    mask_computed: bool = False

    def map(self, name: str) -> np.ndarray:
        """A map on the scan's canonical voxels, (R, A, S). For the names see `Explorer.maps`.

        Restorations are in the intensities of the scan.

        Raises:
            InputError: the detector has no map of this name.
        """
        if name not in self.explorer.maps:
            known = ", ".join(self.explorer.maps)
            raise InputError(f"{self.explorer.bundle.title} has no map '{name}'; its maps are {known}.")
        stack, grid = self.explorer.map(name), self.explorer.grid
        if self.explorer.maps[name].role != "restoration":
            return grid.to_scan(stack, order=0 if name == "flagged" else 1)
        ready = np.broadcast_to(self.explorer.ready(name)[:, None, None], stack.shape) & grid.mask
        grey = grid.ras_to_stack(grid.intensity.inverse(grid.stack_to_ras(stack)))
        restored = grid.to_scan(np.where(ready, grey, 0.0))
        return np.where(self.mask & (grid.to_scan(ready.astype(np.float32)) > 0.5), restored, 0.0).astype(np.float32)

    def as_dict(self) -> ResultDict:
        """Scores, findings and everything needed to reproduce them, as plain data.

        `save` writes the same data to result.json. `ResultDict` in `napari_vqad.export.result_schema` documents every
        key with its unit and shape.
        """
        return result_dict(
            self.explorer, self.volume, self.mask_note, self.findings(), review=self.review, saved=self.reopened
        )

    def reproduction(self) -> Reproduction:
        """The command line, and three lines of Python, that repeat this analysis with its present settings."""
        return reproduction(self.explorer, self.mask_file, computed=self.mask_computed)

    @deprecated("Result.numbers() is now called Result.as_dict().")
    def numbers(self) -> ResultDict:
        """The old name of `as_dict`."""
        return self.as_dict()

    def findings(self) -> list[Finding]:
        """Connected components of the flagged voxels, the highest score sum first; empty for a clip."""
        return findings(self.explorer) if self.explorer.grid.kind == "head" else []

    def summary(self) -> str:
        """A summary in a few sentences."""
        explorer, grid = self.explorer, self.explorer.grid
        flagged, found = explorer.flagged_slices(), self.findings()
        partial = f"{words}\n" if (words := incomplete(explorer)) else ""
        first = f" The first: {found[0].side}, {found[0].where}, {found[0].ml:.1f} mL." if found else ""
        return partial + (
            f"{printable(' '.join([*self.volume.notes, self.mask_note, *grid.remarks]))}\n"
            f"{explorer.fitness().verdict}\n"
            f"{int(flagged.sum())} of {explorer.n_slices} slices are flagged{slice_scores.volume_score(explorer)}.\n"
            f"{len(found)} finding{'s' if len(found) != 1 else ''}, {sum(f.ml for f in found):.1f} mL in all.{first}"
        )

    def sheet(self) -> Figure:
        """The contact sheet, as a matplotlib figure."""
        return draw_sheet(self.explorer, self.volume.name)

    def save(
        self,
        out: str | Path,
        dicom: bool | Collection[str] = False,
        overwrite: bool = False,
        maps: Collection[str] | None = None,
    ) -> tuple[str, ...]:
        """Write maps, contact sheet, numbers and report into a folder. If one fails, no file is written.

        Files of an earlier analysis of the same scan are replaced.

        Args:
            out: the folder; it and its parents are created if missing.
            dicom: True: also write the pixel score and the findings that are not rejected as DICOM, see
                `export_dicom`. Or the names of the files to write, out of "findings.dcm" and "score.dcm". DICOM files
                of an earlier analysis are removed.
            overwrite: also replace the files of another scan's analysis.
            maps: names of the maps to write, as in `Explorer.maps`; by default all maps that can be saved. Other maps
                of an earlier analysis are removed.

        Returns:
            What is missing, in sentences: slices of an incomplete analysis, and what the DICOM files lack.

        Raises:
            InputError: the name of a map or DICOM file is unknown; the folder cannot be written to, or holds another
                scan's files; a file would replace one that was read; or the scan cannot be written as DICOM.
        """
        folder = folder_of(out)
        names = _chosen(maps, saved_maps(self.explorer.detector), "map")
        files = _chosen(None if dicom is True else dicom or (), (SEGMENTS, SCORE), "DICOM file")

        def check() -> None:
            check_place(folder, self.volume, self.files, overwrite)

        check()  # and again when the files are moved, as another process may have written there meanwhile
        with atomic_folder(folder, stale=(*map_files(), SEGMENTS, SCORE), check=check) as work:
            for name in names:
                write_map(work / file_of(name), self.map(name), self.volume, described(self.explorer, name))
            evidence = evidence_maps(self.explorer.maps)
            (work / TABLE).write_text(as_csv(self.findings(), self.review, evidence), encoding="utf-8")
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Glyph", UserWarning)  # characters that no font has become boxes
                self.sheet().savefig(work / SHEET, dpi=110)
            content = self.as_dict()
            (work / NUMBERS).write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
            (work / REPORT).write_text(report_html(self.explorer, content, self.review), encoding="utf-8")
            found = [f for f in self.findings() if self.review.annotation(f).verdict != "rejected"]
            if files:
                return export_dicom(work, self.explorer, found, files).notes
            return (words,) if (words := incomplete(self.explorer)) else ()


def _chosen(names: Collection[str] | None, known: Sequence[str], what: str) -> list[str]:
    """The chosen names in the order of `known`; all of them for None.

    Raises:
        InputError: a name is unknown.
    """
    if unknown := sorted(set(names or ()).difference(known)):
        raise InputError(f"There is no {what} '{unknown[0]}' to write; choose among {', '.join(known)}.")
    return [name for name in known if names is None or name in names]


def score(
    scan: str | Path | Volume,
    out: str | Path | None = None,
    *,
    mask: str | Path | np.ndarray | None = None,
    bundle: str | Path | Bundle = DEFAULT_BUNDLE,
    device: str = "auto",
    settings: Settings | None = None,
    series: str | int | None = None,
    b_values: str | Path | None = None,
    directions: str | Path | None = None,
    dicom: bool = False,
    overwrite: bool = False,
    progress: Callable[[str], None] | None = None,
    report: Callable[[str], None] | None = None,
) -> Result:
    """Analyse one scan.

    Args:
        scan: a NIfTI file, a folder with DICOM files or one of these files, or a `Volume`.
        out: folder for maps, contact sheet and numbers; it and its parents are created if missing. Without it nothing
            is written.
        mask: a NIfTI file, or bool (R, A, S); computed if not given.
        bundle: name or folder of a model, or a loaded `Bundle`.
        device: "auto", "cuda", "mps" or "cpu"; ignored for a loaded bundle.
        settings: thresholds, method and so on.
        series: number or UID, for a folder with several DICOM series.
        b_values, directions: files with the gradients of a diffusion scan that do not lie beside it; see `load_scan`.
        dicom: also write findings and pixel score as DICOM; the scan must come from DICOM.
        overwrite: replace the files of another scan's analysis in `out`; those of the same scan are replaced anyway.
        progress: called with one line of text for each step, in the thread that called `score`.
        report: the old name of `progress`.

    Raises:
        InputError: an argument cannot be used, or `out` cannot be written to, which is checked before the work.
    """
    if report is not None:
        warnings.warn("score(report=...) is now called score(progress=...).", DeprecationWarning, stacklevel=2)
    notify = progress or report or (lambda _line: None)
    folder = None if out is None else folder_of(out)
    volume = head_of(scan, series, b_values, directions)
    gradients = tuple(Path(file) for file in (b_values, directions) if file is not None)
    files = (*((Path(mask),) if isinstance(mask, (str, Path)) else ()), *gradients)
    if folder is not None:
        check_place(folder, volume, files, overwrite)
    if dicom:
        check_source(volume)  # fail before the work if the scan cannot be written as DICOM
    loaded = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle, device)
    if folder is not None:
        check_room(folder, volume, loaded.detector)
    loaded.refuse_foreign(settings or Settings())
    for news in prepare(volume, loaded, mask, settings, files=gradients):
        if isinstance(news, str):
            notify(news)
        else:
            result = news
    for step in result.explorer.work():
        notify(str(step))
    if folder is not None:
        notify("Writing …")
        for line in result.save(folder, dicom, overwrite):
            notify(line)
    return result


def head_of(
    scan: str | Path | Volume,
    series: str | int | None = None,
    b_values: str | Path | None = None,
    directions: str | Path | None = None,
) -> Volume:
    """The scan to analyse, read if it is a file or folder. For the arguments see `score`.

    Raises:
        InputError: it cannot be read, or is a clip; or gradients are given for a volume.
    """
    if not isinstance(scan, Volume):
        volume = load_scan(scan, series, b_values=b_values, directions=directions)
    elif b_values is None and directions is None:
        volume = scan
    else:
        raise InputError("Gradients are read with a file; a volume has its own.")
    if volume.kind != "head":
        raise InputError(f"{volume.name} is a {volume.kind}; look at it in the viewer, where its frames are analysed.")
    return volume


def prepare(
    volume: Volume,
    bundle: Bundle,
    mask: str | Path | np.ndarray | None = None,
    settings: Settings | None = None,
    cache_bytes: int = CACHE_BYTES,
    files: Sequence[Path] = (),
) -> Iterator[str | Result]:
    """Load a scan into an explorer; yields a line of text for each slow step, and last the result, without its maps.

    The maps are there after `result.explorer.work()`. For the arguments see `score`; `files` are those, besides the
    mask, that were read and must not be overwritten.

    Raises:
        InputError: as in `score`.
    """
    started = time.monotonic()
    if isinstance(mask, (str, Path)):
        brain, note = read_mask(mask, volume), f"Brain mask from {mask}."
    elif mask is not None:
        brain, note = np.asarray(mask, bool), "Brain mask as given."
    else:
        yield "Brain mask …"
        brain, note = make_mask(volume)
    seconds = time.monotonic() - started
    explorer = Explorer(bundle, settings, cache_bytes)
    explorer.load_scan(volume, brain)
    explorer.seconds["mask"] = seconds
    file = Path(mask) if isinstance(mask, (str, Path)) else None
    masks = () if file is None else (file,)
    yield Result(explorer, volume, brain, note, files=(*masks, *files), mask_file=file, mask_computed=mask is None)


def sample_scan(name: str = "lesions") -> Path:
    """The path of a sample head, "lesions" or "healthy"."""
    return samples_folder() / f"{name}_t1.nii.gz"
