"""The example notebooks run from beginning to end; their last cells check what they claim."""

from pathlib import Path

import pytest

from napari_vqad.resources import samples_folder

pytestmark = pytest.mark.notebook
NOTEBOOKS = sorted((samples_folder() / "notebooks").glob("*.ipynb"))


def test_there_are_five_and_they_are_small_and_without_outputs():
    nbformat = pytest.importorskip("nbformat", reason="the extra 'browser' is not installed")
    assert len(NOTEBOOKS) == 5
    for path in NOTEBOOKS:
        notebook = nbformat.read(path, 4)
        nbformat.validate(notebook)
        assert path.stat().st_size < 10_000
        assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells if "outputs" in cell)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_it_runs(path: Path, tmp_path):
    nbformat = pytest.importorskip("nbformat", reason="the extra 'browser' is not installed")
    client = pytest.importorskip("nbclient", reason="the extra 'browser' is not installed")
    notebook = nbformat.read(path, 4)
    client.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    if "first_look" in path.stem:
        saved = [output for cell in notebook.cells for output in cell.get("outputs", [])]
        assert any("image/png" in output.get("data", {}) for output in saved), "the saved notebook shows no picture"
