"""napari_vqad/README.md answers a newcomer's questions: each file that it names exists, and defines what it names."""

import ast
import re
from pathlib import Path

import pytest

import napari_vqad

SOURCE = Path(napari_vqad.__file__).parent
GUIDE = (SOURCE / "README.md").read_text(encoding="utf-8")
ROWS = [line.strip("|").split("|") for line in GUIDE.splitlines() if line.startswith("| ") and "?" in line]


def defined(path):
    """Names of functions, methods, classes and fields of a file, and the attributes of its docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    fields = {n.target.id for n in ast.walk(tree) if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)}
    return names | fields


def words_of(answer):
    return re.findall(r"`([^`]+)`", answer)


@pytest.mark.parametrize(("question", "answer"), ROWS, ids=[row[0].strip() for row in ROWS])
def test_an_answer_names_files_that_exist_and_define_what_it_names(question, answer):
    places = [word for word in words_of(answer) if "/" in word or word.endswith(".py")]
    assert places, question
    missing = [place for place in places if not (SOURCE / place).exists()]
    assert not missing
    known = {name for place in places if place.endswith(".py") for name in defined(SOURCE / place)}
    known |= defined(SOURCE / "detectors" / "protocol.py")  # what a detector declares
    known |= {"description"}  # of a field of pydantic
    assert set(words_of(answer)) - set(places) <= known


def test_the_ten_questions_are_there():
    assert len(ROWS) == 10


def test_every_folder_of_the_source_is_named():
    folders = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert folders - set(re.findall(r"`(\w+)`", GUIDE)) <= {"files", "terminal"}
