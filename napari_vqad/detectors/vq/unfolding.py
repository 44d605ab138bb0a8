"""A restoration code by code: the codes after the first n draws (Marimont & Tarroni 2020, fig. 2; Ishii 2023, fig. 10).

    z^n_i  =  y_i   at the first n places with a draw, in raster order
              x_i   elsewhere

x are the codes of the slice and y those of its restoration. With m draws, z^0 = x and z^m = y.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from napari_vqad.detectors.protocol import Step
from napari_vqad.detectors.vq.likelihood import log_probabilities, nll, on_pixels
from napari_vqad.detectors.vq.settings import VQSettings
from napari_vqad.nets.device import exact
from napari_vqad.nets.vq.levels import CodeLevels
from napari_vqad.nets.vq.protocols import Prior


class Networks(Protocol):
    """The members of `VQDetector` in use here. Its file imports this one, so this file cannot import it."""

    device: torch.device

    @property
    def levels(self) -> CodeLevels:
        """The levels of codes of a slice."""

    @property
    def causal(self) -> Prior:
        """The causal prior."""

    def nll(self, codes: NDArray, position: NDArray) -> NDArray[np.float32]:
        """Compute ℓ (B, h, w), nats."""

    def difference(self, slices: NDArray, restored: NDArray, position: NDArray) -> NDArray[np.float16]:
        """Compute Y − X_j (B, S, H, W), SD."""


class VQUnfolding:
    """One restoration of one slice, step by step. Each step is computed on demand.

    Attributes:
        places: (m, 2), row and column of each code that was drawn, in raster order.
    """

    def __init__(
        self,
        detector: Networks,
        slice_: NDArray,
        position: float,
        x: NDArray,
        y: NDArray,
        own_nll: NDArray,
        settings: VQSettings,
    ) -> None:
        """`slice_` is (H, W); codes x, restored codes y and NLL are (h, w); thresholds in the settings are in nats."""
        self._detector, self._slice = detector, slice_[None]
        self._position = np.array([position], np.float32)
        self._x, self._y = x, y
        self.places = np.argwhere(self._drawn(own_nll, settings))

    @property
    def steps(self) -> int:
        """m, the number of codes that were drawn."""
        return len(self.places)

    @property
    def places_key(self) -> bytes:
        """The places, and all codes of the restoration, as bytes."""
        return self.places.tobytes() + self._y.tobytes()

    def at(self, n: int) -> Step:
        """Return the slice after the first n draws."""
        detector, codes = self._detector, self._x.copy()
        rows, columns = self.places[:n].T
        codes[rows, columns] = self._y[rows, columns]
        changed = np.zeros(codes.shape, bool)
        changed[rows, columns] = True
        unlikely = torch.from_numpy(detector.nll(codes[None], self._position))
        shown = on_pixels(unlikely, detector.levels, self._slice.shape[1:])[0].numpy()
        off = detector.difference(self._slice, codes[None, None], self._position)[0, 0]
        return Step(codes, changed, shown, self._slice[0] - off)

    def _drawn(self, own_nll: NDArray, settings: VQSettings) -> NDArray:
        """Find the places with a draw, bool (h, w), also those above λ_p where the draw gave the same code again."""
        if settings.method == "regenerative":
            return np.zeros(self._x.shape, bool)
        judged = own_nll
        if settings.method == "sequential":  # ℓ is given the codes already restored
            x, y = (torch.as_tensor(codes[None].astype(np.int64)) for codes in (self._x, self._y))
            device = self._detector.device
            with torch.inference_mode(), exact(device):
                where = torch.as_tensor(self._position, device=device)
                log_p = log_probabilities(self._detector.causal, y.to(device), where)
                judged = nll(log_p, x.to(device))[0].cpu().numpy()
        changed = self._x != self._y
        # A fine code below a changed coarse code is also drawn, whatever its NLL.
        below = self._detector.levels.descendants(torch.from_numpy(changed)[None])[0].numpy()
        return np.asarray((judged > float(settings.lambda_p)) | changed | below)
