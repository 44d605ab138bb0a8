"""The small pictures of restorations."""

import numpy as np

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings
from napari_vqad.display.slice_picture import PictureStyle
from napari_vqad.display.thumbnails import thumbnails_of
from napari_vqad.engine.explorer import Explorer


def test_thumbnails_are_turned_and_windowed_as_the_canvas(tiny_bundle, head):
    explorer = Explorer(Bundle.load(tiny_bundle, "cpu"), Settings(n_restorations=3, lambda_s=1.0, lambda_p="p20"))
    explorer.load_scan(*head)
    list(explorer.work())
    found = explorer.restorations(explorer.focus)
    plain, turned = (
        thumbnails_of(explorer, found, PictureStyle((-2.0, 2.0), neurological)) for neurological in (False, True)
    )
    assert (plain[0].side, turned[0].side) == ("R", "L")
    np.testing.assert_array_equal(turned[2].rgb, plain[2].rgb[:, ::-1])
    assert not np.array_equal(plain[2].rgb, plain[2].rgb[:, ::-1])
    wide = thumbnails_of(explorer, found, PictureStyle((-2.0, 6.0), False))
    inside = plain[2].rgb[..., 0] > 0
    assert wide[2].rgb[..., 0][inside].mean() < plain[2].rgb[..., 0][inside].mean()
