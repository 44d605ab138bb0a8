"""The dock: widgets laid out, and wired to the session. What happens is decided there."""

from __future__ import annotations

from functools import partial

from napari.viewer import Viewer
from pydantic import ValidationError
from qtpy.QtCore import Qt
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import (
    QButtonGroup,
    QFrame,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_vqad.calibration import resolve
from napari_vqad.sheet import unit_and_healthy
from napari_vqad.stack import span
from napari_vqad.ui.axes import lay
from napari_vqad.ui.board import DISAGREEMENT, VIEWS
from napari_vqad.ui.choosers import Which
from napari_vqad.ui.closing import Closing
from napari_vqad.ui.display import Display
from napari_vqad.ui.explain import explain
from napari_vqad.ui.handover import HandOver
from napari_vqad.ui.inputs import Inputs
from napari_vqad.ui.keys import NEXT, NEXT_FINDING, ORIGINAL, PREVIOUS, PREVIOUS_FINDING, bind
from napari_vqad.ui.legend import Legend
from napari_vqad.ui.lent import is_lent
from napari_vqad.ui.preferences import read_preferences
from napari_vqad.ui.profile import Profile
from napari_vqad.ui.sections import OF_RESTORATIONS, SECTIONS, Sections
from napari_vqad.ui.session import Order, Session
from napari_vqad.ui.shelf import Shelf
from napari_vqad.ui.style import BUTTONS, SMALL
from napari_vqad.ui.ties import Ties
from napari_vqad.ui.tour import Tour
from napari_vqad.ui.welcome import SAMPLE, Welcome, stops_of

SCORES = {"NLL": "nll", "Residual": "residual", "Score": "pixel_score"}  # views with a colour bar


class ExplorerDock(QScrollArea):
    """The VQ Anomaly Explorer."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        ties, preferences = Ties(napari_viewer), read_preferences()
        ties.hold(self)
        self.session = Session(ties, preferences.settings, preferences.cache_bytes)
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
        self._make_run(column)
        self._make_views(column)
        self.display = Display(self.session)
        column.addWidget(self.display)
        self._make_slices(column)
        self.sections = Sections()
        self.knobs = self.sections.knobs
        column.addWidget(self.sections)
        self._make_foot(column)
        column.addStretch(1)

        self.shelf = Shelf(self.session, self.findings, self.which, self.display.convention)
        self._listen()
        self._list_layers()
        self._show_settings()

    # ---- widgets --------------------------------------------------------------------------------------------------

    def _make_run(self, column: QVBoxLayout) -> None:
        row = QHBoxLayout()
        self.analyse = QPushButton("Analyse")
        self.analyse.setToolTip("Compute NLL and restorations of the scan, the slice in view first.")
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip("Stop within a batch; what is done is kept.")
        self.cancel.setEnabled(False)
        row.addWidget(self.analyse, 2)
        row.addWidget(self.cancel, 1)
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.progress.setFixedHeight(5)
        self.status = QLabel("Open a T1 head, then press Analyse.")
        self.status.setWordWrap(True)
        column.addLayout(row)
        column.addWidget(self.progress)
        column.addWidget(self.status)

    def _make_views(self, column: QVBoxLayout) -> None:
        self.views_row = QWidget()
        row = QHBoxLayout(self.views_row)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2)
        self.views = QButtonGroup(self)
        tips: tuple[str, ...] = ("the scan alone", "how unlikely each code is", "the weighted mean of the restorations")
        tips = (*tips, "how far scan and restorations differ", "the pooled residual", "voxels above the threshold")
        for (name, _layers), tip in zip(VIEWS.items(), tips, strict=True):
            button = QToolButton()
            button.setText(name)
            button.setToolTip(f"Show {tip}.")
            button.setCheckable(True)
            self.views.addButton(button)
            row.addWidget(button, 1)
        self.legend = Legend()
        self.beside = QToolButton()
        self.beside.setText("Side by side")
        self.beside.setCheckable(True)
        self.beside.setToolTip("Show the scan and the chosen map next to each other, moving together.")
        self.original = QToolButton()
        self.original.setText(f"Scan (hold {ORIGINAL})")
        self.original.setToolTip(f"While held, or while the key {ORIGINAL} is held, the scan alone is shown.")
        self.which = Which()
        second = QHBoxLayout()
        for widget in (self.beside, self.original, self.which):
            second.addWidget(widget)
        column.addWidget(self.views_row)
        column.addWidget(self.legend)
        column.addLayout(second)

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
            "List what is flagged, piece by piece, to go there and to accept or reject it "
            f"(keys {NEXT_FINDING} and {PREVIOUS_FINDING}: next and previous); and flagged slices and restorations."
        )
        self.handover = HandOver(self)
        reading = QHBoxLayout()
        for button in (self.findings, self.handover):
            button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            reading.addWidget(button, 1)
        column.addWidget(self.profile)
        column.addLayout(row)
        column.addLayout(reading)

    def _make_foot(self, column: QVBoxLayout) -> None:
        self.notice = QLabel("Research use only, not a medical device.")
        self.notice.setStyleSheet(SMALL)
        self.tour = Tour(self, lambda: stops_of(self))
        begin = QToolButton()
        begin.setText("Tour")
        begin.setToolTip("What everything here is for, in a minute.")
        begin.clicked.connect(self.tour.start)
        row = QHBoxLayout()
        row.addWidget(self.notice, 1)
        row.addWidget(begin)
        column.addLayout(row)

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """As wide as what is in it needs, which style and font have decided by now: nothing is cut."""
        super().showEvent(event)
        body = self.widget()
        assert body is not None
        beside = self.verticalScrollBar().sizeHint().width() + 2 * self.frameWidth()
        needed = body.minimumSizeHint().width() + beside
        self.setMinimumWidth(needed)
        self.setMaximumWidth(needed + 24)

    # ---- wires ----------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        session, layers, closing = self.session, self.viewer.layers, Closing(self)
        ties = session.ties
        closing.leaving.connect(session.cancel)
        closing.leaving.connect(self.display.put_away)
        closing.gone.connect(session.close)
        self.sections.turned.connect(self._on_turned)
        self.analyse.clicked.connect(self.start)
        self.inputs.questions.told.connect(partial(lay, self.viewer))
        self.welcome.sample.connect(self._open_sample)
        self.welcome.tour.connect(self.tour.start)
        self.welcome.file.connect(lambda path: self.viewer.open(path, plugin="napari-vqad"))
        self.cancel.clicked.connect(session.cancel)
        self.views.buttonClicked.connect(lambda _button: self._show_view())
        self.which.valueChanged.connect(lambda _value: self.show_view("Restoration"))
        self.shelf.strip.chosen.connect(self.show_restoration)
        self.beside.toggled.connect(self._on_beside)
        self.original.pressed.connect(lambda: self._hold(True))
        self.original.released.connect(lambda: self._hold(False))
        self.profile.chosen.connect(session.go_to)
        self.previous.clicked.connect(lambda: session.go_to_flagged(-1))
        self.next.clicked.connect(lambda: session.go_to_flagged(1))
        session.opened.connect(self._on_opened)
        session.settled.connect(self._show_settings)
        session.advanced.connect(self._on_advanced)
        session.busy.connect(self._on_busy)
        session.progressed.connect(self._on_progressed)
        session.moved.connect(lambda: self.profile.show_here(session.current()))
        ties.at_end(lambda: self.beside.setChecked(False))
        for event in (layers.events.inserted, layers.events.removed):
            ties.hear(event, self._list_layers)
        self.display.wanted.connect(self.show_view)
        for key, act, by in (
            (NEXT, session.go_to_flagged, 1),
            (PREVIOUS, session.go_to_flagged, -1),
            (NEXT_FINDING, self.shelf.step, 1),
            (PREVIOUS_FINDING, self.shelf.step, -1),
        ):
            bind(ties, key, partial(act, by))
        ties.bind(ORIGINAL, self._while_held)

    def _while_held(self, _viewer: Viewer):  # napari calls a generator at press and again at release
        self._hold(True)
        yield
        self._hold(False)

    # ---- what the person does -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Analyse the chosen scan."""
        scan, mask, bundle, device = self.inputs.chosen()
        if scan is None or bundle is None:
            missing = "scan: open one with File → Open or File → Open Sample" if scan is None else "model"
            self.status.setText(f"There is no {missing}.")
            return
        # Only while nothing can be counted: the bar's animation draws the window anew all the time, and takes a core.
        self.progress.setRange(0, 0)
        self.session.analyse(Order(scan, mask, bundle, device))

    def _open_sample(self) -> None:
        """The sample head, analysed: everything in place."""
        self.viewer.open_sample(*SAMPLE)
        self.start()

    def _on_turned(self, name: str, value: object) -> None:
        try:
            self.session.change(**{name: value})
        except ValidationError as error:
            self.status.setText(error.errors()[0]["msg"])
        if name in ("method", "level"):  # another healthy range
            self.session.board.rescale()
            self._show_view()

    def view_name(self) -> str:
        """The question that is shown."""
        button = self.views.checkedButton()
        return button.text() if button else "Scan"

    def show_view(self, name: str) -> None:
        """Show one question: a name of `VIEWS`."""
        for button in self.views.buttons():
            button.setChecked(button.text() == name)
        self._show_view()

    def show_restoration(self, which: int) -> None:
        """Show one restoration by its number, or all of them: `MEAN` or `DISAGREEMENT`."""
        self.which.setValue(which)
        self.show_view("Restoration")  # also when it was chosen before, and another view is shown

    def _show_view(self) -> None:
        board = self.session.board
        board.show(self.view_name(), self.which.value())
        explorer = self.session.explorer
        key = SCORES.get(self.view_name())
        if self.view_name() == "Restoration" and self.which.value() == DISAGREEMENT:
            key = "disagreement"
        if explorer is None or key is None:
            self.legend.show_scale((0.0, 0.0), "", None)
            return
        self.legend.show_scale(board.layers[key].contrast_limits, *unit_and_healthy(explorer, key))

    def _on_beside(self, on: bool) -> None:
        if is_lent(self.viewer):
            return
        self.viewer.canvas.grid.enabled = on
        self.viewer.fit_to_view()  # a cell is narrower than the canvas: the head must not be cut

    def _hold(self, on: bool) -> None:
        self.display.flickering.stop()
        self.session.board.hide(on)

    # ---- what the session tells -----------------------------------------------------------------------------------

    def _list_layers(self) -> None:
        self.inputs.list_layers(self.viewer.layers, self.session.board.layers.values())
        self.welcome.setVisible(self.inputs.scan.value is None)
        self.beside.setEnabled(not is_lent(self.viewer))  # the grid is the comparison's

    def _on_opened(self) -> None:
        self._list_layers()
        explorer = self.session.explorer
        if explorer is None:
            return
        self.sections.choice("method").offer(explorer.bundle.methods)
        self.sections.choice("level").offer(("all", *explorer.bundle.levels.names))
        calibration = explorer.bundle.calibration
        for name in ("lambda_s", "lambda_p"):
            self.sections.slider(name).span(0.0, calibration.value("nll", "p99.99"))
        self.sections.range("slices").span(*span(explorer.grid, (0, len(explorer.grid) - 1)))
        head = explorer.grid.kind == "head"
        for name in ("axis", *SECTIONS["Findings"]):  # a clip has frames, and no other way to cut it, nor a brain
            self.knobs[name].setVisible(head)
        self.findings.setVisible(head)
        if not head:
            self.findings.setChecked(False)
        if self.views.checkedButton() is None or self.view_name() == "Scan":
            self.show_view("Score")
        else:
            self._show_view()
        self._show_settings()

    def _on_advanced(self, text: str) -> None:
        note = self.session.note
        self.status.setText(f"{text}\n{note}" if note else text)
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
        """Knobs as the settings are, each threshold in its unit and as a healthy percentile."""
        settings, explorer = self.session.settings, self.session.explorer
        self.which.limit(1 if settings.method == "regenerative" else settings.n_restorations)
        for name, knob in self.knobs.items():
            if name not in SECTIONS["Thresholds"] or not isinstance(getattr(settings, name), str):
                knob.set(getattr(settings, name))
            knob.setEnabled(name not in OF_RESTORATIONS or settings.method != "regenerative")
        if explorer is None:
            for name in SECTIONS["Thresholds"]:
                self.knobs[name].explain("")
            return
        # The person's, which the explorer may get a moment later.
        limits = resolve(settings, explorer.bundle.calibration)
        explained = explain(explorer, settings, limits)
        for name in SECTIONS["Thresholds"]:
            if name in explained.highest:
                self.sections.slider(name).span(0.0, explained.highest[name])
            self.knobs[name].set(getattr(limits, name))
            self.knobs[name].explain(explained.words[name])
        self._show_scores()

    def _show_scores(self) -> None:
        explorer = self.session.explorer
        if explorer is None:
            return
        grid, flagged = explorer.grid, explorer.flagged_slices()
        self.profile.show_scores(explorer.slice_scores(), flagged, explorer.thresholds().flag_slices, grid)
        what = "slices" if grid.kind == "head" else "frames"
        self.count.setText(f"{int(flagged.sum())} of {explorer.n_slices} {what} flagged")
