"""Models under the titles of their families."""

import json

from napari_vqad.display.model_groups import BROKEN, grouped, shown


def test_groups_are_in_the_order_of_the_families(tiny_bundle, tiny_pca, tiny_dfkde, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text(json.dumps({"detector": "unknown"}))
    found = grouped([broken, tiny_pca, tiny_dfkde, tiny_bundle])
    assert found == {
        "Vector-quantised": [tiny_bundle],
        "Density": [tiny_dfkde],
        "Classical": [tiny_pca],
        BROKEN: [broken],
    }


def test_a_title_is_shown_above_models_that_fit():
    assert shown([None, True, False, None, False, None]) == [True, True, False, False, False, False]
