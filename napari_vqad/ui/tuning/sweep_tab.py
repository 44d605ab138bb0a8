"""The Sweep tab: the scan with every combination of a few settings, as heat maps; a click moves the sliders."""

from __future__ import annotations

import shlex
from collections.abc import Hashable
from functools import partial
from pathlib import Path
from typing import ClassVar

from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QMainWindow

from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.export.output_folder import source_of
from napari_vqad.export.reproduction import MASK, SCAN, Reproduction
from napari_vqad.export.tables import table_csv
from napari_vqad.files.atomic import write_text
from napari_vqad.tuning.sweep_axes import first_axes, first_values, settings_to_sweep
from napari_vqad.tuning.sweep_plan import DonePoints, SweepPlan, scan_key
from napari_vqad.tuning.sweep_run import SweepProgress, SweepRun, SweptPoint
from napari_vqad.tuning.sweep_view import (
    FOR_THIS_SCAN,
    command_words,
    is_labelled,
    measure_tip,
    measure_title,
    measures_of_scan,
    missing_points,
    table_of,
    view_of,
)
from napari_vqad.ui.plumbing.window_events import WindowEvents
from napari_vqad.ui.plumbing.worker import WorkerSlot
from napari_vqad.ui.session import Session
from napari_vqad.ui.tuning.heat_maps import HeatMapPlot
from napari_vqad.ui.tuning.label_choice import LabelChoice
from napari_vqad.ui.tuning.sweep_form import SweepForm
from napari_vqad.ui.tuning.tab import BenchTab


class SweepTab(BenchTab):
    """Runs sweeps in a worker, keeps the finished cells of each scan, bundle and label, and shows them."""

    title: ClassVar[str] = "Sweep"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.form, self.plot = SweepForm(), HeatMapPlot()
        self.done = DonePoints()
        self.plan: SweepPlan | None = None
        self._plan_of: object = None  # what the plan was made from
        self._explorer: Explorer | None = None
        self._scan = ""  # `scan_key` of the explorer
        self._bundle = ""  # hash of the bundle that the axes were chosen for
        self._run: SweepRun | None = None
        self._slot = WorkerSlot(self._say)
        row = QHBoxLayout(self)
        row.setContentsMargins(6, 4, 6, 4)
        row.setSpacing(10)
        self.form.setFixedWidth(560)
        row.addWidget(self.form)
        row.addWidget(self.plot, 1)
        self.label = LabelChoice(
            session.connections, self.form.label, lambda: session.map_layers.layers.values(), self.refresh
        )
        self.form.grid_edited.connect(self.refresh)
        self.form.picked.connect(self._on_axis_picked)
        self.form.measure_picked.connect(self.refresh)
        self.form.start.clicked.connect(self.start)
        self.form.cancel.clicked.connect(self.cancel)
        self.form.csv.clicked.connect(self.write_csv)
        self.plot.chosen.connect(self.go_to)
        session.opened.connect(self._on_opened)
        session.connections.on_close(self._stop)
        self._window_events = WindowEvents(self, self._losses)
        self._window_events.gone.connect(self._on_window_closed)
        self.clear()

    # ---- the bench --------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Show the finished cells of the present grid, with a frame where the sliders stand."""
        explorer = self.session.explorer
        if explorer is None or explorer is not self._explorer:
            self._on_opened()
            return
        self._list_measures(explorer)
        try:
            self.plan = self._make_plan(explorer)
        except InputError as error:
            self.plan, self._plan_of = None, None
            self._say(str(error))
        self._show(explorer)

    def clear(self) -> None:
        """Stop, and show nothing: the scan was closed."""
        self._stop()
        self._explorer, self._scan = None, ""
        self.plan, self._plan_of = None, None
        self.plot.show_maps(None)
        self._say("")
        self.form.setEnabled(False)

    def command(self) -> str:
        """The command line that measures the same cells without a viewer; empty without a grid."""
        return "" if (found := self.reproduction()) is None else found.command

    def reproduction(self) -> Reproduction | None:
        """How to measure the same cells without a viewer; None without a grid."""
        explorer, prepared = self._explorer, self.session.prepared
        if explorer is None or self.plan is None or prepared is None:
            return None
        analysis = prepared.reproduction() if explorer.grid.kind == "head" else None
        path, label = source_of(explorer.scan)[0], self.label.file
        mask = str(prepared.mask_file) if prepared.mask_file else None if prepared.mask_computed else MASK
        words = command_words(explorer, self.plan, str(path or SCAN), mask, label)
        missing = list(analysis.missing) if analysis is not None else []
        if self.label.layer is not None and not self.label.is_file:
            missing.append(f"The label is not a file: save the layer '{self.label.layer.name}' as {label} first.")
        python = f"from napari_vqad.cli import main\nmain({words[1:]!r})\n"
        return Reproduction(shlex.join(words), python, tuple(missing))

    # ---- actions of the user ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Measure the cells that are not done."""
        self.refresh()
        explorer, plan, prepared = self._explorer, self.plan, self.session.prepared
        if explorer is None or plan is None or prepared is None:
            return
        try:
            label = self.label.voxels(explorer.scan)
        except InputError as error:
            self._say(str(error))
            return
        if label is not None and not label.any():
            self._say("The label marks no voxel; paint the lesions first, or choose no label.")
            return
        points = missing_points(explorer, plan, self.done, self._scan, self.label.key)
        if not points:
            self._say(f"All {len(plan.points)} cells are done.")
            return
        self._stop()
        run = SweepRun(
            explorer,
            prepared.mask,
            plan.base,
            points,
            label,
            self.form.folder if self.form.keep.isChecked() else None,
            lambda: self.session.running,
            self.session.cache_bytes // 4,
        )
        self._run = run
        self.form.show_busy(True)
        self._slot.start(run.steps(), partial(self._on_step, plan, self._scan, self.label.key), self._on_end)

    def cancel(self) -> None:
        """Stop; finished cells are kept."""
        if self._run is not None:
            self._run.cancel()
        self._slot.quit()

    def go_to(self, index: int) -> None:
        """Move the sliders to the settings of a cell."""
        if self.plan is not None:
            self.session.change(**self.plan.points[index].given)

    def write_csv(self) -> None:
        """Ask for a file and write the table of all cells."""
        explorer, plan = self._explorer, self.plan
        if explorer is None or plan is None:
            return
        table = table_of(explorer, plan, self.done, self._scan, self.label.key)
        folder = explorer.scan.path.parent if explorer.scan.path is not None else Path.home()
        start = str(folder / f"{explorer.scan.name}_sweep.csv")
        chosen, _ = QFileDialog.getSaveFileName(self, "Table of the sweep", start, "CSV (*.csv)")
        if chosen:
            path = Path(chosen)
            try:
                write_text(path, table_csv(*table))
            except InputError as error:
                self._say(str(error))
                return
            self._say(f"Written: {path}")

    # ---- work -------------------------------------------------------------------------------------------------------

    def _on_step(self, plan: SweepPlan, scan: str, label: Hashable, news: str | SweptPoint | SweepProgress) -> None:
        if isinstance(news, SweptPoint):
            self.done.add(scan, label, plan.keys[plan.points.index(news.point)], news.values)
            self.refresh()
            return
        if isinstance(news, SweepProgress):
            self.form.progress.setRange(0, news.total)
            self.form.progress.setValue(news.done)
        other = self.plan is None or set(plan.keys) != set(self.plan.keys)
        self._say(f"{news}{' · with the settings that it was started with' if other else ''}")

    def _on_end(self, aborted: bool, failed: bool) -> None:
        self._run = None
        self.form.show_busy(False)
        if not failed:
            self._say("Cancelled; finished cells are kept." if aborted else "The sweep is done.")

    def _stop(self) -> None:
        """Stop, and ignore what the worker still sends."""
        self.cancel()
        self._slot.detach()
        self._run = None
        self.form.show_busy(False)

    def _losses(self) -> list[str]:
        return ["The sweep is not finished; it would be stopped."] if self._slot.running else []

    def _on_window_closed(self, closed: bool) -> None:
        if not isinstance(
            self._window_events.window(), QMainWindow
        ):  # the tabs, before they lie in the viewer's window
            return
        self._slot.muted = closed
        if closed:
            self._stop()

    def _on_opened(self) -> None:
        """Show nothing of another scan or model; what is known of this one is shown again."""
        explorer = self.session.explorer
        if explorer is None:
            self.clear()
            return
        if explorer is self._explorer:
            return
        self.clear()
        self._explorer, self._scan = explorer, scan_key(explorer)
        self.form.setEnabled(True)
        self.label.list_layers()
        self._offer_axes(explorer)
        self.refresh()

    # ---- display ----------------------------------------------------------------------------------------------------

    def _offer_axes(self, explorer: Explorer) -> None:
        """Offer the settings that the detector has; another bundle begins with its own axes."""
        settings, fresh = explorer.bundle.coerce(self.session.settings), self._bundle != explorer.bundle.hash
        self._bundle = explorer.bundle.hash
        names = settings_to_sweep(explorer, settings)
        chosen = first_axes(explorer, settings) if fresh else [row.setting.value for row in self.form.axes]
        for row, name in zip(self.form.axes, [*chosen, None, None, None], strict=False):
            row.offer(names, name if name in names else None)
            if fresh or row.setting.value is None:
                value = row.setting.value
                row.show_values("" if value is None else first_values(explorer, settings, value))

    def _on_axis_picked(self, number: int) -> None:
        row, explorer = self.form.axes[number], self._explorer
        if explorer is not None:
            name = row.setting.value
            row.show_values("" if name is None else first_values(explorer, self.session.settings, name))
        self.refresh()

    def _list_measures(self, explorer: Explorer) -> None:
        combo, names = self.form.measure, measures_of_scan(explorer, self.label.layer is not None)
        if [value for _, value in combo.items()] != names:
            combo.fill([(measure_title(name), name) for name in names])  # another choice refreshes once more
        combo.box.setToolTip(f"{measure_tip(combo.value)} All measures are kept; another choice computes nothing.")

    def _make_plan(self, explorer: Explorer) -> SweepPlan:
        """Make the plan again if the grid or a setting that is not in it has changed."""
        texts, settings = self.form.texts(), explorer.bundle.coerce(self.session.settings)
        names = {name for name, _ in texts if name is not None}
        made_of = (id(explorer), texts, settings.model_dump_json(exclude=names))
        if self.plan is not None and made_of == self._plan_of:
            return self.plan
        plan = SweepPlan.of(explorer, settings, self.form.grid())
        self._plan_of = made_of
        if not self._slot.running:
            self._say(f"{len(plan.points)} cells.")
        return plan

    def _show(self, explorer: Explorer) -> None:
        there = self.plan is not None
        self.form.start.setEnabled(there and not self._slot.running)
        self.form.csv.setEnabled(there)
        if self.plan is None:
            self.plot.show_maps(None)
            return
        shown = self.form.measure.value
        settings = explorer.bundle.coerce(self.session.settings)
        self.plot.show_maps(view_of(explorer, settings, self.plan, self.done, self._scan, self.label.key, shown))
        self.form.warning.setText(FOR_THIS_SCAN if is_labelled(shown) else "")
        self.form.warning.setVisible(is_labelled(shown))

    def _say(self, text: str) -> None:
        self.form.status.setText(text)
