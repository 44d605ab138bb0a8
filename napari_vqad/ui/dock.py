"""The dock: lays out the widgets and connects them to the session, which does the work."""

from __future__ import annotations

from functools import partial
from typing import Any

from napari.viewer import Viewer
from pydantic import ValidationError
from qtpy.QtCore import Qt
from qtpy.QtGui import QResizeEvent, QShowEvent
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QScrollArea, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from napari_vqad.detectors.registry import DEFAULT, detector_class
from napari_vqad.display.controls import names_of, samples_of, states_of, used_by
from napari_vqad.display.notice import NOTICE, notice_of
from napari_vqad.display.profile import SliceProfile, count_in_words
from napari_vqad.display.scales import limits, unit_and_healthy
from napari_vqad.display.views import SCAN, views_of
from napari_vqad.imaging.slice_numbers import span
from napari_vqad.ui.canvas.incomplete_marks import Unfinished
from napari_vqad.ui.compare.canvas_state import comparison_is_open
from napari_vqad.ui.lists.panel import ListPanel
from napari_vqad.ui.panels.axis_order import lay
from napari_vqad.ui.panels.display_bar import DisplayBar, make_button
from napari_vqad.ui.panels.export_menu import ExportMenu
from napari_vqad.ui.panels.histogram_section import HistogramSection
from napari_vqad.ui.panels.inputs import Inputs
from napari_vqad.ui.panels.run_bar import RunBar
from napari_vqad.ui.panels.setting_widgets import SettingSlider
from napari_vqad.ui.panels.settings_panel import SettingsPanel
from napari_vqad.ui.panels.slice_profile import Profile
from napari_vqad.ui.panels.subject_line import Subject
from napari_vqad.ui.panels.tour import Tour
from napari_vqad.ui.panels.view_bar import ViewBar
from napari_vqad.ui.panels.welcome import SAMPLE, Welcome, stops_of
from napari_vqad.ui.plumbing.connections import PANEL, ViewerConnections, stack_panels
from napari_vqad.ui.plumbing.preferences import read_preferences
from napari_vqad.ui.plumbing.shortcuts import NEXT, NEXT_FINDING, ORIGINAL, PREVIOUS, PREVIOUS_FINDING, bind
from napari_vqad.ui.plumbing.style import BUTTONS, SMALL
from napari_vqad.ui.plumbing.window_events import WindowEvents
from napari_vqad.ui.request import AnalysisRequest
from napari_vqad.ui.session import Session
from napari_vqad.ui.tuning.bench import TIP as TUNING
from napari_vqad.ui.tuning.bench import TuningBench


class ExplorerDock(QScrollArea):
    """The VQ Anomaly Explorer."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        connections, preferences = ViewerConnections(napari_viewer), read_preferences()
        connections.adopt(self)
        self.session = Session(connections, preferences.settings, preferences.cache_bytes)
        self.setProperty(PANEL, True)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setStyleSheet(BUTTONS)

        body = QWidget()
        column = QVBoxLayout(body)
        column.setContentsMargins(8, 6, 8, 6)
        column.setSpacing(5)
        self.setWidget(body)

        self.welcome = Welcome()
        column.addWidget(self.welcome)
        self.inputs = Inputs(preferences.bundles, preferences.device)
        column.addWidget(self.inputs)
        self.subject = Subject(self.session, self.inputs)
        self.subject.setParent(self)  # stays above the part that scrolls
        self.unfinished = Unfinished(self.session)
        self._make_run(column)
        self._make_views(column)
        self.display = DisplayBar(self.session)
        column.addWidget(self.display)
        self._make_slices(column)
        self.histogram = HistogramSection(self.session)
        column.addWidget(self.histogram)
        self.sections = SettingsPanel()
        self.widgets = self.sections.widgets
        column.addWidget(self.sections)
        self._make_foot(column)
        column.addStretch(1)

        self.lists = ListPanel(self.session, self.findings, self.which, self.display.convention)
        self.bench = TuningBench(self.session, self.tuning)
        self._connect_signals()
        self._list_layers()
        self._show_settings()
        self._update_enabled()

    # ---- widgets --------------------------------------------------------------------------------------------------

    def _make_run(self, column: QVBoxLayout) -> None:
        bar = RunBar()
        self.analyse, self.cancel, self.progress, self.status = bar.analyse, bar.cancel, bar.progress, bar.status
        column.addWidget(bar)

    def _make_views(self, column: QVBoxLayout) -> None:
        bar = ViewBar()
        self.views, self.views_row, self.legend = bar.views, bar.row, bar.legend
        self.beside, self.original, self.which = bar.beside, bar.original, bar.which
        self.bar = bar
        column.addWidget(bar)

    def _make_slices(self, column: QVBoxLayout) -> None:
        self.profile = Profile()
        row = QHBoxLayout()
        self.previous, self.next = QToolButton(), QToolButton()
        self.previous.setText(f"◀ ({PREVIOUS})")
        self.next.setText(f"({NEXT}) ▶")
        self.previous.setToolTip(f"Previous flagged slice (key {PREVIOUS}).")
        self.next.setToolTip(f"Next flagged slice (key {NEXT}).")
        self.count = QLabel("")
        self.count.setAlignment(Qt.AlignmentFlag.AlignCenter)
        row.addWidget(self.previous)
        row.addWidget(self.count, 1)
        row.addWidget(self.next)
        self.findings = QToolButton()
        self.findings.setText("Findings")
        self.findings.setCheckable(True)
        self.findings.setToolTip(
            "List the findings: go to each one, accept it or reject it "
            f"(keys {NEXT_FINDING} and {PREVIOUS_FINDING}: next and previous finding). "
            "Other tabs list the flagged slices and show the restorations."
        )
        self.tuning = make_button("Tuning", TUNING)
        self.tuning.setCheckable(True)
        self.export_menu = ExportMenu(self)
        reading = QHBoxLayout()
        for button in (self.findings, self.display.box, self.tuning, self.export_menu):
            button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            reading.addWidget(button, 1)
        column.addWidget(self.profile)
        column.addLayout(row)
        column.addLayout(reading)

    def _make_foot(self, column: QVBoxLayout) -> None:
        self.notice = QLabel(NOTICE)
        self.notice.setStyleSheet(SMALL)
        self.notice.setWordWrap(True)
        self.tour = Tour(self, lambda: stops_of(self, self.sections))
        begin = make_button("Tour", "Show what each part of this panel does. It takes a minute.")
        begin.clicked.connect(self.tour.start)
        row = QHBoxLayout()
        row.addWidget(self.notice, 1)
        for button in (self.display.help, begin):
            row.addWidget(button)
        column.addLayout(row)

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Set the width that the content needs. Style and font are only known once the dock is shown."""
        super().showEvent(event)
        stack_panels(self.viewer, self)
        body = self.widget()
        assert body is not None
        beside = self.verticalScrollBar().sizeHint().width() + 2 * self.frameWidth()
        needed = body.minimumSizeHint().width() + beside
        self.setMinimumWidth(needed)
        self.setMaximumWidth(needed + 24)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Keep the subject line above the part that scrolls."""
        self._place_subject()
        super().resizeEvent(event)

    def _place_subject(self) -> None:
        subject = self.subject  # its height depends on the width only if text wraps
        height = subject.heightForWidth(self.width()) if subject.hasHeightForWidth() else subject.sizeHint().height()
        self.subject.setGeometry(0, 0, self.width(), height)
        self.setViewportMargins(0, height, 0, 0)

    # ---- connections ----------------------------------------------------------------------------------------------

    def _connect_signals(self) -> None:
        session, layers = self.session, self.viewer.layers
        closing = WindowEvents(self, session.losses)
        connections = session.connections
        closing.gone.connect(session.close)
        self.sections.edited.connect(lambda name, value: self._on_edited({name: value}))
        self.sections.preset.chosen.connect(self._on_edited)
        self.analyse.clicked.connect(self.start)
        self.inputs.questions.told.connect(partial(lay, self.viewer))
        self.welcome.sample.connect(self._open_sample)
        self.welcome.tour.connect(self.tour.start)
        self.welcome.file.connect(lambda path: self.viewer.open(path, plugin="napari-vqad"))
        self.cancel.clicked.connect(session.cancel)
        self.views.buttonClicked.connect(lambda _button: self._show_view())
        self.which.valueChanged.connect(lambda _value: self.show_view("Restoration"))
        self.lists.gallery.chosen.connect(self.show_restoration)
        self.beside.toggled.connect(self._on_side_by_side)
        self.original.pressed.connect(lambda: self._show_scan_alone(True))
        self.original.released.connect(lambda: self._show_scan_alone(False))
        self.profile.chosen.connect(session.go_to)
        self.previous.clicked.connect(lambda: session.go_to_flagged(-1))
        self.next.clicked.connect(lambda: session.go_to_flagged(1))
        self.subject.resized.connect(self._place_subject)
        session.map_layers.lost.connect(self._on_map_removed)
        session.opened.connect(self._on_opened)
        session.emptied.connect(self._on_emptied)
        session.settled.connect(self._show_settings)
        session.settled.connect(self._show_limits)
        session.advanced.connect(self._on_advanced)
        session.busy.connect(self._on_busy)
        session.progressed.connect(self._on_progressed)
        session.moved.connect(lambda: self.profile.show_here(session.current()))
        connections.on_close(lambda: self.beside.setChecked(False))
        for event in (layers.events.inserted, layers.events.removed):
            connections.connect(event, self._list_layers)
        connections.connect(layers.events, self._on_layer_event)
        self.display.wanted.connect(self.show_view)
        for key, by in ((NEXT, 1), (PREVIOUS, -1)):
            bind(connections, key, partial(session.go_to_flagged, by))
        connections.bind_key(ORIGINAL, self._on_scan_key)

    def _on_scan_key(self, _viewer: Viewer):  # napari calls a generator at press and again at release
        self._show_scan_alone(True)
        yield
        self._show_scan_alone(False)

    # ---- actions of the user --------------------------------------------------------------------------------------

    def start(self) -> None:
        """Analyse the chosen scan."""
        scan, mask, bundle, device = self.inputs.chosen()
        if scan is None or bundle is None:
            missing = "scan: open one with File → Open or File → Open Sample" if scan is None else "model"
            self.status.setText(f"There is no {missing}.")
            return
        # Only until slices can be counted: the bar's animation redraws the window all the time and keeps a core busy.
        self.progress.setRange(0, 0)
        self.session.analyse(AnalysisRequest(scan, mask, bundle, device))

    def _open_sample(self) -> None:
        """Open the sample head and analyse it."""
        self.viewer.open_sample(*SAMPLE)
        self.start()

    def _on_edited(self, values: dict[str, Any]) -> None:
        try:
            self.session.change(**values)
        except ValidationError as error:
            self.status.setText(error.errors()[0]["msg"])

    def view_name(self) -> str:
        """The name of the view that is shown."""
        return self.bar.current()

    def show_view(self, name: str) -> None:
        """Show a view, given its name (see `display.views`)."""
        self.bar.press(name)
        self._show_view()

    def show_restoration(self, which: int) -> None:
        """Show one restoration, given its number, or a map of all of them: `MEAN` or `SPREAD`."""
        self.which.setValue(which)
        self.show_view("Restoration")  # needed if `which` has not changed and another view is shown

    def _show_view(self) -> None:
        map_layers, explorer = self.session.map_layers, self.session.explorer
        map_layers.show(self.view_name(), self.which.value())
        key = map_layers.shown
        if explorer is None or key is None or key not in limits(explorer):
            self.legend.show_scale((0.0, 0.0), "", None)
        else:
            self.legend.show_scale(map_layers.layers[key].contrast_limits, *unit_and_healthy(explorer, key))

    def _show_limits(self) -> None:
        """Show the healthy range of the map in view, if settings have changed it."""
        if self.session.map_layers.update_limits():
            self._show_view()

    def _on_side_by_side(self, on: bool) -> None:
        if comparison_is_open(self.viewer):
            return
        self.viewer.canvas.grid.enabled = on
        self.viewer.fit_to_view()  # a cell is narrower than the canvas; without this the head would be cut off

    def _show_scan_alone(self, on: bool) -> None:
        self.display.flickering.stop()
        self.session.map_layers.hide_overlays(on)

    # ---- signals of the session -----------------------------------------------------------------------------------

    def _list_layers(self) -> None:
        self.inputs.list_layers(self.viewer.layers, self.session.map_layers.layers.values())
        self.welcome.setVisible(self.inputs.scan.value is None)
        self.beside.setEnabled(not comparison_is_open(self.viewer))  # the grid is the comparison's

    def _on_layer_event(self, event: Any) -> None:
        if event.type == "name":
            self._list_layers()
            self.subject.refresh()

    def _on_map_removed(self, name: str) -> None:
        """The person took out the map that is shown: its button must not stay lit."""
        view = self.view_name()
        self.show_view("Scan")
        self.session.advanced.emit(f"The layer '{name}' was removed; press {view} to show it again.")

    def _on_emptied(self) -> None:
        """The scan was closed: clear its numbers and disable the widgets that need a scan."""
        self._list_layers()
        self.profile.clear()
        self.count.setText("")
        self.status.setText("")
        self.progress.setRange(0, 1)
        self.progress.reset()
        self.findings.setChecked(False)
        self._show_view()
        self._show_settings()
        self._update_enabled()

    def _update_enabled(self) -> None:
        """Disable the widgets that need an analysed scan while there is none."""
        there = (explorer := self.session.explorer) is not None
        self.notice.setText(notice_of(explorer.bundle if explorer else None))
        for widget in (self.views_row, self.original, self.which, self.previous, self.next, self.findings, self.tuning):
            widget.setEnabled(there)

    def _on_opened(self) -> None:
        self._list_layers()
        self._update_enabled()
        explorer = self.session.explorer
        if explorer is None:
            return
        if self.session.prepared is not None and self.session.prepared.chosen:
            self.inputs.scan.pick(self.session.scan)
        for name, allowed in explorer.bundle.choices.items():
            self.sections.choice(name).offer(allowed)
        self.bar.offer(views_of(explorer.maps))
        self.which.setVisible(any(spec.indexed for spec in explorer.maps.values()))
        self.sections.range("slices").span(*span(explorer.grid, (0, len(explorer.grid) - 1)))
        head, used = explorer.grid.kind == "head", used_by(explorer)
        for name, widget in self.widgets.items():
            widget.setVisible(name in used)
        self.findings.setVisible(head)
        self.sections.preset.setVisible(head and explorer.detector.scored is not None)
        if head:
            self.sections.preset.use_grid(explorer.bundle.config.grid.voxel_ml)
        else:
            self.findings.setChecked(False)
        if self.views.checkedButton() is None or self.view_name() == SCAN:
            self.show_view("Score")
        else:
            self._show_view()
        self._show_settings()

    def detector(self) -> Any:
        """The detector of the explored bundle; while nothing is explored, the class of the default detector."""
        return explorer.detector if (explorer := self.session.explorer) else detector_class(DEFAULT)

    def _on_advanced(self, text: str) -> None:
        self.status.setText(f"{text}\n{self.session.note}".strip())
        self._show_scores()

    def _on_busy(self, busy: bool) -> None:
        self.cancel.setEnabled(busy)
        self.analyse.setEnabled(not busy)
        if not busy:
            self.progress.setRange(0, 1)

    def _on_progressed(self, done: int, total: int) -> None:
        self.progress.setRange(0, total)
        self.progress.setValue(done)

    def _show_settings(self) -> None:
        """Show the settings in the widgets, each threshold in its unit and as a healthy percentile."""
        settings, explorer, detector = self.session.settings, self.session.explorer, self.detector()
        self.sections.preset.show_of(settings)
        self.which.limit(samples_of(detector, settings))
        for name, state in states_of(explorer, detector, settings).items():
            widget = self.widgets[name]
            widget.setEnabled(state.enabled)
            if isinstance(widget, SettingSlider):
                if state.highest is not None:
                    widget.span(0.0, state.highest)
                widget.blank(state.blank)
            if not state.blank:
                widget.set(state.value)
            if name in names_of("Thresholds"):
                widget.explain(state.words)
                self.sections.slider(name).offer(state.tuned)
        if explorer is not None:
            self._show_scores()

    def _show_scores(self) -> None:
        explorer = self.session.explorer
        if explorer is None:
            return
        self.profile.show_scores(SliceProfile.of(explorer))
        self.count.setText(count_in_words(explorer))
        self.subject.warn("" if (fitness := explorer.fitness()).fits else fitness.verdict)
