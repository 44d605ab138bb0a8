"""What the restorations of a slice depend on."""

from __future__ import annotations

from typing import NamedTuple

from napari_vqad.detectors.calibration import Calibration
from napari_vqad.settings import Settings


class Rule(NamedTuple):
    """What a slice's restorations depend on: method, λ_p in nats, seed of the draws."""

    method: str
    lambda_p: float
    seed: int

    @classmethod
    def of(cls, settings: Settings, calibration: Calibration) -> Rule:
        """Of the settings in force. Regenerative restores nothing: neither λ_p nor the seed can matter."""
        if settings.method == "regenerative":
            return cls(settings.method, 0.0, 0)
        return cls(settings.method, calibration.value("nll", settings.lambda_p), settings.seed)
