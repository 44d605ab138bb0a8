"""Pages of cases: the slice that is shown, and a file for every method."""

import numpy as np
import pytest
from matplotlib.image import imread

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings
from napari_vqad.display.orientation import upright
from napari_vqad.evaluate.case_pages import ROWS, CasePages
from napari_vqad.evaluate.cases import Case
from napari_vqad.evaluate.experiment import collect
from napari_vqad.evaluate.variants import SAMPLE, method_variants
from napari_vqad.imaging.layout import to_grid


@pytest.fixture
def bundle(tiny_bundle):
    return Bundle.load(tiny_bundle, "cpu")


def _case(bundle, head, labelled: int | None) -> Case:
    grid = to_grid(*head, bundle.config.grid)
    label = np.zeros(grid.mask.shape, np.float32)
    if labelled is not None:
        label[labelled, 14:20, 16:22] = 1
    kind = "normal" if labelled is None else "square"
    return Case(f"case of {kind}", kind, grid, label, label > 0, grid.mask)


def test_the_slice_with_most_of_the_label_is_shown(bundle, head):
    album, case = CasePages(), _case(bundle, head, 9)
    collect(
        bundle,
        [case],
        Settings(n_restorations=1),
        method_variants(bundle.detector, (SAMPLE, "light"), False),
        None,
        lambda _: None,
        album.add,
    )
    (look,) = album.looks.pop("light").values()
    assert not album.looks, "the sample-wise score restores nothing that could be shown"
    assert np.array_equal(look.scan, upright(case.grid.slices[9]))
    assert np.array_equal(look.label, upright(case.label[9]))


def test_an_untouched_case_shows_its_worst_finding(bundle, head):
    seen = {}

    def look(case, explorer):
        seen["worst"] = explorer.map("pixel_score").max()
        album.add(case, explorer)

    album = CasePages()
    collect(
        bundle,
        [_case(bundle, head, None)],
        Settings(),
        method_variants(bundle.detector, ("regenerative",), False),
        None,
        lambda _: None,
        look,
    )
    (shown,) = album.looks["regenerative"].values()
    assert shown.maps["pixel_score"].max() == seen["worst"] > 0


def test_pages(bundle, head, tmp_path):
    album = CasePages()
    cases = [_case(bundle, head, 9), _case(bundle, head, None)]
    collect(
        bundle,
        cases,
        Settings(),
        method_variants(bundle.detector, ("regenerative",), False),
        None,
        lambda _: None,
        album.add,
    )
    once = album.looks["regenerative"]
    album.looks["regenerative"] = {f"{t} {i}": look for i in range(ROWS) for t, look in once.items()}  # two pages
    pages = album.write(tmp_path / "looks")
    assert [p.name for p in pages] == ["regenerative-1.png", "regenerative-2.png"]
    picture = imread(pages[0])
    assert picture.std() > 0.05
    orange = (picture[..., 0] > 0.9) & (picture[..., 2] < 0.3) & (picture[..., 1] > 0.4)
    assert orange.sum() > 50, "labels are outlined"
