"""The house's rules: what may import what, and nothing is ever unpickled."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import napari_vqad

PACKAGE = Path(napari_vqad.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
SCREEN = {"napari", "qtpy", "PySide6", "PySide2", "PyQt5", "PyQt6", "superqt", "magicgui", "vispy"}
# Arrows point down this list: a module may import from its own floor and those below.
FLOORS = [
    {"errors", "paths", "settings", "device", "resample", "progress", "provenance"},
    {
        "volume",
        "template",
        "alignment",
        "harmonise",
        "grid",
        "stack",
        "location",
        "axes",
        "calibration",
        "nets",
        "cache",
    },
    {"scores", "io"},
    {"consolidation", "places"},
    {"evidence"},
    {"bundle"},
    {"detectors", "brainmask", "maps"},
    {"explorer"},
    {"findings", "review", "tables"},
    {"readout"},
    {"sheet", "thumbnails", "report", "studyfile", "study", "dicom_export", "scoring", "train", "evaluate"},
    {"ui"},
    {"cli", "__main__"},
]


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def imports(path: Path) -> set[str]:
    """Full names of everything a file imports, inside functions as well."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def floor_of(module: str) -> int:
    return next(i for i, floor in enumerate(FLOORS) if module in floor)


def fresh_python(code: str) -> set[str]:
    """Top-level modules that are loaded once a new interpreter has run the code."""
    report = f"{code}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, timeout=120, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("path", [f for f in FILES if "ui" not in f.relative_to(PACKAGE).parts], ids=name_of)
def test_nothing_below_ui_imports_qt_or_napari(path):
    assert not {name.partition(".")[0] for name in imports(path)} & SCREEN


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_arrows_point_one_way(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own == "__init__":
        return
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "napari_vqad" and len(parts) > 1 and parts[1] not in napari_vqad.__all__:
            assert floor_of(parts[1]) <= floor_of(own), f"{own} must not import {name}"


def test_import_is_light():
    assert not fresh_python("import napari_vqad") & {"torch", "numpy", *SCREEN}


def test_help_needs_no_torch():
    code = "from napari_vqad.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass"
    assert not fresh_python(code) & {"torch", *SCREEN}


def test_scoring_needs_no_screen():
    loaded = fresh_python("import napari_vqad; napari_vqad.score; napari_vqad.Explorer")
    assert "torch" in loaded
    assert not loaded & SCREEN


def test_public_names_exist():
    assert all(hasattr(napari_vqad, name) for name in napari_vqad.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = napari_vqad.no_such_name


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_is_unpickled(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not {name.partition(".")[0] for name in imports(path)} & {"pickle", "joblib", "dill", "shelve"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) != ("torch", "load"), f"{path}:{node.lineno}"
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert getattr(node.value, "value", True) is False, f"{path}:{node.lineno}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_is_read_in_one_sitting(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
