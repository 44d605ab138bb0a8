"""The folders of models and sample data: inside an installed wheel, or at the root of a checkout."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parent
DEFAULT_BUNDLE = "ixi-aligned"


def models_folder() -> Path:
    """The folder of the bundles that come with the package."""
    return _first(PACKAGE / "_models", PACKAGE.parent / "models")


def samples_folder() -> Path:
    """The folder of the sample scans that come with the package."""
    return _first(PACKAGE / "_sample_data", PACKAGE.parent / "sample_data")


def _first(*folders: Path) -> Path:
    return next((f for f in folders if f.is_dir()), folders[-1])
