"""Options for the thresholds that detectors declare (`Detector.thresholds`), such as --lambda-p."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from napari_vqad.detectors.registry import DETECTORS, detector_class
from napari_vqad.detectors.settings import Settings
from napari_vqad.settings import flag


def own_thresholds() -> dict[str, str]:
    """Return the settings that a detector declares as thresholds, and their units."""
    declared = {spec.setting: spec.unit for kind in DETECTORS for spec in detector_class(kind).thresholds}
    return {name: declared[name] for name in Settings.model_fields if name in declared}


def add_threshold_options(
    parser: argparse.ArgumentParser, *, words: str = "a healthy percentile", only: Sequence[str] = (), **options: Any
) -> None:
    """Add an option for each threshold, or for those in `only`.

    Args:
        parser: parser of a command.
        words: what the value may be instead of a number.
        only: names of settings.
        options: further arguments of `add_argument`; without "default" it is that of the setting.
    """
    for name, unit in own_thresholds().items():
        if not only or name in only:
            given = {"default": Settings.model_fields[name].default} | options
            parser.add_argument(flag(name), help=f"{Settings.model_fields[name].title}: {unit}, or {words}", **given)
