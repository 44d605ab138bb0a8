"""The dock closed and opened again, or opened twice: one explorer lives in a viewer; one that ends leaves nothing."""

import gc
import weakref

import numpy as np
import pytest
from napari.components.overlays import TextOverlay
from qtpy.QtCore import QCoreApplication, QEvent, QPoint, Qt
from qtpy.QtWidgets import QApplication, QPushButton, QWidget

from napari_vqad.display.window import PRESETS
from napari_vqad.ui import launch
from napari_vqad.ui.canvas.window_level import KEYS
from napari_vqad.ui.dock import ExplorerDock
from napari_vqad.ui.plumbing import shortcuts
from napari_vqad.ui.plumbing.connections import docked


def canvas_of() -> QWidget:
    """The widget that hears keys and mouse of the viewer, whose window is the one that is open."""
    windows = [w for w in QApplication.topLevelWidgets() if w.isVisible()]
    return next(w for top in windows for w in top.findChildren(QWidget) if "CanvasBackend" in type(w).__name__)


def cross(dock) -> None:
    """Press napari's cross of the dock, and let Qt delete what is to be deleted."""
    dock.parentWidget().findChild(QPushButton, "QTitleBarCloseButton").click()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def state(viewer) -> dict:
    """What an explorer may touch, besides its own layers."""
    camera, grid = viewer.scene.camera, viewer.canvas.grid
    return {
        "layers": [layer.name for layer in viewer.layers],
        "keys": dict(viewer.keymap),
        "mouse": list(viewer.mouse_drag_callbacks),
        "overlays": {name: overlay.visible for name, overlay in viewer.canvas.overlays.items()},
        "sides": tuple(map(str, camera.orientation2d)),
        "grid": (grid.enabled, grid.stride, grid.shape),
        "docks": list(viewer.window.dock_widgets),
        "listeners": [
            _home(callback)
            for event in (
                viewer.dims.events.point,
                viewer.dims.events.order,
                viewer.dims.events.ndisplay,
                viewer.layers.events,
                viewer.layers.events.inserted,
                viewer.layers.events.removed,
                viewer.cursor.events.position,
                viewer.scene.camera.events.orientation,
                viewer.canvas.grid.events.enabled,
                viewer.layers["head"].events.contrast_limits,
            )
            for callback in event.callbacks
            if "napari_vqad" in _home(callback)
        ],
    }


def _home(callback) -> str:
    """The module that a listener is of; napari keeps a method as a weak reference to its object and a name."""
    of = type(callback[0]()) if isinstance(callback, tuple) else callback
    return str(of.__module__)


@pytest.fixture
def explore(make_napari_viewer, tiny_bundle, head, idle):
    """viewer → a dock in it, the head analysed."""
    sessions = []  # weakly: what has ended is to be gone

    def open_(viewer):
        dock = ExplorerDock(viewer)
        sessions.append(weakref.ref(dock.session))
        viewer.window.add_dock_widget(dock, name=launch.NAME, area="right")
        dock.inputs.bundle.box.addItem("Tiny", tiny_bundle)
        dock.inputs.bundle.pick(tiny_bundle)
        dock.inputs.brain.pick(viewer.layers["ball"])
        dock.start()
        idle(dock)
        return dock

    yield open_
    for session in sessions:
        if (alive := session()) is not None:
            alive.close()


@pytest.fixture
def heard() -> list[str]:
    """Keys that someone else heard."""
    return []


@pytest.fixture
def viewer(show_head, heard):
    """The head and its mask in a viewer where a key, a text and a mouse are someone's already."""
    viewer = show_head()
    viewer.bind_key(shortcuts.FLICKER, lambda _viewer: heard.append(shortcuts.FLICKER))
    viewer.mouse_drag_callbacks.append(lambda *_: None)
    viewer.canvas.overlays["note"] = TextOverlay(text="mine", visible=True)
    return viewer


def is_gone(reference: weakref.ref, qtbot) -> bool:
    """Is nothing left that holds it? An explorer's maps and networks are large, and what Qt holds is no garbage."""
    qtbot.wait(300)  # longer than what waits for a moment
    gc.collect()
    return reference() is None


def use_all(dock, qtbot) -> None:
    """Everything on that adds to the viewer or moves."""
    canvas = canvas_of()
    dock.session.change(flag_voxels=0.5)
    dock.findings.setChecked(True)
    for key in (shortcuts.TURN, shortcuts.PLANES, shortcuts.BOXES, shortcuts.WIDE, shortcuts.FLICKER):
        qtbot.keyClick(canvas, key)
    dock.beside.setChecked(True)
    qtbot.wait(50)


def test_the_cross_takes_all_of_it_away_and_leaves_the_rest(viewer, explore, qtbot, capsys):
    before = state(viewer)
    dock = explore(viewer)
    use_all(dock, qtbot)
    assert {"Finding boxes", "Pixel score"} <= {layer.name for layer in viewer.layers}
    assert {"Orthogonal views", "Findings"} <= set(viewer.window.dock_widgets)
    assert len(state(viewer)["listeners"]) > 20
    assert before["listeners"] == []
    cross(dock)
    assert state(viewer) == before
    assert docked(viewer, ExplorerDock) == []
    viewer.dims.set_point(0, viewer.dims.point[0] + 8)
    viewer.dims.order = (1, 0, 2)
    viewer.layers["head"].contrast_limits = (0, 500)
    viewer.add_image(np.zeros((4, 4, 4)), name="mine")
    viewer.layers.remove("mine")
    qtbot.wait(400)  # longer than what waits for a moment
    errors = capsys.readouterr().err
    assert "deleted" not in errors
    assert "Traceback" not in errors


def test_opened_again_everything_works_once(viewer, explore, qtbot, heard):
    before = state(viewer)
    first = explore(viewer)
    use_all(first, qtbot)
    cross(first)
    second = explore(viewer)
    names = [layer.name for layer in viewer.layers]
    assert len(names) == len(set(names)) == len([n for n in names if "[1]" not in n])
    canvas, session, display = canvas_of(), second.session, second.display
    canvas.setFocus()
    qtbot.keyClick(canvas, shortcuts.TURN)  # twice would be not at all
    assert display.sides.isChecked()
    assert viewer.canvas.overlays["vqad_words"].text.endswith("\nneurological")
    for name, key in KEYS.items():
        window = PRESETS[name].window
        qtbot.keyClick(canvas, key)
        assert session.map_layers.window == pytest.approx(window)
    start, shift = session.map_layers.window, Qt.KeyboardModifier.ShiftModifier
    qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, shift, QPoint(200, 200))
    qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, shift, QPoint(200, 200))
    assert session.map_layers.window == pytest.approx(start)
    qtbot.keyClick(canvas, shortcuts.FLICKER)
    assert display.flickering.running
    assert heard == []
    cross(second)
    qtbot.keyClick(canvas_of(), shortcuts.FLICKER)
    assert heard == [shortcuts.FLICKER]
    assert state(viewer) == before


def test_a_second_one_takes_the_place_of_the_first(viewer, explore, qtbot):
    explore(viewer)
    second = ExplorerDock(viewer)
    viewer.window.add_dock_widget(second, name="another", area="right")
    assert docked(viewer, ExplorerDock) == [second]
    assert [layer.name for layer in viewer.layers] == ["head", "ball"]
    qtbot.keyClick(canvas_of(), shortcuts.TURN)
    assert second.display.sides.isChecked()
    second.session.close()


def test_closed_in_mid_work_it_says_nothing_more(viewer, explore, qtbot, capsys, monkeypatch):
    dock = explore(viewer)
    dock.session.change(lambda_p=0.1, n_restorations=15)
    dock.which.setValue(3)
    dock.widgets["k"].slider.setValue(5.0)  # told a moment later
    cross(dock)
    qtbot.wait(600)
    assert not dock.session._runner.running
    errors = capsys.readouterr().err
    assert "deleted" not in errors
    assert "Traceback" not in errors


def test_the_sample_is_explored_in_the_dock_that_is_there(viewer, explore, qtbot, monkeypatch):
    dock = explore(viewer)
    started = []
    monkeypatch.setattr(ExplorerDock, "start", lambda self: started.append(self.inputs.scan.value.name))
    dock.parentWidget().hide()
    assert launch.open_sample(viewer) is dock
    assert dock.isVisible()
    assert docked(viewer, ExplorerDock) == [dock]
    assert started == ["Simulated head, lesions"]


def test_the_plugins_menu_hides_and_shows_the_demos_dock(viewer, qtbot, monkeypatch):
    from napari._app_model import get_app_model

    monkeypatch.setattr(ExplorerDock, "start", lambda self: None)
    dock = launch.open_sample(viewer)
    qtbot.waitUntil(dock.isVisible)
    for seen in (False, True):
        get_app_model().commands.execute_command("napari-vqad.explorer").result()
        assert docked(viewer, ExplorerDock) == [dock]
        assert dock.isVisible() == seen
    dock.session.close()


def test_nothing_is_kept_of_an_explorer_that_was_crossed_out(viewer, explore, qtbot):
    dock = explore(viewer)
    use_all(dock, qtbot)
    explorer = weakref.ref(dock.session.explorer)
    cross(dock)
    del dock
    assert is_gone(explorer, qtbot)


def test_nothing_is_kept_of_an_explorer_whose_window_has_closed(show_head, explore, qtbot):
    viewer = show_head()
    dock = explore(viewer)
    use_all(dock, qtbot)
    explorer = weakref.ref(dock.session.explorer)
    viewer.close()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    del dock, viewer
    assert is_gone(explorer, qtbot)
