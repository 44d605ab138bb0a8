"""An explorer without a browser: the widgets hold what they would send."""

import pytest
from small_head import make_head
from tests_notebook import START, threads

import napari_vqad

pytest.importorskip("ipyniivue", reason="the extra 'notebook' is not installed")


@pytest.fixture(scope="module")
def make(tiny_bundle):
    """Makes an explorer of the small head."""
    volume, mask = make_head()
    return lambda settings=START, **more: napari_vqad.explore(volume, mask, tiny_bundle, settings, device="cpu", **more)


@pytest.fixture
def explore(make):
    """Makes explorers, and closes them."""
    made = []

    def remember(*arguments, **more):
        made.append(make(*arguments, **more))
        return made[-1]

    yield remember
    for explorer in made:
        explorer.close()
        assert explorer._session.runner._threads == set()


@pytest.fixture(scope="module")
def analysed(make):
    """An explorer whose analysis is complete, shared by the tests of a module."""
    explorer = make()
    explorer.result()
    yield explorer
    explorer.close()
    assert threads() == []


@pytest.fixture
def view(analysed):
    """The shared explorer, as it was at the beginning."""
    yield analysed
    analysed.settings = START
    analysed.result()
    analysed.view = "Score"
    analysed._panel.beside.value = False
    analysed._panel.browser.webgl = "unknown"
