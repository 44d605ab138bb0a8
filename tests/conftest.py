"""What holds for all tests: settings of the process, order, real data; fixtures lie in `helpers/fixtures`."""

import gc
import os
import tempfile
from pathlib import Path

import pytest

# Before anything imports napari or matplotlib: tests neither read nor write the person's settings and caches.
_HOME = tempfile.TemporaryDirectory(prefix="napari-vqad-tests-")
os.environ["NAPARI_CONFIG"] = str(Path(_HOME.name) / "napari" / "settings.yaml")
os.environ["MPLCONFIGDIR"] = str(Path(_HOME.name) / "matplotlib")

# Two processes share two cores (pytest -n 2): each network alone on one of them, as on a machine without others.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("LP_NUM_THREADS", "0")  # and so the drawing by software

FIXTURES = ("vq_bundles", "other_bundles", "clips", "heads", "dicom", "diffusion")
pytest_plugins = [f"fixtures.{name}" for name in FIXTURES]


def pytest_collection_modifyitems(items):
    """The tests of the shared window come last, in a row: each window of a test's own closes it, for seconds."""
    items.sort(key=lambda item: "explored" in item.fixturenames)


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Commands take all cores without `--threads`; two test processes that do so are ten times slower."""
    import torch

    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "set_num_threads", lambda _n: None)
        yield


@pytest.fixture(autouse=True, scope="session")
def garbage_is_seldom_collected():
    """Python would go through all of torch and Qt again and again; tests that ask what is left collect themselves."""
    import napari_vqad.cli  # noqa: F401

    gc.collect()
    gc.freeze()
    before = gc.get_threshold()
    gc.set_threshold(200_000, 20, 20)
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


DATA = Path(os.environ.get("NAPARI_VQAD_DATA") or Path(__file__).parents[2] / "shared" / "data")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real data; tests that need it are skipped where it is not there."""
    if not DATA.is_dir():
        pytest.skip(f"no real data at {DATA}; set NAPARI_VQAD_DATA to their folder")
    return DATA
