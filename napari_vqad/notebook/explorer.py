"""The explorer of one scan in a notebook: connects the session to the widgets, and is what `explore` returns."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from IPython.display import display
from numpy.typing import NDArray
from pydantic import ValidationError

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings, settings_from
from napari_vqad.display.colours import DIM
from napari_vqad.display.controls import samples_of, states_of, used_by
from napari_vqad.display.profile import SliceProfile, count_in_words
from napari_vqad.display.readout import place, read_out
from napari_vqad.display.scales import WINDOW, unit_and_healthy
from napari_vqad.display.views import views_of
from napari_vqad.errors import InputError
from napari_vqad.findings.findings import Finding
from napari_vqad.imaging.slice_numbers import span
from napari_vqad.imaging.volume import Volume
from napari_vqad.notebook.canvas import Canvas
from napari_vqad.notebook.lists import Lists
from napari_vqad.notebook.panel import SIDES_UNKNOWN, Panel, amber
from napari_vqad.notebook.session import NotebookSession
from napari_vqad.notebook.still import Still, slice_png
from napari_vqad.notebook.volumes import grey_steps
from napari_vqad.scoring import Result
from napari_vqad.text import printable

POLL = 0.1  # s between two looks whether the work is done


class NotebookExplorer:
    """The explorer of one scan; shown at the end of a cell. Several of them do not affect each other.

    All methods may be called while the analysis runs.
    """

    def __init__(self, volume: Volume, bundle: Bundle, settings: Settings, mask: Any, device: str) -> None:
        """Show a scan and start to analyse it in the background; see `explore` for the arguments."""
        self.volume, self._device = volume, device
        self._session = session = NotebookSession(volume, settings, self._on_error)
        self._lock = session.lock
        self._panel = panel = Panel(self._guard(self._on_edited), self._guard(self.go_to_slice))
        self._lists = Lists(session.review, self._guard(self.go_to), self._guard(self.go_to_slice))
        panel.lay_out(self._lists)
        low, high = (float(v) for v in np.percentile(volume.voxels, (1.0, 99.8)))
        self._grey = grey_steps(volume.voxels, (low, max(high, low + 1e-6)))
        self._canvas = Canvas(volume, self._grey, self._guard(self._on_location))
        self._beside: Canvas | None = None  # the scan alone, beside the map
        self._still = Still(volume.name, lambda: session.result)
        self._showing = self._closed = False
        with self._lock:
            self._connect()
            panel.offer_models(bundle.folder)
            panel.subject.value = self._subject(bundle.title)
            panel.warning.value = "" if volume.side_known else amber(SIDES_UNKNOWN)
            session.analyse(lambda: bundle, mask)

    def _guard(self, act: Callable) -> Callable:
        """The same function under the lock; it does nothing once the explorer is closed."""

        def guarded(*arguments: Any) -> None:
            with self._lock:
                if not self._closed:
                    act(*arguments)

        return guarded

    def _connect(self) -> None:
        session, panel = self._session, self._panel
        session.opened.connect(self._on_opened)
        session.settled.connect(self._show_settings)
        session.advanced.connect(panel.say)
        session.progressed.connect(self._on_progressed)
        session.busy.connect(self._on_busy)
        session.shown.connect(self._on_picture)
        session.drawn.connect(self._show_where)
        session.review.changed.connect(self._lists.list_findings)
        panel.browser.observe(self._guard(self._on_browser), names="webgl")
        panel.cancel.on_click(self._guard(lambda _button: session.cancel()))
        for widget, act in {
            panel.views: self._on_view,
            panel.which: self._on_view,
            panel.planes: lambda: self._canvases(lambda c: c.set_planes(panel.planes.value)),
            panel.beside: self._on_beside,
            panel.opacity: self._show_opacity,
            panel.model: self._on_model,
            panel.slice: lambda: self.go_to_slice(panel.slice.value),
        }.items():
            widget.observe(self._guard(lambda _change, act=act: None if self._showing else act()), names="value")

    # ---- for the user's cells ---------------------------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        """The settings. Assign others, or a dict with some of them, and the sliders move."""
        return self._session.settings

    @settings.setter
    def settings(self, new: Settings | dict[str, Any]) -> None:
        given = new.model_dump() if isinstance(new, Settings) else new
        settings_from(self.settings.model_dump() | given)  # one sentence if a value is not allowed
        with self._lock:
            for name, value in given.items():
                if getattr(self.settings, name) != value:
                    self._change(name, value)

    @property
    def view(self) -> str:
        """The view that is shown, such as "Score"; assign another."""
        return self._session.view

    @view.setter
    def view(self, name: str) -> None:
        if name not in self._panel.views.options:
            raise InputError(f"There is no view '{name}'; choose among {', '.join(self._panel.views.options)}.")
        self._panel.views.value = name

    def result(self) -> Result:
        """Wait until the analysis is complete, and return it as `score` does. It follows later changes of settings.

        Interrupting the kernel stops the analysis; finished slices are kept.

        Raises:
            InputError: the analysis has failed, or the explorer is closed.
        """
        session = self._session
        try:
            while True:
                while not session.runner.idle.wait(POLL):
                    pass
                with self._lock:
                    if session.error is not None:
                        raise session.error
                    if self._closed or session.result is None:
                        raise InputError("The explorer is closed, or its analysis was stopped before it began.")
                    if session.explorer is not None and session.explorer.complete:
                        self._still.draw()
                        return session.result
                    session.work()
        except KeyboardInterrupt:
            self.cancel()
            raise

    def findings(self) -> list[Finding]:
        """The findings of the complete analysis, the largest sum of scores first."""
        return self.result().findings()

    def export(self, folder: str | Path, **options: Any) -> tuple[str, ...]:
        """Write maps, tables, pictures and the report of the complete analysis; see `Result.save`."""
        return self.result().save(folder, **options)

    def go_to_slice(self, index: int) -> None:
        """Bring a slice into view, given its index on the model's grid."""
        with self._lock:
            if self._session.explorer is not None:
                self._go_to(self._session.index_of_slice(index, self._canvas.at))

    def go_to(self, finding: Finding) -> None:
        """Put the cross-hair at the centre of a finding."""
        with self._lock:
            self._go_to(self._session.index_of_mm(finding.centre))

    def cancel(self) -> None:
        """Stop the analysis; finished slices are kept."""
        with self._lock:
            self._session.cancel()
        self._session.runner.join()

    def close(self) -> None:
        """Stop the analysis and remove the explorer from the page."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._session.close()
            self._canvases(lambda canvas: canvas.close())
            self._panel.box.close()
        self._session.runner.join()
        self._still.close()

    # ---- events -----------------------------------------------------------------------------------------------------

    def _on_browser(self, _change: Any) -> None:
        if self._panel.browser.webgl == "no":
            self._panel.without_webgl()
            self._show_flat()
        else:
            self._panel.canvases.children = [self._canvas.widget]

    def _on_edited(self, name: str, value: Any) -> None:
        try:
            self._change(name, value)
        except ValidationError as error:
            self._panel.say(error.errors()[0]["msg"])

    def _change(self, name: str, value: Any) -> None:
        session = self._session
        session.change(**{name: value})
        if name == "axis" and session.result is not None:  # the scan is cut anew
            bundle = session.result.explorer.bundle
            session.analyse(lambda: bundle)
        self._show_scale()

    def _on_model(self) -> None:
        folder = self._panel.model.value
        if folder is not None:
            self._session.analyse(lambda: Bundle.load(folder, self._device))

    def _on_view(self) -> None:
        self._session.show(self._panel.views.value, self._panel.which.value)
        self._show_scale()

    def _on_beside(self) -> None:
        on = self._panel.beside.value
        if on and self._beside is None:
            self._beside = Canvas(self.volume, self._grey, self._guard(self._on_location), self._canvas.at)
            self._beside.set_planes(self._panel.planes.value)
        shown = [self._beside.widget, self._canvas.widget] if on and self._beside else [self._canvas.widget]
        self._panel.canvases.children = shown

    def _on_opened(self) -> None:
        session, panel, explorer = self._session, self._panel, self._session.explorer
        assert explorer is not None
        assert session.result is not None
        inside = self.volume.voxels[session.result.mask]
        mean, sd = explorer.bundle.config.grid.grey or (float(inside.mean()), float(inside.std()))
        self._grey = grey_steps(self.volume.voxels, (mean + WINDOW[0] * sd, mean + WINDOW[1] * sd))
        self._canvases(lambda canvas: canvas.set_scan(self._grey))
        self._canvas.open_map(explorer.grid)
        self._showing = True
        panel.offer_views(views_of(explorer.maps), session.view)
        panel.tell_limits(explorer.bundle)
        self._show_model(explorer.bundle)
        low, high = 0, len(explorer.grid) - 1
        panel.slice.max = high
        for name, allowed in explorer.bundle.choices.items():
            panel.settings.controls[name].offer(allowed)
        panel.settings.controls["slices"].span(*span(explorer.grid, (low, high)))
        panel.settings.keep(used_by(explorer))
        self._showing = False
        session.redraw_now()
        self._show_settings()
        self._show_scale()
        self._go_to(session.index_of_slice(explorer.focus, self._canvas.at))

    def _on_progressed(self, done: int, total: int) -> None:
        self._panel.progress.max, self._panel.progress.value = max(total, 1), done
        self._show_scores()

    def _on_busy(self, busy: bool) -> None:
        self._panel.cancel.disabled = not busy
        if not busy:
            self._panel.progress.value = 0
        self._show_state()

    def _on_error(self, error: Exception) -> None:
        words = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        self._panel.warning.value = amber(printable(words))

    def _on_location(self, index: NDArray) -> None:
        moved = self._session.look_at(index)
        for canvas in (self._canvas, self._beside):
            if canvas is not None and not np.allclose(canvas.at, index, atol=1e-3):
                canvas.go_to(index)
        self._show_where()
        if moved:
            self._mark_slice()

    def _on_picture(self, steps: NDArray, colours: str) -> None:
        self._canvas.set_map(steps, colours)
        self._show_flat()

    # ---- what is shown ----------------------------------------------------------------------------------------------

    def _canvases(self, act: Callable[[Canvas], None]) -> None:
        for canvas in (self._canvas, self._beside):
            if canvas is not None:
                act(canvas)

    def _go_to(self, index: NDArray) -> None:
        self._canvases(lambda canvas: canvas.go_to(index))
        if self._session.look_at(index):
            self._mark_slice()
        self._show_where()

    def _subject(self, model: str) -> str:
        return f"<b>{html.escape(self.volume.name)}</b><br><span class='vqad-note'>Model: {html.escape(model)}</span>"

    def _show_model(self, bundle: Bundle) -> None:
        self._panel.subject.value = self._subject(bundle.title)
        if self._panel.model.value != str(bundle.folder):
            self._panel.offer_models(bundle.folder)

    def _show_settings(self) -> None:
        session, explorer = self._session, self._session.explorer
        if explorer is None:
            return
        self._showing = True
        self._panel.settings.show(states_of(explorer, explorer.detector, session.settings))
        there = any(spec.indexed for spec in explorer.maps.values())
        self._panel.offer_restorations(samples_of(explorer.detector, session.settings), there)
        self._showing = False
        self._show_scores()
        self._show_where()
        self._still.draw_later()

    def _show_scores(self) -> None:
        explorer = self._session.explorer
        if explorer is None:
            return
        profile = SliceProfile.of(explorer)
        self._panel.profile.show_scores(profile, explorer.focus)
        self._panel.count.value = f'<span class="vqad-note">{html.escape(count_in_words(explorer))}</span>'
        fitness = explorer.fitness()
        warnings = ["" if fitness.fits else fitness.verdict, "" if self.volume.side_known else SIDES_UNKNOWN]
        self._panel.warning.value = amber(" ".join(filter(None, warnings)))
        self._lists.list_slices(explorer)

    def _mark_slice(self) -> None:
        """Mark the slice in view in the profile, and the rows of what it cuts."""
        explorer = self._session.explorer
        if explorer is None:
            return
        here = explorer.focus
        self._panel.profile.show_here(here)
        self._lists.mark(here)
        self._showing, before = True, self._showing
        self._panel.slice.value = here
        self._showing = before
        self._show_flat()

    def _show_where(self) -> None:
        """Show the values and the place of the cross-hair, and what is missing in the picture."""
        session = self._session
        mm = session.frame_mm(self._canvas.at)
        words = place(self.volume, mm) if session.explorer is None else read_out(session.explorer, mm)
        self._panel.readout.value = f'<span class="vqad-readout">{html.escape(words)}</span>'
        self._show_state()

    def _show_state(self) -> None:
        explorer, planes = self._session.explorer, self._panel.planes.value
        along = explorer is not None and planes == ("Sagittal", "Coronal", "Axial")[explorer.grid.axis]
        waits, words = self._session.state(along or planes == "Three planes")
        self._panel.show_state(words)
        self._canvas.set_opacity(self._panel.opacity.value * (DIM if waits else 1.0))

    def _show_opacity(self) -> None:
        self._show_state()

    def _show_scale(self) -> None:
        session, explorer = self._session, self._session.explorer
        ends, name = session.ends, session.shown_map
        if explorer is None or ends is None or name is None:
            self._panel.show_legend(None, "", None)
        else:
            self._panel.show_legend(ends, *unit_and_healthy(explorer, name))

    def _show_flat(self) -> None:
        """Without WebGL, draw the slice in view."""
        explorer = self._session.explorer
        if self._panel.browser.webgl == "no" and explorer is not None:
            self._panel.still.value = slice_png(explorer, explorer.focus, self._session.view, self._session.which)

    # ---- without a front-end ----------------------------------------------------------------------------------------

    def _ipython_display_(self) -> None:
        """Show the explorer, and a still picture that is seen only where the explorer is not."""
        view = dict(self._panel.box._repr_mimebundle_() or {})
        display({**view, "text/plain": f"The explorer of {self.volume.name}"}, raw=True)
        self._still.display()

    def _repr_mimebundle_(self, **_options: Any) -> dict[str, Any]:
        """The explorer, a still picture and the numbers."""
        return {**dict(self._panel.box._repr_mimebundle_() or {}), **self._still.bundle()}
