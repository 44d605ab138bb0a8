"""How a slice of the grid lies in a picture."""

from __future__ import annotations

import numpy as np


def upright(slice_: np.ndarray) -> np.ndarray:
    """A grid slice in radiological convention: anterior (or superior) up, the patient's right on the left."""
    return np.asarray(slice_).T[::-1, ::-1]
