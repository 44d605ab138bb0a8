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
    {"text", "errors", "files", "console", "screen", "paths", "settings", "device", "resample"},
    {"progress", "provenance"},
    {"volume", "template", "field_of_view", "harmonise", "calibration", "nets", "cache", "alignment", "grid"},
    {"stack", "location", "fitness", "axes"},
    {"scores", "io"},
    {"consolidation", "places"},
    {"evidence"},
    {"bundle", "agreement"},
    {"detectors", "brainmask", "maps"},
    {"explorer"},
    {"findings", "review", "tables", "completeness", "studycheck"},
    {"readout", "slice_words"},
    {"sheet", "thumbnails", "report", "studyfile", "study", "dicom_export", "outputs", "scoring", "train", "evaluate"},
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
def test_text_is_utf_8_whatever_the_locale(path):
    """Every file that is opened as text says its encoding: the locale's is another on each machine."""
    for call in (n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Call)):
        if "encoding" not in {k.arg for k in call.keywords}:
            assert not _opens_text(call, dialogs="ui" in path.parts), f"{path}:{call.lineno}"


def _opens_text(call: ast.Call, dialogs: bool) -> bool:
    """Does a call open, read or write a file as text? With `dialogs` an `open()` of nothing shows a dialog."""
    mode = next((k.value for k in call.keywords if k.arg == "mode"), None)
    if isinstance(call.func, ast.Name):  # `write_text` is that of `io.whole`
        mode = mode or (call.args[1] if len(call.args) > 1 else None)
        return call.func.id == "open" and "b" not in getattr(mode, "value", "r")
    if not isinstance(call.func, ast.Attribute) or ast.unparse(call.func) == "os.open":
        return False
    if call.func.attr in ("read_text", "write_text"):
        return True
    if call.func.attr in ("fdopen", "NamedTemporaryFile", "TemporaryFile"):
        return "b" not in getattr(mode or (call.args or [None])[-1], "value", "w+b")
    if call.func.attr != "open":
        return False
    mode = mode or (call.args[0] if call.args else None)
    if mode is None:
        return not dialogs
    return isinstance(text := getattr(mode, "value", None), str) and set(text) <= set("rwxat+")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("open(p)", True),
        ("open(p, 'w')", True),
        ("open(p, 'rb')", False),
        ("p.open()", True),
        ("p.open('a')", True),
        ("p.open('rb')", False),
        ("p.open(newline='')", True),
        ("p.read_text()", True),
        ("p.write_text('x')", True),
        ("os.fdopen(n, 'w')", True),
        ("explorer.open(volume, mask)", False),
        ("viewer.open(path, plugin='x')", False),
    ],
)
def test_what_opens_text_is_known(line, text):
    assert _opens_text(ast.parse(line).body[0].value, dialogs=False) == text


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_tables_are_written_in_one_place(path):
    """There formulas are neutralised."""
    names = {"csv.writer", "csv.DictWriter"}
    found = {
        ast.unparse(n) for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Attribute)
    }
    assert name_of(path) == "tables.py" or not found & names


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_is_read_in_one_sitting(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
