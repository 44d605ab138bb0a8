"""The letters at the edges: each names the side of the patient that is drawn there."""

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_vqad.imaging.volume import Volume
from napari_vqad.ui.canvas.display_convention import Convention
from napari_vqad.ui.canvas.orientation_labels import Letters
from napari_vqad.ui.files.readers import scan_layer
from napari_vqad.ui.plumbing.connections import ViewerConnections

ORDERS = [(order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)]
ROLLS = ((0, 1, 2), (1, 0, 2), (2, 0, 1), (1, 2, 0), (0, 2, 1))  # axial, coronal, sagittal, and rolled or transposed
SHAPE = (6, 7, 8)
STEPS = {"R": (1, 0, 0), "L": (-1, 0, 0), "A": (0, 1, 0), "P": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}


def affine_of(order, signs, turn=None):
    """An affine whose array has the canonical axes in this order and with these signs, turned in space."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (canonical, sign) in enumerate(zip(order, signs, strict=True)):
        affine[canonical, axis] = sign * 3.0
    affine[:3, :3] = (np.eye(3) if turn is None else turn) @ affine[:3, :3]
    affine[:3, 3] = (-7.0, 11.0, 4.0)
    return affine


def turned(degrees, axis=2):
    """A rotation about a canonical axis."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    a, b = (i for i in range(3) if i != axis)
    turn = np.eye(3)
    turn[a, a] = turn[b, b] = c
    turn[a, b], turn[b, a] = -s, s
    return turn


def open_(affine):
    """A scan with this affine open in a viewer, with letters and convention."""
    volume = Volume.from_array(np.random.default_rng(0).random(SHAPE, np.float32), affine, name="scan")
    viewer = ViewerModel()
    data, attributes, _ = scan_layer(volume)
    viewer.add_image(data, **attributes)
    connections = ViewerConnections(viewer)
    return viewer, Letters(connections, lambda: volume), Convention(connections, lambda: True), volume


def drawn_at(viewer, volume, mm):
    """Canvas (x, y) of a scanner point, in pixels from the middle, through the layer and the camera."""
    index = np.linalg.inv(volume.affine) @ [*mm, 1]
    world = np.asarray(viewer.layers[0].data_to_world(index[:3][::-1]))
    camera = viewer.scene.camera
    down, across = (str(o) for o in camera.orientation2d)
    y, x = world[list(viewer.dims.displayed)] - np.asarray(camera.center)[-2:]
    return camera.zoom * x * (1 if across == "right" else -1), camera.zoom * y * (1 if down == "down" else -1)


def check(viewer, shown, volume):
    """A step in the direction of each letter is drawn towards its edge."""
    at = shown.at()
    middle = (volume.affine @ [*((np.array(volume.voxels.shape) - 1) / 2), 1])[:3]
    start = np.array(drawn_at(viewer, volume, middle))
    ways = {"left": (-1, 0), "right": (1, 0), "top": (0, -1), "bottom": (0, 1)}
    for name, letter in at._asdict().items():
        axis, sign = next(
            (i, 1 if letter[0] == pair[0] else -1) for i, pair in enumerate(("RL", "AP", "SI")) if letter[0] in pair
        )
        step = np.zeros(3)
        step[axis] = 5.0 * sign
        moved = np.array(drawn_at(viewer, volume, middle + step)) - start
        assert moved @ ways[name] > 0.7 * np.linalg.norm(moved) > 0, (name, letter)
        assert viewer.canvas.overlays[f"vqad_{name}"].text == letter
        assert viewer.canvas.overlays[f"vqad_{name}"].visible


@pytest.mark.parametrize(("order", "signs"), ORDERS, ids=lambda v: "".join(map(str, v)))
def test_letters_name_the_side_in_all_48_orders(order, signs):
    viewer, shown, convention, volume = open_(affine_of(order, signs))
    for roll, neurological in product(ROLLS, (False, True)):
        viewer.dims.order = roll
        convention.set(neurological)
        check(viewer, shown, volume)
    viewer.dims.order = (0, 1, 2)
    assert shown.at() == ("L", "R", "A", "P")
    convention.set(False)
    assert shown.at() == ("R", "L", "A", "P")


def test_oblique_scans_have_the_nearest_side_first():
    turn = turned(25, 2) @ turned(-20, 0)
    viewer, shown, convention, volume = open_(affine_of((0, 1, 2), (1, 1, 1), turn))
    for roll, neurological in product(ROLLS, (False, True)):
        viewer.dims.order = roll
        convention.set(neurological)
        check(viewer, shown, volume)
    viewer.dims.order = (0, 1, 2)
    convention.set(False)
    assert shown.at() == ("RA", "LP", "ALI", "PRS")


def test_right_and_left_alone_are_turned():
    """The other convention must not turn a head upside down."""
    viewer, shown, convention, _ = open_(affine_of((0, 1, 2), (1, 1, 1)))
    found = {}
    for neurological in (False, True):
        convention.set(neurological)
        for roll, plane in zip(ROLLS[:3], ("axial", "coronal", "sagittal"), strict=True):
            viewer.dims.order = roll
            found[plane, neurological] = (*shown.at(), viewer.canvas.overlays["vqad_words"].text)
    assert found == {
        ("axial", False): ("R", "L", "A", "P", "Axial 3, S 16 mm\nradiological"),
        ("coronal", False): ("R", "L", "S", "I", "Coronal 3, A 20 mm\nradiological"),
        ("sagittal", False): ("A", "P", "S", "I", "Sagittal 2, R 2 mm"),
        ("axial", True): ("L", "R", "A", "P", "Axial 3, S 16 mm\nneurological"),
        ("coronal", True): ("L", "R", "S", "I", "Coronal 3, A 20 mm\nneurological"),
        ("sagittal", True): ("A", "P", "S", "I", "Sagittal 2, R 2 mm"),
    }


@pytest.mark.parametrize(
    ("view", "up", "expected"),
    [  # in the world, −(S, A, R): the viewer looks that way
        ((-1, 0, 0), (0, -1, 0), ("R", "L", "A", "P")),  # from the feet
        ((1, 0, 0), (0, -1, 0), ("L", "R", "A", "P")),  # from above
        ((0, 1, 0), (-1, 0, 0), ("R", "L", "S", "I")),  # into the face
        ((0, 0, 1), (-1, 0, 0), ("P", "A", "S", "I")),  # onto the patient's right ear
    ],
)
def test_letters_turn_with_the_head_in_3d(view, up, expected):
    viewer, shown, _, _ = open_(affine_of((1, 0, 2), (1, -1, 1)))
    viewer.dims.ndisplay = 3
    viewer.scene.camera.set_view_direction(view, up)
    assert shown.at() == expected
    assert tuple(viewer.canvas.overlays[f"vqad_{n}"].text for n in ("left", "right", "top", "bottom")) == expected
    assert viewer.canvas.overlays["vqad_words"].text.startswith("3D")


def test_letters_are_doubted_where_the_scan_does_not_say_how_the_head_lies():
    viewer, shown, _, volume = open_(affine_of((0, 1, 2), (1, 1, 1)))
    shown.head = lambda: replace(volume, side_known=False)
    shown.refresh()
    assert shown.at() == ("R?", "L?", "A?", "P?")
    assert viewer.canvas.overlays["vqad_words"].text == "Axial 3, S? 16 mm\nsides not known"
    viewer.dims.ndisplay = 3
    assert all(letter.endswith("?") for letter in shown.at())


def test_no_letters_without_a_head():
    viewer, shown, convention, _ = open_(affine_of((0, 1, 2), (1, 1, 1)))
    convention.set(True)
    assert shown.at().left == "L"
    shown.head = lambda: None
    convention.is_head = lambda: False
    convention.apply()
    shown.refresh()
    assert not viewer.canvas.overlays["vqad_left"].visible
    assert [str(o) for o in viewer.scene.camera.orientation2d] == ["down", "right"]


def test_in_a_grid_the_words_are_narrow():
    """Two models beside each other at 1366 pixels: the words reached the letter of the first cell."""
    viewer, shown, _, _ = open_(affine_of((0, 1, 2), (1, 1, 1)))
    words = viewer.canvas.overlays["vqad_words"]
    assert words.text.count("\n") == 1
    viewer.canvas.grid.enabled = True
    assert words.text == "\n".join([*shown.slice_in_words().split(", "), "radiological"])
    viewer.canvas.grid.enabled = False
    assert words.text.count("\n") == 1
