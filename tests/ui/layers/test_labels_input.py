"""Voxels of Labels layers on a scan, whoever made the layer."""

import numpy as np
import pytest
from napari.layers import Labels

from napari_vqad.errors import InputError
from napari_vqad.imaging.volume import Volume
from napari_vqad.tuning.truth import on_scan
from napari_vqad.ui.files.readers import label_layer
from napari_vqad.ui.layers import placement
from napari_vqad.ui.layers.labels_input import labelled_voxels, may_be_truth


@pytest.fixture
def scan(head):
    """The head, tilted in the scanner."""
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]]
    return Volume(head[0].voxels, turn @ head[0].affine, turn @ head[0].affine)


@pytest.fixture
def label(head):
    found = np.zeros(head[1].shape, bool)
    found[12:18, 14:22, 12:15] = True
    return found


def truth(layer, scan):
    return on_scan(*labelled_voxels(layer, scan), scan, "a layer")


def test_a_layer_that_we_read(scan, label):
    data, attributes, _ = label_layer(Volume(label.astype(np.float32), scan.affine, scan.affine), "x")
    layer = Labels(data, **attributes)
    assert may_be_truth(layer)
    found = truth(layer, scan)
    assert np.array_equal(found.voxels, label)
    assert found.note == ""
    layer.translate = np.add(layer.translate, (0, 0, 2 * layer.scale[2]))  # the user moved it two voxels
    assert np.array_equal(truth(layer, scan).voxels[2:], label[:-2])


def test_a_layer_of_naparis_own_button(scan, label):
    """It has positive steps and no affine: it lies where the canvas shows it."""
    placed = placement.placed_as(scan)
    data = placement.to_canvas(label)[::-1, ::-1, ::-1].astype(np.uint8)
    first = np.asarray(placed["translate"]) + np.asarray(placed["scale"]) * (np.array(data.shape) - 1)
    found = truth(Labels(data, scale=np.abs(placed["scale"]), translate=first), scan)
    assert np.array_equal(found.voxels, label)
    assert found.note == ""


def test_a_clip(label):
    clip = Volume(label.astype(np.float32), np.eye(4), np.eye(4), kind="clip")
    found = truth(Labels(placement.to_canvas(label).astype(np.uint8)), clip)
    assert np.array_equal(found.voxels, label)


def test_what_cannot_be_truth(scan, label):
    data = placement.to_canvas(label).astype(np.uint8)
    with pytest.raises(InputError, match="rotated or sheared"):
        labelled_voxels(Labels(data, rotate=(10, 0, 0)), scan)
    assert not may_be_truth(Labels(data, metadata={"napari_vqad_grid": 1}))
    assert not may_be_truth(Labels(data[0]))
