"""The window after a drag."""

import numpy as np
import pytest

from napari_vqad.display.window import NARROWEST, WIDEST, dragged


def test_a_window_is_never_empty_nor_boundless():
    assert np.diff(dragged((-2.5, 2.5), -5000, 0)) == pytest.approx(NARROWEST)
    assert np.diff(dragged((-2.5, 2.5), 5000, 0)) == pytest.approx(WIDEST)
    low, high = dragged((-2.5, 2.5), 0, -10_000)
    assert high - low == pytest.approx(5.0)
    assert dragged((-1, 2), 0, 0) == pytest.approx((-1, 2))
