"""3D: what is flagged within a translucent head, and back in 2D all as it was."""

import numpy as np
import pytest

LOOK = ("rendering", "blending", "opacity")


@pytest.fixture
def flat(explored, idle):
    """The dock on an analysed head where something is flagged, the brain mask shown beside the score."""
    explorer = explored.session.explorer
    high = float(np.percentile(explorer.map("pixel_score")[explorer.grid.mask], 98))
    explored.session.change(flag_voxels=high)
    idle(explored)
    explored.show_view("Score")
    explored.session.map_layers.layers["mask"].visible = True
    return explored


def seen(dock):
    return {name for name, layer in dock.session.map_layers.layers.items() if layer.visible}


def test_pieces_in_a_translucent_head_and_all_as_it_was(flat):
    viewer, map_layers = flat.viewer, flat.session.map_layers
    flagged = map_layers.layers["flagged"]
    before = [tuple(getattr(map_layers.scan, name) for name in LOOK), seen(flat), flagged.contour, flagged.opacity]
    viewer.dims.ndisplay = 3
    assert (map_layers.scan.visible, map_layers.scan.rendering, map_layers.scan.blending) == (
        True,
        "average",
        "additive",
    )
    assert seen(flat) == {"flagged"}
    assert flagged.contour == 0
    assert flagged.data.any()
    assert tuple(viewer.canvas.background_color_override) == (0, 0, 0, 1)
    viewer.dims.ndisplay = 2
    assert viewer.canvas.background_color_override is None
    after = [tuple(getattr(map_layers.scan, name) for name in LOOK), seen(flat), flagged.contour, flagged.opacity]
    assert after == before


def test_the_picture_has_head_and_pieces(flat, qtbot):
    """Seen on the canvas: the orange of the pieces, and grey that does not fill the head."""
    viewer = flat.viewer
    viewer.dims.ndisplay = 3
    qtbot.wait(100)
    picture = viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)
    orange = (picture[..., 0] > 120) & (picture[..., 2] < picture[..., 0] - 60)
    grey = np.ptp(picture, axis=-1) < 12
    assert orange.sum() > 30
    assert ((picture[..., 0] > 15) & grey).sum() > 500
    assert np.percentile(picture[grey][:, 0], 99) < 235  # not an opaque white


def test_another_map_is_shown_once_the_picture_is_flat_again(flat, idle):
    viewer, map_layers = flat.viewer, flat.session.map_layers
    viewer.dims.ndisplay = 3
    flat.show_view("NLL")
    assert seen(flat) == {"flagged"}
    flat.start()  # another analysis, in 3D
    idle(flat)
    assert seen(flat) == {"flagged"}
    assert map_layers.scan.rendering == "average"
    viewer.dims.ndisplay = 2
    assert "nll" in seen(flat)
    assert "flagged" not in seen(flat)
    assert map_layers.scan.rendering == "mip"


def test_a_head_that_was_turned_is_found_turned_again(flat):
    viewer, camera = flat.viewer, flat.viewer.scene.camera
    viewer.dims.ndisplay = 3
    assert np.dot(camera.view_direction, (0, 1, 0)) > 0.7, "the face looks at the viewer"
    assert np.dot(camera.up_direction, (-1, 0, 0)) > 0.7, "the top of the head is up"
    camera.angles = (10.0, 20.0, 30.0)
    viewer.dims.ndisplay = 2
    viewer.dims.ndisplay = 3
    assert camera.angles == (10.0, 20.0, 30.0)


def test_closing_the_dock_in_3d_leaves_the_scan_as_it_was(flat):
    viewer, scan = flat.viewer, flat.session.map_layers.scan
    viewer.dims.ndisplay = 3
    viewer.window.remove_dock_widget(flat)
    assert (scan.rendering, scan.blending) == ("mip", "translucent_no_depth")
