"""The list of presets above the settings."""

import pytest

from napari_vqad.detectors.presets import PRESETS
from napari_vqad.detectors.settings import Settings
from napari_vqad.ui.panels.preset_box import BUNDLED, PresetBox

BAUR = PRESETS["Baur 2018"]


@pytest.fixture
def box(qtbot):
    box = PresetBox()
    qtbot.addWidget(box)
    return box


def choose(box, title):
    """Choose as a user does."""
    box.box.setCurrentIndex(box.box.findText(title))
    box.box.activated.emit(box.box.currentIndex())


def test_it_shows_which_preset_the_settings_are(box):
    for title, preset in PRESETS.items():
        box.show_of(Settings(**preset.settings(BUNDLED)))
        assert box.box.currentText() == title
    box.show_of(Settings(pooling="2d"))
    assert (box.box.currentIndex(), box.box.placeholderText()) == (-1, "Custom")


def test_a_preset_says_which_scans_its_threshold_is_of(box):
    assert "98th percentile of the scans that the model was trained on" in box.toolTip()


def test_its_smallest_finding_is_in_voxels_of_the_grid(box):
    told = []
    box.chosen.connect(told.append)
    choose(box, "Baur 2018")
    box.use_grid(BUNDLED)
    assert told == [BAUR.settings(BUNDLED)]
    box.use_grid(0.064)
    assert told[1:] == [BAUR.settings(0.064)]
    assert told[1]["min_volume_ml"] == pytest.approx(6 * 0.064)


def test_a_preset_changes_the_session_and_a_missing_table_is_told(explored):
    dock = explored
    choose(dock.sections.preset, "Baur 2018")
    settings = dock.session.settings
    assert (settings.score, settings.min_volume_ml) == ("intensity", pytest.approx(6 * 0.064))
    assert (settings.pooling, settings.flag_voxels) == ("smooth", "p98")  # the tiny model has no tables of it
    assert "without pooling 'baur'" in dock.status.text()
    assert "Pooling 'smooth' is used." in dock.status.text()
    assert dock.sections.preset.box.currentIndex() == -1
    choose(dock.sections.preset, "Default")
    assert dock.session.settings.score == "fused"
    assert dock.sections.preset.box.currentText() == "Default"
