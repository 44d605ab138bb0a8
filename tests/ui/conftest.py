"""A real viewer, the dock in it, and a small head to explore."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from napari.utils.notifications import notification_manager

from napari_vqad.detectors.settings import Settings
from napari_vqad.io.nifti import write_map


@pytest.fixture(autouse=True, scope="session")
def no_garbage_by_layer(garbage_is_seldom_collected):
    """napari collects garbage at every layer that goes, for drivers of Windows: that took a sixth of the time."""
    from napari._vispy import canvas

    import napari_vqad.ui.dock  # noqa: F401

    gc.collect()
    gc.freeze()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(canvas, "gc", SimpleNamespace(collect=lambda: 0))
        yield


@pytest.fixture(autouse=True, scope="session")
def default_preferences():
    """Tests must not depend on what is set in napari on this machine, and are quick with few restorations."""
    from napari_vqad.ui import dock
    from napari_vqad.ui.compare import dock as compare
    from napari_vqad.ui.plumbing.preferences import Preferences

    start = Settings(n_restorations=3, lambda_s=1.0, lambda_p="p20")
    with pytest.MonkeyPatch.context() as patch:
        for widget in (dock, compare):
            patch.setattr(widget, "read_preferences", lambda: Preferences([], "cpu", 64 * 2**20, start))
        yield


@pytest.fixture(autouse=True, scope="session")
def _questions():
    """What the person was asked. A question whether to close would wait for an answer for ever."""
    from napari_vqad.ui.plumbing import window_events

    asked = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(window_events, "ask_to_close", lambda _window, losses: asked.append(losses) or True)
        yield asked


@pytest.fixture(autouse=True)
def nobody_is_asked(_questions):
    """A script that closes its viewer is asked nothing."""
    _questions.clear()
    yield
    assert _questions == []


@pytest.fixture
def notices() -> Iterator[list[str]]:
    """What napari told the person."""
    told: list[str] = []

    def hear(notification) -> None:
        told.append(notification.message)

    notification_manager.notification_ready.connect(hear)
    yield told
    notification_manager.notification_ready.disconnect(hear)


@pytest.fixture
def head_file(head, tmp_path) -> Path:
    """The small head as a NIfTI file."""
    volume, _mask = head
    path = tmp_path / "head.nii.gz"
    write_map(path, volume.voxels, volume)
    return path


@pytest.fixture(autouse=True, scope="session")
def shared_windows():
    """The window that tests share; napari's thread for the status bar is off, as in `make_napari_viewer`."""
    from napari._app_model._app import NapariApplication
    from napari._qt.threads.status_checker import StatusChecker
    from shared_window import Cache

    cache, own = Cache(), NapariApplication.get_app_model
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StatusChecker, "start", lambda _self: None)
        patch.setattr(NapariApplication, "get_app_model", lambda: cache.model or own())
        yield cache
        cache.drop()


@pytest.fixture
def no_shared_window(shared_windows):
    """`make_napari_viewer` takes no other window beside its own."""
    shared_windows.drop()


@pytest.fixture
def make_napari_viewer(no_shared_window, make_napari_viewer):
    """napari's own fixture, after the shared window is closed."""
    return make_napari_viewer


@pytest.fixture
def show_head(make_napari_viewer, head) -> Callable:
    """A new viewer that shows the small head and its mask."""
    return partial(show, partial(make_napari_viewer, show=True), head)


def show(make, head):
    """A viewer that `make` opens, with the small head and its mask."""
    from napari_vqad.imaging.volume import Volume
    from napari_vqad.ui.files.readers import label_layer, scan_layer

    viewer, (volume, mask) = make(), head
    scan = scan_layer(volume)
    labels = label_layer(Volume(mask.astype(np.float32), volume.affine, volume.affine), "ball")
    viewer.add_image(scan[0], **scan[1])
    viewer.add_labels(labels[0], **labels[1])
    return viewer


@pytest.fixture
def dock(show_head, tiny_bundle):
    """The dock in a viewer, the small head and its mask open, nothing analysed yet."""
    from shared_window import add_dock

    dock = add_dock(show_head(), tiny_bundle)
    yield dock
    dock.session.close()


@pytest.fixture
def idle(qtbot) -> Callable:
    """Wait until a dock's work is done."""

    def wait(dock, timeout: int = 20_000) -> None:
        def done() -> None:
            explorer = dock.session.explorer
            assert explorer is not None
            assert explorer.complete
            assert dock.analyse.isEnabled()

        qtbot.waitUntil(lambda: _holds(done), timeout=timeout)

    return wait


def _holds(check: Callable[[], None]) -> bool:
    try:
        check()
    except AssertionError:
        return False
    return True


@pytest.fixture
def own_explored(dock, idle):
    """The dock with the small head analysed, in a window of this test's own."""
    dock.start()
    idle(dock)
    return dock


@pytest.fixture
def explored(shared_windows, head, tiny_bundle, idle, qtbot, request):
    """The dock with the small head analysed, in a window that other tests have used before."""
    import napari
    from shared_window import open_window

    if shared_windows.window is None:
        make = partial(napari.Viewer, show=True, show_welcome_screen=False)
        shared_windows.open(lambda: open_window(partial(show, make, head), tiny_bundle, idle))
    yield shared_windows.window.dock
    if request.node.rep_call.failed or not shared_windows.window.put_back(idle):
        shared_windows.drop()


@pytest.fixture
def comparison(tiny_bundle, tiny_masked) -> Iterator[Callable]:
    """viewer → the comparison's widget in it, which knows two small models; gone from the window after the test."""
    from napari_vqad.ui.compare.dock import CompareDock

    opened = []

    def open_(viewer):
        widget = CompareDock(viewer)
        viewer.window.add_dock_widget(widget, name="Compare models", area="right")
        for folder in (tiny_bundle, tiny_masked):
            widget.offer(folder)
        opened.append((viewer, widget))
        return widget

    yield open_
    for viewer, widget in opened:
        with suppress(RuntimeError, LookupError):  # a test has closed it
            widget.end()
            viewer.window.remove_dock_widget(widget)


@pytest.fixture
def compare_all(tiny_bundle, tiny_masked, qtbot) -> Callable:
    """Compare both models of a comparison, to the end."""

    def run(widget) -> None:
        widget.tick(tiny_bundle, tiny_masked)
        widget.start()
        qtbot.waitUntil(lambda: widget.status.text().endswith("Ready."), timeout=40_000)

    return run


@pytest.fixture
def slow(monkeypatch):
    """Restorations that take their time, so that there is a middle to stop in."""
    from napari_vqad.detectors.vq.detector import VQDetector

    quick = VQDetector.restore

    def restore(*args, **kwargs):
        time.sleep(0.3)
        return quick(*args, **kwargs)

    monkeypatch.setattr(VQDetector, "restore", restore)


@pytest.fixture
def gate(monkeypatch):
    """Restorations, a slice at a time, wait at a gate until they are stopped; `gate.let` is how many may still pass."""
    from napari_vqad.detectors.vq.detector import VQDetector
    from napari_vqad.engine import explorer

    quick = VQDetector.restore

    class Gate:
        def __init__(self):
            self.let, self.open = 0, False

        def restore(self, detector, *args, **kwargs):
            check = args[-1] if callable(args[-1]) else kwargs.get("check", lambda: None)
            while not self.open and self.let <= 0:
                check()
                time.sleep(0.005)
            self.let -= 1
            return quick(detector, *args, **kwargs)

    gate = Gate()
    monkeypatch.setattr(explorer, "at_once", lambda _device: 3)  # restorations: those of one slice in these tests
    monkeypatch.setattr(VQDetector, "restore", lambda *args, **kwargs: gate.restore(*args, **kwargs))
    yield gate
    gate.open = True
