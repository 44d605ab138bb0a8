"""Measure how quickly the sliders respond, in a real viewer with the real dock.

A latency is the time from moving a slider until the event loop is idle, including drawing. For λ_p it ends when the
slice in view shows all its new restorations; the rest of the volume is then still being restored.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from napari.viewer import Viewer
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QApplication

from napari_vqad.engine.explorer import Explorer
from napari_vqad.ui.launch import open_sample
from napari_vqad.ui.panels.setting_widgets import PAUSE, SettingSlider

SIZE = (1366, 768)
LIMIT = 300.0  # s; a longer wait means that something hangs
RESTORED = "restoration"  # the map that shows a move of λ_p
# The values that each slider is moved to, in this order: numbers, or percentiles of healthy NLL.
MOVES: dict[str, tuple] = {
    "lambda_s": ("p99", "p97", "p95", "p90", "p96", "p98", "p99.5", "p94"),
    "k": (1.0, 5.0, 2.0, 8.0, 0.0, 4.0, 6.5, 3.0),
    "n_restorations": (14, 12, 10, 8, 6, 4, 3, 2),
    "lambda_p": ("p95", "p93", "p88", "p91", "p97", "p86", "p94", "p89"),
}


def run(bundle: str, device: str, rounds: int, report: Callable[[str], None]) -> dict:
    """Open a viewer, measure and close it. Returns the same as `measure`."""
    viewer = Viewer(title="napari-vqad bench")
    try:
        return measure(viewer, bundle, device, rounds, report)
    finally:
        viewer.close()


def measure(viewer: Viewer, bundle: str, device: str, rounds: int, report: Callable[[str], None]) -> dict:
    """Analyse the sample head in a viewer, then move each slider `rounds` times through its values.

    Returns:
        `volume_seconds` and `slices`, scrolling throughout if there is more than one round;
        `gui_longest_frame_ms`: the longest time that this package held the GUI thread;
        `latency_ms`: slider → median, p95, n; `drag`: a quick drag of λ_p over twenty values.
    """
    driver = Driver(viewer, bundle, device)
    report("a whole volume in the viewer …")
    found = driver.analyse(scroll=rounds > 1)
    latency = {}
    for name in MOVES:
        report(f"slider {name} …")
        latency[name] = driver.slide(name, rounds)
    report("a drag of λ_p …")
    return {**found, "latency_ms": latency, "drag": driver.drag()}


class Driver:
    """Opens the dock on the sample head and moves its sliders as a user would."""

    def __init__(self, viewer: Viewer, bundle: str, device: str) -> None:
        viewer.window.resize(*SIZE)
        self.dock = open_sample(viewer, bundle=bundle, device=device)
        self.session = self.dock.session
        self.shown: object = None  # λ_p of the restorations that the slice in view shows
        self.pictures = 0
        self._wake_timer = QTimer()  # `_process_events` wakes up at least this often
        self._wake_timer.start(10)
        self._wait_until(lambda: self.session.explorer is not None)

    @property
    def explorer(self) -> Explorer:
        """The explorer of the session."""
        assert self.session.explorer is not None
        return self.session.explorer

    def analyse(self, scroll: bool) -> dict:
        """Wait for the whole volume. Scroll until it is done if `scroll`, else for the first two seconds."""
        started, scrolled, n = time.perf_counter(), 0.0, len(self.explorer.grid)
        with LongestFrame() as frame:
            while not self._is_idle():
                self._process_events()
                if time.perf_counter() - scrolled > 0.15 and (scroll or scrolled - started < 2):
                    scrolled = time.perf_counter()
                    self.session.go_to((self.session.current() + 1) % n)
        seconds = time.perf_counter() - started
        self.session.go_to(n // 2)
        self.session.map_layers.layers[RESTORED].events.set_data.connect(self._on_picture)
        self.session.drawn.connect(self._on_drawn)
        self._wait_for_throttle()
        return {"volume_seconds": seconds, "slices": n, "gui_longest_frame_ms": 1e3 * frame.longest}

    def slide(self, name: str, rounds: int) -> dict:
        """Median and 95th percentile of a slider's latency, ms, over n moves.

        For λ_p only the moves (`new`) count for which the slice in view was restored. If no code of the slice lies
        between two λ_p, its restorations are reused, which would make the median too good. Each round of λ_p uses
        another slice.
        """
        setting, taken, restored, home = self._setting(name), [], [], self.session.current()
        self._show_view_of(name)
        before = setting.slider.value()
        for turn in range(rounds):
            if name == "lambda_p":
                self.session.go_to(home + 8 * turn)
                self._wait_for_throttle()
            for place in MOVES[name]:
                seen: list[bool] = []
                # The restorations of an earlier λ_p are cached, and those of a close one equal it in many slices.
                aside = 0.15 * turn if name == "lambda_p" else 0.0
                started = time.perf_counter()
                setting.slide(self._value(place) + aside)
                if name == "lambda_p":
                    self._wait_until(partial(self._is_shown, seen))
                QApplication.processEvents()
                taken.append(1e3 * (time.perf_counter() - started))
                if any(seen):
                    restored.append(taken[-1])
                self._wait_for_throttle()
            setting.slide(before)
            self._wait_for_throttle()
        self._wait_until(self._is_idle)
        counted = restored or taken
        found = {"median": float(np.median(counted)), "p95": float(np.percentile(counted, 95)), "n": len(taken)}
        return found | ({"new": len(restored)} if name == "lambda_p" else {})

    def _show_view_of(self, name: str) -> None:
        """Show the view that a slider changes. For λ_p not the score, which waits for neighbouring slices."""
        self.dock.show_view("Restoration" if name == "lambda_p" else "Score")

    def _is_shown(self, in_hand: list[bool]) -> bool:
        """Does the slice in view show the λ_p of the slider? Appends to `in_hand` whether it is being restored."""
        in_hand.append(self.explorer.focus in self.explorer.restoring)
        return self.shown == self._setting("lambda_p").slider.value()

    def drag(self, places: int = 20, pause: float = 0.05) -> dict:
        """Pictures drawn during a drag without a rest, and ms from the end of the drag to the last picture."""
        self._show_view_of("lambda_p")
        slider, before = self._setting("lambda_p").slider, self.pictures
        for value in np.linspace(self._value("p98"), self._value("p85"), places):
            slider.setValue(float(value))
            until = time.perf_counter() + pause
            while time.perf_counter() < until:
                self._process_events()
        released, meanwhile = time.perf_counter(), self.pictures - before
        self._wait_until(lambda: self.shown == slider.value())
        QApplication.processEvents()
        settled = 1e3 * (time.perf_counter() - released)
        self.session.cancel()
        self._wait_until(lambda: self.dock.analyse.isEnabled())
        return {"places": places, "seconds": places * pause, "pictures_meanwhile": meanwhile, "settled_ms": settled}

    def _on_picture(self) -> None:
        self.pictures += 1

    def _on_drawn(self) -> None:
        """Note the λ_p that is shown. The picture need not have changed: λ_p may have passed no code."""
        explorer = self.explorer
        if explorer.ready(RESTORED)[explorer.focus]:
            self.shown = explorer.settings.lambda_p

    def _setting(self, name: str) -> SettingSlider:
        setting = self.dock.widgets[name]
        assert isinstance(setting, SettingSlider)
        return setting

    def _value(self, place: float | str) -> float:
        return self.explorer.bundle.calibration.value("nll", place) if isinstance(place, str) else place

    def _is_idle(self) -> bool:
        return self.dock.analyse.isEnabled() and self.explorer.complete

    def _wait_for_throttle(self, seconds: float = 2.5 * PAUSE / 1000) -> None:
        """Wait until the slider's throttle is over, so that it does not delay the next move."""
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            self._process_events()

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        until = time.perf_counter() + LIMIT
        while not condition():
            if time.perf_counter() > until:
                raise TimeoutError(f"The viewer did not answer within {LIMIT:.0f} s.")
            self._process_events()

    @staticmethod
    def _process_events() -> None:
        """Sleep until there is an event, as the event loop does. Polling would slow the worker down."""
        QApplication.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)


class LongestFrame:
    """The longest time that this package held the GUI thread, found by sampling its stack every two milliseconds.

    A stay lasts while the same outermost call of this package is on the stack. The time until the sample that no longer
    finds the call is included.
    """

    def __init__(self) -> None:
        self.longest = 0.0
        self._package = str(Path(__file__).parents[1])
        self._main_thread, self._stopped = threading.get_ident(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> LongestFrame:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        stay: int | None = None
        since = 0.0
        while not self._stopped.wait(0.002):
            now, seen = time.perf_counter(), self._outermost()
            if stay is not None:
                self.longest = max(self.longest, now - since)
            if seen != stay:
                stay, since = seen, now

    def _outermost(self) -> int | None:
        """The identity of the outermost frame of this package that this module has called."""
        frame, found = sys._current_frames().get(self._main_thread), None
        while frame is not None and frame.f_code.co_filename != __file__:
            if frame.f_code.co_filename.startswith(self._package):
                # Only its identity: a reference to a frame keeps its painter alive after painting, which crashes Qt.
                found = id(frame)
            frame = frame.f_back
        return found
