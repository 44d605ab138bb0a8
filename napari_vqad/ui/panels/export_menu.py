"""The Export button: its menu writes a report, a study or maps, each in a worker, and opens a study."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol

from napari.utils.notifications import show_error
from qtpy.QtGui import QAction, QKeySequence
from qtpy.QtWidgets import QFileDialog, QMenu, QToolButton

from napari_vqad.display.views import views_of
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.export.output_folder import belongs_to
from napari_vqad.export.report import write_report
from napari_vqad.export.study import SUFFIX, Study, find_scan, save_study
from napari_vqad.findings.review import Review
from napari_vqad.imaging.volume import Volume
from napari_vqad.scoring import Result
from napari_vqad.ui.layers.mask_input import StudyMask
from napari_vqad.ui.panels.combo import RestorationSpinBox
from napari_vqad.ui.panels.export_form import ExportOptions, ask_options
from napari_vqad.ui.panels.inputs import Inputs
from napari_vqad.ui.plumbing.shortcuts import MAPS, REPORT, SAVE
from napari_vqad.ui.plumbing.window_events import WindowEvents
from napari_vqad.ui.plumbing.worker import WorkerSlot
from napari_vqad.ui.request import PreparedScan
from napari_vqad.ui.session import Session
from napari_vqad.ui.tuning.copy_menu import copy_text

STUDIES = f"Saved studies (*{SUFFIX})"


class Shown(Protocol):
    """The parts of the dock that the menu uses."""

    session: Session
    inputs: Inputs
    which: RestorationSpinBox
    findings: QToolButton

    def view_name(self) -> str:
        """The name of the view that is shown."""

    def show_view(self, name: str) -> None:
        """Show a view, given its name."""


class ExportMenu(QToolButton):
    """The button. The dock's status line reports what was written and what failed."""

    def __init__(self, dock: Shown) -> None:
        super().__init__()
        self.dock, self.session = dock, dock.session
        self.folder: Path | None = None  # the folder that the user chose last
        self.options = ExportOptions()  # the options that the user chose last
        self._writing: list[WorkerSlot] = []  # one slot for each file, so that starting one does not stop another
        self._busy = False
        self.setText("Export ▾")
        self.setToolTip("Write a report, save or open a study, or write the maps as files.")
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        self.setMenu(menu)
        report = "Write findings, verdicts and pictures into one HTML file. The analysis must be complete."
        save = "Save the analysis, to open it again later with the same pictures and numbers."
        open_ = "Open a saved study. Its scan must still be available."
        maps = "Write the maps you choose as NIfTI or DICOM, with tables and numbers. The analysis must be complete."
        self.report = self._action("Report …", REPORT, self.write_report, report)
        self.save = self._action("Save study …", SAVE, self.save_study, save)
        self.open = self._action("Open study …", "", self.open_study, open_)
        self.maps = self._action("Maps …", MAPS, self.write_maps, maps)
        command = "Copy the command line that gives the same maps and numbers without a viewer."
        python = "Copy three lines of Python that give the same maps and numbers without a viewer."
        menu.addSeparator()
        self.command = self._action("Copy command line", "", lambda: self.copy("command"), command)
        self.python = self._action("Copy Python", "", lambda: self.copy("python"), python)
        self.session.opened.connect(self.refresh)
        self.session.emptied.connect(self.refresh)
        self.session.settled.connect(self.refresh)
        self.session.busy.connect(self._on_busy)
        self.session.reopened.connect(self._on_reopened)
        menu.aboutToShow.connect(self.refresh)
        WindowEvents(self, self._losses).gone.connect(self._on_window_closed)
        self.session.connections.on_close(lambda: self._on_window_closed(True))
        self.refresh()

    def refresh(self) -> None:
        """Disable the entries that cannot be used yet."""
        explorer = self.session.explorer
        head = explorer is not None and explorer.grid.kind == "head"
        done = head and not self._busy and explorer is not None and explorer.complete
        self.save.setEnabled(head)
        self.report.setEnabled(done)
        self.maps.setEnabled(done)
        for action in (self.command, self.python):
            action.setEnabled(head)

    # ---- actions of the user --------------------------------------------------------------------------------------

    def write_report(self) -> None:
        """Ask for a file and write the report."""
        if asked := self._ask("Report", "_report.html", "HTML (*.html)"):
            path, subject = asked

            def write(result: Result) -> None:
                write_report(path, result.explorer, result.as_dict(), result.review)

            self._start("Report", path, write, subject)

    def save_study(self) -> None:
        """Ask for a file and save the study. A running analysis is saved with the slices done so far."""
        if asked := self._ask("Save study", SUFFIX, STUDIES):
            path, subject = asked
            view, which = self.dock.view_name(), self.dock.which.value()

            def write(result: Result) -> None:
                words = result.review.annotations
                save_study(path, result.explorer, result.mask, result.mask_note, words, view, which)

            self._start("Study", path, write, subject)

    def write_maps(self) -> None:
        """Ask for options and a folder, and write the maps into a subfolder named after the scan."""
        subject = self.session.prepared
        if subject is None or (options := ask_options(subject.explorer, self.options, self)) is None:
            return
        self.options = options
        chosen = QFileDialog.getExistingDirectory(self, "Folder for the maps", str(self._start_folder()))
        if not chosen or not self._is_still_shown(subject):
            return
        self.folder = Path(chosen)
        path = self._subfolder_for_scan(self.folder, options.overwrite)
        maps, dicom = options.maps_of(subject.explorer), options.dicom_of(subject.explorer)
        self._start("Maps", path, lambda result: result.save(path, dicom, options.overwrite, maps), subject)

    def copy(self, form: Literal["command", "python"]) -> None:
        """Copy what repeats the analysis; the status line says what must be saved first."""
        if (subject := self.session.prepared) is None:
            return
        found = subject.reproduction()
        copy_text(self.session, found.command if form == "command" else found.python, found.missing)

    def open_study(self) -> None:
        """Ask for a study, and for its scan if the scan is neither open nor in its old place, and open both."""
        chosen, _ = QFileDialog.getOpenFileName(self, "Open study", str(self._start_folder()), STUDIES)
        if not chosen:
            return
        path = Path(chosen)
        self.folder = path.parent
        try:
            found = find_scan(path, self.session.scans())
        except InputError as error:
            self._refuse(str(error))
            return
        # A path is not passed on: if it holds another scan now, `open_study` tries the next place.
        scan: Volume | Path | None = found if isinstance(found, Volume) else None
        if found is None:
            kind, title = "Scans (*.nii *.nii.gz *.dcm);;All files (*)", "The scan has moved: choose its file"
            chosen, _ = QFileDialog.getOpenFileName(self, title, str(path.parent), kind)
            if not chosen:
                return
            scan = Path(chosen)
        bundles = [v for _, v in self.dock.inputs.bundle.items() if isinstance(v, Path)]
        self.session.reopen(path, scan, bundles, self.dock.inputs.device.value)

    # ---- helpers --------------------------------------------------------------------------------------------------

    def _action(self, text: str, keys: str, do: Callable[[], None], tip: str) -> QAction:
        action = QAction(text, self)
        action.setToolTip(tip)
        action.setShortcut(QKeySequence(keys))
        action.triggered.connect(do)
        self.addAction(action)  # otherwise its keys work only while the menu is open
        if (menu := self.menu()) is not None:
            menu.addAction(action)
        return action

    def _is_still_shown(self, subject: PreparedScan | None) -> bool:
        """Is the scan that was shown when a dialog opened still shown? If not, refuse to write."""
        if subject is None or subject is not self.session.prepared:
            self._refuse("Nothing was written: the scan was changed while the dialog was open.")
            return False
        return True

    def _start(
        self, what: str, path: Path, write: Callable[[Result], Sequence[str] | None], prepared: PreparedScan
    ) -> None:
        """Write the present state of the analysis in a worker. Later changes do not affect it.

        `write` returns remarks to show, or None.
        """
        session, explorer = self.session, prepared.explorer
        still = Explorer(explorer.bundle, explorer.settings, session.cache_bytes)
        volume, grid, stages, focus = explorer.scan, explorer.grid, explorer.stages(), explorer.focus
        seconds, review, scan = dict(explorer.seconds), Review(), session.verdicts.scan
        reopened = prepared.study.saved if prepared.study else None
        review.restore(session.review.annotations)

        def steps() -> Iterator[str]:
            yield f"Writing {path.name} …"
            still.resume(volume, prepared.mask, grid, stages)
            still.focus, still.seconds = focus, seconds
            if session.prepared is not prepared:
                yield f"{path.name} was not written: its scan is no longer shown."
                return
            remarks = write(Result(still, volume, prepared.mask, prepared.note, review, reopened, prepared.files)) or ()
            session.verdicts.saved(scan, review.annotations)
            yield " ".join([f"{what} written: {path}", *remarks])

        runner = WorkerSlot(session.advanced.emit)
        runner.name = path.name
        self._writing.append(runner)
        runner.start(steps(), session.advanced.emit, lambda *_: self._writing.remove(runner))

    def _ask(self, title: str, ending: str, kind: str) -> tuple[Path, PreparedScan] | None:
        """Ask for a file. Returns its path and the scan that was shown when the dialog opened."""
        subject = self.session.prepared
        suffix = ending[ending.index(".") :]
        start = self._start_folder() / f"{self._file_stem()}{ending}"
        chosen, _ = QFileDialog.getSaveFileName(self, title, str(start), kind)
        if not chosen or not self._is_still_shown(subject) or subject is None:
            return None
        path = Path(chosen)
        self.folder = path.parent
        if path.suffix.lower() != suffix:
            path = path.with_name(path.name + suffix)
            if path.exists():  # the dialog only asked about the name without the suffix
                self._refuse(f"{path} already exists; choose this name in the dialog to replace it.")
                return None
        return path, subject

    def _start_folder(self) -> Path:
        """The folder that a dialog shows first: the last one chosen, or the folder of the scan."""
        volume = self.session.explorer.scan if self.session.explorer else None
        beside = volume.path.parent if volume is not None and volume.path is not None else Path.home()
        return self.folder or beside

    def _subfolder_for_scan(self, folder: Path, overwrite: bool) -> Path:
        """A subfolder named after the scan, with a number if the name is taken and may not be overwritten."""
        explorer = self.session.explorer
        assert explorer is not None
        name, number = f"{self._file_stem()}_vqad", 1
        path = folder / name
        if overwrite and (path.is_dir() or not path.exists()):
            return path
        while path.exists() and (not path.is_dir() or any(path.iterdir())) and not belongs_to(path, explorer.scan):
            number += 1
            path = folder / f"{name}_{number}"
        return path

    def _file_stem(self) -> str:
        volume = self.session.explorer.scan if self.session.explorer else None
        return re.sub(r"[^\w.-]+", "_", volume.name) if volume is not None else "scan"

    def _refuse(self, sentence: str) -> None:
        show_error(sentence)
        self.session.advanced.emit(sentence)

    def _on_busy(self, busy: bool) -> None:
        self._busy = busy
        self.refresh()

    def _on_reopened(self, study: Study) -> None:
        """Show the view of the study, and choose its scan, mask and model in the lists for the next analysis."""
        inputs, dock = self.dock.inputs, self.dock
        inputs.bundle.pick(study.explorer.bundle.folder)
        if (scan := self.session.map_layers.scan) is not None:
            inputs.scan.pick(scan)
            inputs.keep_mask(StudyMask(study.mask, study.mask_note, scan))
        dock.which.setValue(study.which)
        if study.view in {view.name for view in views_of(study.explorer.maps)}:
            dock.show_view(study.view)
        if study.words:  # the list of findings shows the verdicts and notes
            dock.findings.setChecked(True)

    def _losses(self) -> list[str]:
        # When a script closes the viewer, the explorer is gone already, and the user must not be asked.
        writing = self._writing if self.session.explorer is not None else []
        return [f"{runner.name} is being written." for runner in writing]

    def _on_window_closed(self, gone: bool) -> None:
        for runner in self._writing:
            runner.muted = gone
