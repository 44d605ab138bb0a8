"""The notice names the limit of small lesions for models of heads in coarse voxels, and for no others."""

from dataclasses import replace

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.display.notice import NOTICE, notice_of


def test_small_lesions_are_out_of_scope_of_a_coarse_model_of_heads(tiny_bundle, tiny_clips):
    bundle = Bundle.load(tiny_bundle, "cpu")
    assert "below 0.1 mL" in notice_of(bundle)
    assert "voxels of 4 mm" in notice_of(bundle)
    fine = bundle.config.model_copy(update={"grid": replace(bundle.config.grid, spacing=1.0)})
    assert notice_of(replace(bundle, config=fine)) == NOTICE
    assert notice_of(Bundle.load(tiny_clips, "cpu")) == NOTICE == notice_of(None)
