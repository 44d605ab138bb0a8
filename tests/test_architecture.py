"""The house's rules: what may import what, and nothing is ever unpickled."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import napari_vqad

PACKAGE = Path(napari_vqad.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
TESTS = Path(__file__).parent
SCREEN = {"napari", "qtpy", "PySide6", "PySide2", "PyQt5", "PyQt6", "superqt", "magicgui", "vispy"}
# Which room may import from which others; a file at the package's root is a room of its own.
MAY_IMPORT: dict[str, set[str]] = {
    "text": set(),
    "resources": set(),
    "errors": {"text"},
    "files": {"errors"},
    "settings": {"errors"},
    "terminal": {"errors", "text"},
    "nets": {"errors", "files"},
    "imaging": {"errors", "files", "nets", "resources", "text"},
    "io": {"errors", "files", "imaging", "text"},
    "scores": {"errors", "files"},
    "detectors": {"errors", "files", "imaging", "nets", "resources", "scores", "settings", "text"},
    "engine": {"detectors", "errors", "imaging", "nets", "scores", "settings"},
    "findings": {"engine", "errors", "imaging", "scores", "text"},
    "display": {"detectors", "engine", "errors", "findings", "imaging", "scores", "settings", "text"},
    "export": {"detectors", "display", "engine", "errors", "files", "findings", "imaging", "io", "settings"}
    | {"simulate", "text"},
    "scoring": {"detectors", "display", "engine", "errors", "export", "files", "findings", "imaging", "io", "resources"}
    | {"settings", "terminal", "text"},
    "session": {"detectors", "engine", "findings", "imaging"},
    "notebook": {"detectors", "display", "engine", "errors", "export", "findings", "imaging", "io", "resources"}
    | {"scoring", "session", "settings", "text", "tuning"},
    "simulate": {"errors", "files", "imaging", "io"},
    "train": {"detectors", "engine", "errors", "files", "imaging", "io", "nets", "resources", "scores", "settings"}
    | {"simulate", "terminal", "text"},
    "evaluate": {"detectors", "display", "engine", "errors", "export", "files", "findings", "imaging", "io", "nets"}
    | {"resources", "scores", "settings", "simulate", "text", "train"},
    "tuning": {"detectors", "display", "engine", "errors", "evaluate", "files", "findings", "imaging", "io", "scores"}
    | {"settings", "simulate", "text"},
    "fuzz": {"detectors", "engine", "errors", "evaluate", "export", "files", "findings", "imaging", "io", "nets"}
    | {"resources", "scores", "settings", "train"},
    "ui": {"detectors", "display", "engine", "errors", "export", "files", "findings", "imaging", "io", "nets"}
    | {"resources", "scores", "scoring", "session", "settings", "simulate", "text", "tuning"},
    "cli": {
        "detectors",
        "errors",
        "evaluate",
        "files",
        "notebook",
        "resources",
        "scoring",
        "settings",
        "terminal",
        "text",
        "train",
        "ui",
    },
    "__main__": {"cli"},
}


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


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def own_imports(path: Path) -> set[str]:
    """What a file imports of this package, without the package's name: "io.nifti.read_scan"."""
    found = {name.removeprefix("napari_vqad.") for name in imports(path) if name.startswith("napari_vqad.")}
    return {name for name in found if name not in napari_vqad.__all__}


def module_of(name: str) -> str:
    """The module that a full name is of, as a path in the package; empty where it is none."""
    for parts in (name.split("."), name.split(".")[:-1]):
        for path in (PACKAGE.joinpath(*parts).with_suffix(".py"), PACKAGE.joinpath(*parts, "__init__.py")):
            if parts and path.is_file():
                return name_of(path)
    return ""


def fresh_python(code: str) -> set[str]:
    """Top-level modules that are loaded once a new interpreter has run the code."""
    report = f"{code}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, timeout=120, check=True)
    return set(done.stdout.split())


def test_nothing_below_ui_imports_qt_or_napari():
    below = [f for f in FILES if room_of(f) != "ui"]
    offenders = {name_of(f): found for f in below if (found := {n.partition(".")[0] for n in imports(f)} & SCREEN)}
    assert offenders == {}


def test_rooms_import_only_what_they_may():
    offenders = [
        f"{name_of(f)} imports {name}"
        for f in FILES
        for name in sorted(own_imports(f))
        if (room := room_of(f)) != "__init__" and (other := name.split(".")[0]) != room
        if other not in MAY_IMPORT[room]
    ]
    assert offenders == []
    assert {room_of(f) for f in FILES} - {"__init__"} == set(MAY_IMPORT)


def test_the_engine_knows_no_detector():
    known = ("detectors.protocol", "detectors.bundle", "detectors.calibration", "detectors.settings")
    offenders = [
        f"{name_of(f)} imports {name}"
        for f in FILES
        if room_of(f) == "engine"
        for name in sorted(own_imports(f))
        if name.startswith("detectors.") and not name.startswith(known)
    ]
    assert offenders == []


def test_no_files_import_each_other_in_a_circle():
    """Names for type checkers alone count, too: they tie two files just as well."""
    arrows = {name_of(f): {module_of(n) for n in own_imports(f)} - {"", name_of(f)} for f in FILES}
    arrows = {f: {other for other in others if not other.endswith("__init__.py")} for f, others in arrows.items()}
    done: set[str] = set()
    while free := {f for f, others in arrows.items() if f not in done and others <= done}:
        done |= free
    assert sorted(set(arrows) - done) == []


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


def test_nothing_is_unpickled():
    offenders = []
    for path in FILES:
        if found := {name.partition(".")[0] for name in imports(path)} & {"pickle", "joblib", "dill", "shelve"}:
            offenders.append(f"{name_of(path)} imports {found}")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            at = f"{name_of(path)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                offenders += [at] if (node.value.id, node.attr) == ("torch", "load") else []
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                offenders += [] if getattr(node.value, "value", True) is False else [at]
    assert offenders == []


def test_text_is_utf_8_whatever_the_locale():
    """Every file that is opened as text says its encoding: the locale's is another on each machine."""
    offenders = [
        f"{name_of(path)}:{call.lineno}"
        for path in FILES
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and "encoding" not in {k.arg for k in call.keywords}
        if _opens_text(call, dialogs="ui" in path.parts)
    ]
    assert offenders == []


def _opens_text(call: ast.Call, dialogs: bool) -> bool:
    """Does a call open, read or write a file as text? With `dialogs` an `open()` of nothing shows a dialog."""
    mode = next((k.value for k in call.keywords if k.arg == "mode"), None)
    if isinstance(call.func, ast.Name):  # `write_text` is that of `files.atomic`
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


def test_tables_are_written_in_one_place():
    """There formulas are neutralised."""
    names = {"csv.writer", "csv.DictWriter"}
    offenders = [
        name_of(path)
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in names
    ]
    assert set(offenders) == {"export/tables.py"}


def test_a_file_is_read_in_one_sitting():
    both = [*FILES, *TESTS.rglob("*.py")]
    long = {str(f): n for f in both if (n := len(f.read_text(encoding="utf-8").splitlines())) > 400}
    assert long == {}
