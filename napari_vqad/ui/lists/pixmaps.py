"""Arrays as Qt pictures."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPixmap


def to_pixmap(rgb: np.ndarray) -> QPixmap:
    """A picture (h, w, 3), 0 to 1."""
    data = np.ascontiguousarray((255 * rgb).astype(np.uint8))
    return QPixmap.fromImage(
        QImage(data.data, data.shape[1], data.shape[0], 3 * data.shape[1], QImage.Format.Format_RGB888)
    )


def write_side(picture: QPixmap, side: str) -> None:
    """Write the letter of the side at the left edge."""
    painter = QPainter(picture)
    font = painter.font()
    font.setPixelSize(10)
    painter.setFont(font)
    painter.setPen(QColor("#f0f0f0"))
    painter.drawText(
        picture.rect().adjusted(2, 0, 0, 0), Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, side
    )
    painter.end()
