"""The other two planes through the viewer's point, with a common cross-hair. A click or drag moves the point."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from napari.layers import Layer
from qtpy.QtCore import QPointF, QRectF, QSize, Qt, QTimer, Signal
from qtpy.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QHBoxLayout, QSizePolicy, QWidget

from napari_vqad.display.orientation import edges
from napari_vqad.imaging.volume import Volume
from napari_vqad.ui.canvas.display_convention import Convention
from napari_vqad.ui.canvas.orientation_labels import PLANES
from napari_vqad.ui.canvas.reslice import Section, reslice
from napari_vqad.ui.layers import placement
from napari_vqad.ui.plumbing.connections import ViewerConnections

CROSS = QColor(89, 191, 255, 200)
WIDEST = 640  # pixels, so that the list of findings fits beside them
CHANGES = ("visible", "set_data", "refresh", "contrast_limits", "colormap", "opacity")  # events that need a redraw


class Plane(QWidget):
    """One picture: the layers cut perpendicular to a world axis, with letters at the edges and a cross-hair."""

    pointed = Signal(tuple)  # world coordinates, down and across, where the user pressed or dragged

    def __init__(self) -> None:
        super().__init__()
        self.cuts: list[Section] = []
        self.axis, self.orientation, self.cross = 0, ("down", "right"), (0.0, 0.0)
        self.volume: Volume | None = None
        self.setCursor(Qt.CursorShape.CrossCursor)
        self.setMinimumSize(120, 150)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def sizeHint(self) -> QSize:  # noqa: N802, D102
        return QSize(260, 230)

    def show_cuts(
        self,
        axis: int,
        cuts: list[Section],
        cross: tuple[float, float],
        orientation: tuple[str, str],
        volume: Volume | None,
    ) -> None:
        """Show cuts perpendicular to a world axis, the lowest first. `cross`: world coordinates, down and across."""
        self.axis, self.cuts, self.cross, self.orientation, self.volume = axis, cuts, cross, orientation, volume
        self.setToolTip(f"The {PLANES[axis]} plane; click or drag to go there.")
        self.update()

    def to_screen(self) -> tuple[float, QPointF, QPointF]:
        """Pixels per mm, the world point in the middle of the picture, and the signs of the axes (across, down)."""
        world = self.cuts[0].world
        scale = min(self.width() / world.width(), self.height() / world.height())
        signs = QPointF(1 if self.orientation[1] == "right" else -1, 1 if self.orientation[0] == "down" else -1)
        return scale, world.center(), signs

    def place(self, down: float, across: float) -> QPointF:
        """The position in pixels of a world point."""
        scale, middle, signs = self.to_screen()
        x = self.width() / 2 + scale * signs.x() * (across - middle.x())
        return QPointF(x, self.height() / 2 + scale * signs.y() * (down - middle.y()))

    def world_at(self, at: QPointF) -> tuple[float, float]:
        """The world coordinates, down and across, of a position in pixels."""
        scale, middle, signs = self.to_screen()
        across = middle.x() + signs.x() * (at.x() - self.width() / 2) / scale
        return middle.y() + signs.y() * (at.y() - self.height() / 2) / scale, across

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802, D102
        if self.cuts:
            self.pointed.emit(self.world_at(event.position()))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802, D102
        if self.cuts and event.buttons() & Qt.MouseButton.LeftButton:
            self.pointed.emit(self.world_at(event.position()))

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802, D102
        painter = QPainter(self)
        self._draw(painter)
        painter.end()  # Qt crashes if Python keeps an active painter after the event

    def _draw(self, painter: QPainter) -> None:
        painter.fillRect(self.rect(), Qt.GlobalColor.black)
        if not self.cuts or self.volume is None:
            return
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        scale, middle, signs = self.to_screen()
        painter.save()
        painter.translate(self.width() / 2, self.height() / 2)
        painter.scale(scale * signs.x(), scale * signs.y())
        painter.translate(-middle.x(), -middle.y())
        for image, world in self.cuts:
            painter.drawImage(world, image)
        painter.restore()
        painter.setPen(QPen(CROSS, 1))
        at = self.place(*self.cross)
        painter.drawLine(QPointF(0, at.y()), QPointF(self.width(), at.y()))
        painter.drawLine(QPointF(at.x(), 0), QPointF(at.x(), self.height()))
        rows, columns = (a for a in range(3) if a != self.axis)
        box, flags = QRectF(self.rect()).adjusted(5, 3, -5, -3), Qt.AlignmentFlag
        font = painter.font()
        font.setPixelSize(13)
        painter.setFont(font)
        painter.setPen(QColor("#f0f0f0"))
        sides = (flags.AlignLeft | flags.AlignVCenter, flags.AlignRight | flags.AlignVCenter)
        ends = (flags.AlignTop | flags.AlignHCenter, flags.AlignBottom | flags.AlignHCenter)
        for text, side in zip(edges(self.volume, rows, columns, self.orientation), (*sides, *ends), strict=True):
            painter.drawText(box, side, text)


class Planes(QWidget):
    """The two planes that the canvas does not show, through the viewer's point."""

    def __init__(
        self,
        connections: ViewerConnections,
        convention: Convention,
        head: Callable[[], Volume | None],
        shown: Callable[[], Iterable[Layer]],
    ) -> None:
        """`shown` gives the layers to draw, from the lowest up."""
        super().__init__()
        self.viewer, self.convention, self.head, self.shown = connections.viewer, convention, head, shown
        self.pictures = (Plane(), Plane())
        self.setMaximumWidth(WIDEST)
        row = QHBoxLayout(self)
        row.setContentsMargins(2, 2, 2, 2)
        row.setSpacing(4)
        for picture in self.pictures:
            row.addWidget(picture, 1)
            picture.pointed.connect(lambda place, picture=picture: self._set_point(picture.axis, place))
        # Draw once for all events of a slider step: the point changes, and the slice of each layer.
        self._refresh_timer = QTimer(self)
        self._refresh_timer.setSingleShot(True)
        self._refresh_timer.setInterval(0)
        self._refresh_timer.timeout.connect(self.refresh)
        dims, camera = self.viewer.dims.events, self.viewer.scene.camera.events
        for event in (dims.point, dims.order, camera.orientation):
            connections.connect(event, lambda: self._refresh_timer.start())
        connections.connect(self.viewer.layers.events, self._on_layers)

    def refresh(self) -> None:
        """Draw both planes, if they are visible."""
        volume, dims = self.head(), self.viewer.dims
        if not self.isVisible() or dims.ndim < 3:
            return
        layers = [] if volume is None else list(self.shown())
        plane = placement.plane_of(dims)
        stacked = 3 - sum(plane) if plane else 0
        point = dims.point[-3:]
        for picture, axis in zip(self.pictures, (a for a in range(3) if a != stacked), strict=True):
            rows, columns = (a for a in range(3) if a != axis)
            cuts = [c for c in (reslice(layer, axis, point[axis]) for layer in layers) if c is not None]
            orientation = self.convention.orientation((rows, columns), 3)
            picture.show_cuts(axis, cuts, (point[rows], point[columns]), orientation, volume)

    def showEvent(self, event: object) -> None:  # noqa: N802, D102
        super().showEvent(event)  # type: ignore[arg-type]
        self.refresh()

    def _on_layers(self, event: object) -> None:
        if getattr(event, "type", "") in CHANGES:
            self._refresh_timer.start()

    def _set_point(self, axis: int, place: tuple[float, float]) -> None:
        first = self.viewer.dims.ndim - 3
        self.viewer.dims.set_point([first + a for a in range(3) if a != axis], place)
