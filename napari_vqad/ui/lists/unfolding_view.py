"""A restoration of the slice in view, step by step: codes, NLL and picture after the first n draws."""

from __future__ import annotations

from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QHideEvent, QResizeEvent
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QSlider, QToolButton, QVBoxLayout, QWidget

from napari_vqad.detectors.protocol import Unfolding
from napari_vqad.display.slice_picture import PictureStyle
from napari_vqad.display.unfolding_pictures import Titled, pictures_of
from napari_vqad.engine.explorer import Explorer
from napari_vqad.engine.unfolding import unfolding
from napari_vqad.ui.lists.pixmaps import to_pixmap, write_side

PACE = 120  # ms from one step to the next while it plays
LOW, TALL = 40, 260  # pixels: a picture's height at least and at most
WAITING = "A restoration of the slice in view appears here when it is computed."
NONE = "This model does not restore codes, so there are no steps to show."


class UnfoldingView(QWidget):
    """Three pictures of a step, and the slider that chooses it."""

    def __init__(self) -> None:
        super().__init__()
        self.words = QLabel(WAITING)
        self.words.setWordWrap(True)
        self.play = QToolButton()
        self.play.setText("▶")
        self.play.setCheckable(True)
        self.play.setToolTip("Play: restore the unlikely codes one after the other.")
        self.play.setAccessibleName("Play the restoration")
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setToolTip("How many of the unlikely codes are restored so far, in the order of the prior.")
        self.panels = [(QLabel(), QLabel()) for _ in range(3)]  # a picture, and what stands beside it
        row, pictures = QHBoxLayout(), QHBoxLayout()
        row.addWidget(self.play)
        row.addWidget(self.slider, 1)
        row.addWidget(self.words, 1)
        for picture, title in self.panels:
            picture.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            picture.setMinimumSize(1, 1)  # the room decides how large the picture is, not the picture
            picture.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
            title.setWordWrap(True)
            pictures.addWidget(picture, 3)
            pictures.addWidget(title, 2)
        all_ = QVBoxLayout(self)
        all_.setContentsMargins(6, 2, 6, 2)
        all_.addLayout(row)
        all_.addLayout(pictures, 1)
        self._timer = QTimer(self)
        self._timer.setInterval(PACE)
        self._timer.timeout.connect(self._next)
        self.play.toggled.connect(self._on_play)
        self.slider.valueChanged.connect(lambda _n: self._draw())
        self._explorer: Explorer | None = None
        self._unfolding: Unfolding | None = None
        self._shown_restoration: tuple | None = None
        self._index, self._which = 0, 1
        self._style = PictureStyle()
        self._drawn: tuple[list[Titled], str] = [], ""
        self.show_slice(None, 1)

    def show_slice(self, explorer: Explorer | None, which: int, look: PictureStyle | None = None) -> None:
        """Show restoration `which` (from 1) of the slice in focus; the slider stays where it was for the same one."""
        found = unfolding(explorer, explorer.focus, which - 1) if explorer else None
        if explorer is None or found is None:
            self._explorer = self._shown_restoration = None
            self._unfolding = None
            self.play.setChecked(False)
            self._set_steps(0)
            restores = explorer is None or any(m.role == "restoration" for m in explorer.maps.values())
            self.words.setText(WAITING if restores else NONE)
            self._show([], "")
            return
        of, before = (id(explorer), explorer.focus, which, found.places_key), (self._shown_restoration, self._style)
        self._style = look or self._style
        if (of, self._style) == before:  # a refresh for another reason: the networks are not asked again
            return
        if of != self._shown_restoration:
            self.play.setChecked(False)
            self._set_steps(found.steps)
        self._explorer, self._index, self._which, self._shown_restoration, self._unfolding = (
            explorer,
            explorer.focus,
            which,
            of,
            found,
        )
        self._draw()

    def _set_steps(self, steps: int) -> None:
        self.slider.blockSignals(True)
        self.slider.setRange(0, steps)
        self.slider.setValue(steps)
        self.slider.blockSignals(False)
        for widget in (self.slider, self.play):
            widget.setEnabled(steps > 0)

    def _on_play(self, on: bool) -> None:
        self.play.setText("❚❚" if on else "▶")
        if on and self.slider.value() == self.slider.maximum():
            self.slider.setValue(0)
        (self._timer.start if on else self._timer.stop)()

    def _next(self) -> None:
        self.slider.setValue(self.slider.value() + 1)
        if self.slider.value() == self.slider.maximum():
            self.play.setChecked(False)

    def _draw(self) -> None:
        if self._explorer is None or self._unfolding is None:
            return
        n, index = self.slider.value(), self._index
        pictures, side = pictures_of(self._explorer, index, self._unfolding.at(n), self._style)
        at = self._explorer.grid.slice_label(index)
        if self._unfolding.steps:
            words = f"{n} of {self._unfolding.steps} unlikely codes restored so far."
        else:
            words = "no code is unlikely, so nothing is restored."
        self.words.setText(f"{at}, restoration {self._which}: {words}")
        self._show(pictures, side)

    def _show(self, pictures: list[Titled], side: str) -> None:
        self._drawn = pictures, side
        for at, (picture, title) in enumerate(self.panels):
            if at >= len(pictures):
                picture.clear()
                title.clear()
                continue
            tall = min(max(picture.height(), LOW), TALL)
            shown = to_pixmap(pictures[at].rgb).scaled(
                max(picture.width(), LOW),
                tall,
                Qt.AspectRatioMode.KeepAspectRatio,
                Qt.TransformationMode.FastTransformation if at == 0 else Qt.TransformationMode.SmoothTransformation,
            )
            write_side(shown, side)
            picture.setPixmap(shown)
            title.setText(pictures[at].title)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802, D102
        super().resizeEvent(event)
        self._show(*self._drawn)

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: N802, D102
        super().hideEvent(event)
        self.play.setChecked(False)  # nobody watches
