"""The session: which scan is explored with which settings, and the work that goes on for it. No widgets.

Views listen to its signals and call its methods; it alone owns the explorer, the layers and the worker.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Labels
from psygnal import Signal

from napari_vqad.brainmask import make_mask
from napari_vqad.bundle import Bundle
from napari_vqad.explorer import Explorer
from napari_vqad.findings import Finding, findings
from napari_vqad.grid import check_kind
from napari_vqad.progress import Progress
from napari_vqad.review import Review
from napari_vqad.settings import Settings
from napari_vqad.study import Study, open_study
from napari_vqad.ui import frame
from napari_vqad.ui.board import Board
from napari_vqad.ui.files import scan_layer
from napari_vqad.ui.masks import StudyMask, given_mask
from napari_vqad.ui.runner import Runner
from napari_vqad.ui.ties import Ties
from napari_vqad.volume import Volume

REDRAW = 0.5  # s between redraws while work goes on elsewhere than in view
RESTORES = ("method", "lambda_p", "n_restorations", "seed")  # settings that need the networks


@dataclass(frozen=True)
class Order:
    """What the person asks to be analysed. `mask` is a layer, a file, that of a study, or None to have one made."""

    scan: Image
    mask: Labels | Path | StudyMask | None
    bundle: Path
    device: str


@dataclass(frozen=True)
class Prepared:
    """A scan that is ready to be worked on; `study`, where it comes of a saved one; `files` read beside the scan."""

    explorer: Explorer
    mask: np.ndarray
    note: str
    study: Study | None = None
    files: tuple[Path, ...] = ()


class Session:
    """State of the dock."""

    opened = Signal()  # another scan or bundle is being explored
    settled = Signal()  # settings changed
    advanced = Signal(str)  # how far the work is, in words
    progressed = Signal(int, int)  # slices done, and of how many
    busy = Signal(bool)
    moved = Signal()  # the slice in view changed
    reopened = Signal(Study)  # after `opened`, when it comes of a saved study
    drawn = Signal()  # the layers were brought up to date

    def __init__(self, ties: Ties, settings: Settings, cache_bytes: int) -> None:
        self.ties = ties
        self.viewer = viewer = ties.viewer
        self.settings = settings
        self.cache_bytes = cache_bytes
        self.explorer: Explorer | None = None
        self.prepared: Prepared | None = None
        self.note = ""
        self.board = Board(viewer)
        self.review = Review()
        self.reviewing = False  # is the list of findings to be seen?
        self.boxed = False  # are their boxes?
        self._reviewed: tuple = ()  # the scan that it is of
        self._listed: list[np.ndarray] = []  # the maps that it was made of
        self._bundle: Bundle | None = None
        self._device = ""
        self._runner = Runner(self.advanced.emit)
        self._drawn = 0.0
        self._closed = False
        ties.at_end(self.board.clear)
        ties.at_end(self.close)
        ties.hear(viewer.dims.events.point, self._on_point)
        ties.hear(viewer.layers.events.removed, self.board.catch_up)

    # ---- what the person does -------------------------------------------------------------------------------------

    def analyse(self, order: Order) -> None:
        """Load what is needed off the main thread, then work. What was explored before stays until that is ready."""
        self.cancel()
        self._start(self._prepare(order), self._on_prepared)

    def reopen(self, path: Path, scan: Volume | Path | None, bundles: list[Path], device: str) -> None:
        """Open a saved study; what was explored before stays until that is ready. Arguments as of `open_study`."""

        def steps() -> Iterator[str | Prepared]:
            yield "Opening the study …"
            study = open_study(path, scan, bundles=bundles, device=device, cache_bytes=self.cache_bytes)
            self._bundle, self._device = study.explorer.bundle, device
            yield Prepared(study.explorer, study.mask, study.mask_note, study)

        self.cancel()
        self._start(steps(), self._on_prepared)

    def scans(self) -> list[Volume]:
        """The scans that are open in the viewer."""
        images = [m for m in self.viewer.layers if isinstance(m, Image) and m.ndim == 3 and not m.rgb]
        return [frame.volume_of(m) for m in images if "napari_vqad_grid" not in m.metadata]

    def change(self, **updates: Any) -> None:
        """Take new settings; what is cheap shows at once, the rest is worked on.

        Raises:
            pydantic.ValidationError: a value does not fit.
        """
        settings = Settings.model_validate(self.settings.model_dump() | updates)
        if settings == self.settings:
            return
        axis_changed = settings.axis != self.settings.axis
        self.settings = settings
        if self.explorer is not None:
            if self._give_settings():
                self._work()
            self.redraw()
            if axis_changed:
                self.advanced.emit("Another scan axis: press Analyse.")
            self.list_findings()
        self.settled.emit()

    def _give_settings(self) -> bool:
        """Hand the settings to the explorer; True when there is work.

        Another axis waits for the next Analyse. What needs the networks waits for the slice in view if that is being
        restored: a drag then shows one picture after the other, where dropping each for the next would show none.
        """
        explorer = self.explorer
        if explorer is None:
            return False
        in_view = self._runner.running and explorer.focus in explorer.in_hand
        waits = ("axis", *(RESTORES if in_view else ()))
        return explorer.change(self.settings.model_copy(update={n: getattr(explorer.settings, n) for n in waits}))

    def cancel(self) -> None:
        """Stop the work within a batch; what is done stays."""
        if self.explorer is not None:
            self.explorer.cancel()
        self._runner.quit()

    def close(self, closed: bool = True) -> None:
        """Stop, and touch nothing any more; or go on, when the window is shown again."""
        self._closed = closed
        self._runner.deaf = closed
        if closed:
            self.cancel()

    # ---- slices ---------------------------------------------------------------------------------------------------

    def current(self) -> int:
        """The slice in view."""
        return self.explorer.focus if self.explorer else 0

    def go_to(self, index: int) -> None:
        """Bring a slice into view."""
        if self.explorer is not None and self.viewer.dims.ndim >= 3:  # else its layers are gone
            grid = self.explorer.grid
            self.viewer.dims.set_point(frame.canvas_axis(grid), frame.point_of(grid, index))

    def go_to_flagged(self, step: int) -> None:
        """Bring the next (1) or previous (−1) flagged slice into view, round the end."""
        if self.explorer is None:
            return
        flagged = np.flatnonzero(self.explorer.flagged_slices())
        if not len(flagged):
            self.advanced.emit("No slice is flagged; lower λ_s or the percentile for slices.")
            return
        now = self.current()
        beyond = flagged[flagged > now] if step > 0 else flagged[flagged < now][::-1]
        self.go_to(int(beyond[0] if len(beyond) else flagged[0 if step > 0 else -1]))

    # ---- findings -------------------------------------------------------------------------------------------------

    def list_findings(self) -> None:
        """Bring the list of findings up to date, if it is seen; that of a scan whose maps are not all there waits."""
        explorer = self.explorer
        if not (self.reviewing or self.boxed) or explorer is None or explorer.grid.kind != "head":
            return
        if not explorer.complete:
            later = "listed when all slices are done."
            self.review.wait(f"Of the settings before; {later}" if self.review.found else later.capitalize())
            return
        shown = [explorer.map(name) for name in ("flagged", "pixel_score", "nll")]
        alike = len(self._listed) == len(shown) and all(a is b for a, b in zip(shown, self._listed, strict=True))
        if self.review.note or not alike:
            self._listed = shown
            self.review.take(findings(explorer))

    def _begin_review(self, explorer: Explorer) -> None:
        """What was said stays when the same scan is analysed again on the same grid, as after a cancel."""
        volume, grid = explorer.volume, explorer.grid
        assert volume is not None
        now = (volume.path, volume.name, volume.voxels.shape, grid.slices.shape, grid.placement.tobytes())
        if now != self._reviewed:
            self.review.clear()
        self._reviewed, self._listed = now, []
        self.list_findings()

    def show_finding(self, finding: Finding) -> None:
        """Bring its centre into view, in the middle of the canvas."""
        if self.explorer is None or self.explorer.volume is None:
            return
        dims, world = self.viewer.dims, frame.world_of(self.explorer.volume, finding.centre)
        if dims.ndim < 3:  # its layers are gone
            return
        first = dims.ndim - 3
        dims.set_point(range(first, dims.ndim), world)
        seen = [world[d - first] for d in dims.displayed if d >= first]
        self.viewer.scene.camera.center = (*([0.0] * (3 - len(seen))), *seen)

    def _on_point(self) -> None:
        if self.explorer is not None and self.viewer.dims.ndim >= 3:
            self.explorer.focus = frame.slice_at(self.explorer.grid, self.viewer.dims.point)
            self.moved.emit()

    # ---- work -----------------------------------------------------------------------------------------------------

    def _prepare(self, order: Order) -> Iterator[str | Prepared]:
        yield "Reading the scan …"
        volume = frame.volume_of(order.scan)
        if self._bundle is None or (self._bundle.folder, self._device) != (order.bundle, order.device):
            yield "Loading the model …"
            self._bundle, self._device = Bundle.load(order.bundle, order.device), order.device
        check_kind(volume, self._bundle.config.grid)  # before the mask is made, which takes a while
        if order.mask is None:
            if volume.kind == "head":
                yield "Making the brain mask …"
            mask, note = make_mask(volume)
        else:
            mask, note = given_mask(order.mask, volume)
        explorer = Explorer(self._bundle, self._bundle.known(self.settings), self.cache_bytes)
        explorer.open(volume, mask)
        yield Prepared(explorer, mask, note, files=(order.mask,) if isinstance(order.mask, Path) else ())

    def _on_prepared(self, news: str | Prepared) -> None:
        if isinstance(news, str):
            self.advanced.emit(news)
            return
        study = news.study
        self.explorer, self.prepared = news.explorer, news
        self.settings = news.explorer.settings if study else news.explorer.bundle.known(self.settings)
        assert news.explorer.volume is not None  # a session opens scans, not bare grids
        self.note = " ".join([*news.explorer.volume.notes, news.note, *news.explorer.grid.remarks])
        # Without a path it is of another reader's layer, which is there: else it could not have been found.
        if study and study.volume.path and not any(study.volume is v for v in self.scans()):
            data, attributes, _kind = scan_layer(study.volume)
            self.viewer.add_image(data, **attributes)
        self.board.open(news.explorer, news.mask)
        self._begin_review(news.explorer)
        if study:
            self.review.recall(study.words)
        self._give_settings()
        self._on_point()
        self.opened.emit()
        if study:
            self.go_to(study.slice)
            self.reopened.emit(study)

    def _work(self) -> None:
        """Work on what is missing, unless that goes on already: it looks at the newest settings by itself."""
        if not self._runner.running and self.explorer is not None:
            self._start(self.explorer.work(), self._on_progress)

    def _on_progress(self, progress: Progress) -> None:
        self.advanced.emit(str(progress))
        self.progressed.emit(progress.done, progress.total)
        in_view = self.explorer is not None and self.explorer.focus in progress.slices
        if in_view or time.monotonic() - self._drawn > REDRAW:
            self.redraw()
        self._give_settings()  # those that waited

    def redraw(self) -> None:
        """Bring the visible layers up to date; while the slice in view is worked on, what it showed stays."""
        explorer = self.explorer
        if explorer is None or self._closed:
            return
        recent = time.monotonic() - self._drawn < 2 * REDRAW
        if recent and self._runner.running and not explorer.ready("restoration")[explorer.focus]:
            return
        self.board.refresh()
        self._drawn = time.monotonic()
        self.drawn.emit()

    def _start(self, steps: Iterator, on_step: Callable) -> None:
        """Run a generator; what comes next depends on how it ends."""

        def ended(aborted: bool, failed: bool) -> None:
            self.redraw()
            self.busy.emit(False)
            if failed:  # what failed once would fail again
                return
            if self.explorer is not None and on_step == self._on_prepared and not aborted:
                self._work()
            elif aborted:
                self.advanced.emit("Cancelled; what was done is kept.")
            elif self._give_settings():
                self._work()
            elif self.explorer is not None and on_step == self._on_progress:
                self.advanced.emit("Ready.")
                self.list_findings()
                self.settled.emit()

        self._runner.start(steps, on_step, ended)
        self.busy.emit(True)
