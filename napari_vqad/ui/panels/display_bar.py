"""Display controls in the dock: convention, window, flicker, orthogonal views, boxes, keys and read-out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from napari.layers import Image, Layer
from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QMenu, QToolButton, QVBoxLayout, QWidget
from superqt.utils import qthrottled

from napari_vqad.display.readout import place, read_out
from napari_vqad.display.window import PRESETS
from napari_vqad.engine.explorer import Explorer
from napari_vqad.imaging.slice_numbers import Ruler, ruler
from napari_vqad.imaging.volume import Volume
from napari_vqad.ui.canvas.crosshair import CrossHair
from napari_vqad.ui.canvas.display_convention import Convention
from napari_vqad.ui.canvas.flicker import Flicker
from napari_vqad.ui.canvas.orientation_labels import Letters
from napari_vqad.ui.canvas.orthogonal_views import Planes
from napari_vqad.ui.canvas.volume_rendering import Solid
from napari_vqad.ui.canvas.window_level import KEYS, WindowLevel
from napari_vqad.ui.layers import placement
from napari_vqad.ui.layers.finding_boxes import Boxes
from napari_vqad.ui.plumbing import shortcuts
from napari_vqad.ui.plumbing.style import SMALL
from napari_vqad.ui.plumbing.toggle_dock import ToggleDock
from napari_vqad.ui.plumbing.window_events import WindowEvents
from napari_vqad.ui.session import Session

SIDES = (
    "Radiological: the patient's right is on the left of the picture. Press for neurological: the patient's right is "
    f"on the right ({shortcuts.TURN})."
)
LOOKS = 80  # ms, the shortest time between two read-outs


class DisplayBar(QWidget):
    """Buttons and read-out that change how the picture is displayed. None of them makes the explorer compute."""

    wanted = Signal(str)  # the name of a view that the dock should show

    def __init__(self, session: Session) -> None:
        super().__init__()
        connections, self.viewer, self.session = session.connections, session.viewer, session
        self._had_head = False
        self.convention = Convention(connections, lambda: self.head() is not None)
        self.letters = Letters(connections, self.head, self.ruler_of)
        self.solid = Solid(connections, session.map_layers)
        self.windowing = WindowLevel(connections, session.map_layers, self.letters.say)
        self.flickering = Flicker(session.map_layers, self)
        self.boxes = Boxes(session)
        self.planes = Planes(connections, self.convention, self.head, self.shown)

        self.sides = make_button("Radiological", SIDES)
        self.sides.setCheckable(True)
        self.window_menu = make_button(
            "Window ▾",
            "Set which values are black and which are white in the scan and in the restorations. You can also press "
            f"{shortcuts.WINDOW_DRAG} on the picture.",
        )
        self.flicker = make_button(
            "Flicker", f"Show scan and restoration in turn, twice a second ({shortcuts.FLICKER})."
        )
        self.flicker.setCheckable(True)
        self.other = make_button(
            "Orthogonal views", f"Show the other two planes with a common cross-hair ({shortcuts.PLANES})."
        )
        self.other.setCheckable(True)
        self.box = make_button(
            "Boxes", f"Draw a box around every finding; the view Flagged shows their outlines ({shortcuts.BOXES})."
        )
        self.box.setCheckable(True)
        self.help = make_button("Keys", f"Show all keyboard shortcuts ({shortcuts.HELP}).")
        self.words = QLabel("")
        self.words.setToolTip(
            "The values under the mouse pointer, and its position. R and L are measured from the midline once "
            "that is known; the other positions are scanner mm."
        )
        self.words.setStyleSheet(SMALL)
        self.words.setWordWrap(True)
        self.words.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.words.setMinimumHeight(2 * self.words.fontMetrics().lineSpacing())

        menu = QMenu(self.window_menu)
        for name, ((low, high), use) in PRESETS.items():
            action = menu.addAction(f"{name} ({KEYS[name]}): {low:+g} to {high:+g} SD, {use}")
            action.triggered.connect(lambda _on, name=name: self.windowing.preset(name))
        self.window_menu.setMenu(menu)
        self.window_menu.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        row = QHBoxLayout()
        row.setSpacing(2)
        for button in (self.sides, self.window_menu, self.flicker, self.other):  # the dock places the other two
            row.addWidget(button, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        column.addLayout(row)
        column.addWidget(self.words)
        self._untick_timer = QTimer(self)
        self._untick_timer.setSingleShot(True)
        self._untick_timer.setInterval(0)
        self._untick_timer.timeout.connect(self._untick)
        self.crosshair = CrossHair(connections, self.head)
        self.other.toggled.connect(self.crosshair.show)
        self.drawer = ToggleDock(connections, self.other, self.planes, "Orthogonal views")
        self._connect_signals()

    def _connect_signals(self) -> None:
        viewer, connections, look = (
            self.viewer,
            self.session.connections,
            qthrottled(self.look, timeout=LOOKS, parent=self),
        )
        self.sides.toggled.connect(self._on_convention)
        self.flicker.toggled.connect(self._on_flicker)
        self.box.toggled.connect(self.boxes.show)
        self.help.clicked.connect(lambda: shortcuts.show_sheet(self))
        self.flickering.stopped.connect(lambda: self.flicker.setChecked(False))
        WindowEvents(self).gone.connect(lambda _closed: self.flickering.stop())
        bar = viewer.canvas.overlays["scale_bar"]
        connections.on_close(partial(setattr, bar, "visible", bar.visible))
        connections.on_close(self.put_away)
        for event in (viewer.cursor.events.position, viewer.dims.events.point):
            connections.connect(event, lambda: look())
        for event in (viewer.layers.events.inserted, viewer.layers.events.removed):
            connections.connect(event, self.refresh)
        for signal in (self.session.settled, self.session.busy):  # the values under the mouse may have changed
            signal.connect(lambda *_: look())
        self.session.opened.connect(self._on_opened)
        self.session.emptied.connect(self._on_emptied)
        buttons = {
            shortcuts.TURN: self.sides,
            shortcuts.FLICKER: self.flicker,
            shortcuts.PLANES: self.other,
            shortcuts.BOXES: self.box,
        }
        for key, button in buttons.items():
            shortcuts.bind(connections, key, _clicker(button))
        for name, key in KEYS.items():
            shortcuts.bind(connections, key, _call(self.windowing.preset, name))
        shortcuts.bind(connections, shortcuts.HELP, self.help.click)
        self.refresh()

    # ---- display ---------------------------------------------------------------------------------------------------

    def head(self) -> Volume | None:
        """The head on the canvas: the explored scan if it is a head, else the topmost head that is open.

        A clip has no left and right, but a head below it has: without letters and convention that head would be
        mirrored silently, whether or not the clip is explored.
        """
        explorer = self._explored()
        if explorer is not None and explorer.scan.kind == "head":
            return explorer.scan
        for layer in reversed(self.viewer.layers):
            if isinstance(layer, Image) and placement.may_be_scan(layer):
                volume = placement.volume_of(layer)
                if volume.kind == "head":
                    return volume
        return None

    def _explored(self) -> Explorer | None:
        """The explorer whose scan is on the canvas."""
        return self.session.explorer if self.session.map_layers.scan is not None else None

    def ruler_of(self, volume: Volume, axis: int) -> Ruler:
        """The slice numbers of a scan along an axis. Those of the explored scan include the slices of its maps."""
        explorer = self.session.explorer
        maps = [explorer.grid.view] if explorer is not None and explorer.scan is volume else []
        return ruler(axis, volume.kind, volume.frame, *maps)

    def shown(self) -> Iterator[Layer]:
        """The layers that the other planes show, from the lowest up: the scan, the visible maps and the boxes."""
        map_layers, explorer, volume = self.session.map_layers, self._explored(), self.head()
        if explorer is None or explorer.scan is not volume:
            yield from (
                m
                for m in self.viewer.layers
                if isinstance(m, Image) and placement.may_be_scan(m) and placement.volume_of(m) is volume
            )
            return
        if map_layers.scan is not None:
            yield map_layers.scan
        yield from (layer for layer in map_layers.layers.values() if layer.visible)
        if self.boxes.layer is not None:
            yield self.boxes.layer

    def refresh(self) -> None:
        """Update buttons, convention, letters and scale bar, because the open scan may have changed."""
        head = self.head() is not None
        self.sides.setEnabled(head)
        for button in (self.other, self.box):
            button.setEnabled(head)
        if not head:  # later: napari may be removing layers now, and unticking removes further ones
            self._untick_timer.start()
        bar = self.viewer.canvas.overlays["scale_bar"]
        if head != self._had_head:
            bar.visible = self._had_head = head
        self.convention.apply()
        self.letters.refresh()
        self.planes.refresh()

    def look(self) -> None:
        """Show the values and the position under the mouse."""
        explorer, volume = self._explored(), self.head()
        if self.viewer.dims.ndisplay == 3:  # the mouse has no depth in 3D
            self.words.setText("")
            return
        point = self._under_mouse()
        if explorer is not None:
            words = read_out(explorer, placement.frame_mm(explorer.scan.kind, point))
            self.words.setText("\n".join(words.rsplit("; ", 1)))  # the position on its own line
        else:
            self.words.setText("" if volume is None else f"Scanner: {place(volume, placement.frame_mm('head', point))}")

    def _under_mouse(self) -> tuple[float, ...]:
        """The mouse position on the slice in view; napari's cursor position stays on the slice where the mouse moved.

        The cursor may have fewer or more axes than `dims` if a layer was added or removed since. The last three are
        the scan's.
        """
        dims, cursor = self.viewer.dims, self.viewer.cursor.position
        moved = dict(zip(reversed(range(dims.ndim)), reversed(cursor), strict=False))
        return tuple(moved.get(d, p) if d in dims.displayed else p for d, p in enumerate(dims.point))

    def _untick(self) -> None:
        if self.head() is None:
            self.other.setChecked(False)
            self.box.setChecked(False)

    def _on_opened(self) -> None:
        """Put the cross-hair on top again, because the layers of a new analysis lie above it."""
        if self.other.isChecked():
            self.crosshair.show(False)
            self.crosshair.show(True)
        self.refresh()

    def _on_emptied(self) -> None:
        """Stop flicker and clear the read-out, because the scan was closed."""
        self.flicker.setChecked(False)
        self.words.setText("")

    def put_away(self) -> None:
        """Stop flicker, and remove the other planes, cross-hair and boxes, as when the dock is closed."""
        for button in (self.flicker, self.other, self.box):
            button.setChecked(False)

    # ---- actions of the user ---------------------------------------------------------------------------------------

    def _on_convention(self, neurological: bool) -> None:
        self.sides.setText("Neurological" if neurological else "Radiological")
        self.convention.set(neurological)
        self.planes.refresh()

    def _on_flicker(self, on: bool) -> None:
        if not on:
            self.flickering.stop()
        elif self.session.explorer is None:
            self.flicker.setChecked(False)
        else:
            if self.session.map_layers.view != "Restoration":
                self.wanted.emit("Restoration")
            self.flickering.start()


def make_button(text: str, tip: str) -> QToolButton:
    """Make a button with a text and a tooltip."""
    button = QToolButton()
    button.setText(text)
    button.setToolTip(tip)
    return button


def _clicker(button: QToolButton) -> Callable[[], None]:
    """A function that clicks a button; it does nothing while the button is disabled."""
    return lambda: button.click()


def _call(act: Callable[[str], None], name: str) -> Callable[[], None]:
    return lambda: act(name)
