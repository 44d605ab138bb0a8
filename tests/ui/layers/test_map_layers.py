"""The layers of a scan that is analysed again: the same ones, as the user has left them, with the new maps."""

import numpy as np
import pytest

from napari_vqad.ui.files.readers import scan_layer


@pytest.fixture
def again(explored, idle):
    """Analyse again; the layers by their map, before and after."""

    def run():
        before, old = dict(explored.session.map_layers.layers), explored.session.explorer
        explored.start()
        idle(explored)
        assert explored.session.explorer is not old
        return before, explored.session.map_layers.layers

    return run


def test_the_scan_analysed_again_keeps_its_layers_and_their_look(explored, again, idle):
    viewer, session = explored.viewer, explored.session
    explored.show_view("Residual")
    session.map_layers.layers["residual"].opacity = 0.4
    points = viewer.add_points(np.zeros((1, 3)))
    order = list(viewer.layers)
    picture = session.map_layers.layers["residual"].data.copy()
    session.change(method="regenerative")
    before, after = again()
    assert after == before
    assert list(viewer.layers) == order
    assert viewer.layers[-1] is points
    residual = after["residual"]
    assert (residual.visible, residual.opacity) == (True, 0.4)
    assert residual.metadata["napari_vqad_grid"] is session.explorer.grid
    shown = session.explorer.grid.to_display(session.explorer.map("residual"))
    np.testing.assert_array_equal(residual.data, shown.transpose(2, 1, 0))
    assert not np.array_equal(residual.data, picture)


def test_a_layer_that_the_user_has_removed_is_there_again(explored, again):
    explored.viewer.layers.remove(explored.session.map_layers.layers["nll"])
    before, after = again()
    assert after["nll"] is not before["nll"]
    assert after["nll"] in explored.viewer.layers
    assert after["residual"] is before["residual"]


def test_of_another_mask_or_scan_all_layers_are_new(explored, again, head):
    ball = explored.viewer.layers["ball"]
    whole = ball.data.copy()
    ball.data = np.where(np.arange(ball.data.shape[0])[:, None, None] < 14, whole, 0)
    before, after = again()
    assert not set(before.values()) & set(after.values())
    assert not set(before.values()) & set(explored.viewer.layers)
    np.testing.assert_array_equal(after["mask"].data, ball.data)
    ball.data = whole
    data, attributes, _ = scan_layer(head[0], "another")
    explored.viewer.add_image(data, **attributes)
    explored.inputs.brain.pick(ball)
    before, after = again()
    assert not set(before.values()) & set(after.values())
    assert not set(before.values()) & set(explored.viewer.layers)
