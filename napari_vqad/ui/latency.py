"""How quickly the sliders answer, measured where a person moves them: in a real viewer with the real dock.

A latency is the time from moving a slider until the event loop has nothing left to do, drawing included; of λ_p, until
the slice in view shows all its new restorations, while the rest of the volume is worked on behind.
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
LIMIT = 300.0  # s; longer, and something hangs
RESTORED = "restoration"  # the map that shows a move of λ_p
# Where each slider is moved to, in turn: numbers, or percentiles of healthy NLL.
MOVES: dict[str, tuple] = {
    "lambda_s": ("p99", "p97", "p95", "p90", "p96", "p98", "p99.5", "p94"),
    "k": (1.0, 5.0, 2.0, 8.0, 0.0, 4.0, 6.5, 3.0),
    "n_restorations": (14, 12, 10, 8, 6, 4, 3, 2),
    "lambda_p": ("p95", "p93", "p88", "p91", "p97", "p86", "p94", "p89"),
}


def run(bundle: str, device: str, rounds: int, report: Callable[[str], None]) -> dict:
    """Open a viewer, measure, close it; what comes back is as in `measure`."""
    viewer = Viewer(title="napari-vqad bench")
    try:
        return measure(viewer, bundle, device, rounds, report)
    finally:
        viewer.close()


def measure(viewer: Viewer, bundle: str, device: str, rounds: int, report: Callable[[str], None]) -> dict:
    """Analyse the sample head in a viewer, then move each slider `rounds` times through its places.

    Returns:
        `volume_seconds` and `slices`, with scrolling all the while if there is more than one round;
        `gui_longest_frame_ms` of our code in the GUI thread;
        `latency_ms`: slider → median, p95, n; `drag`: a quick drag of λ_p over twenty places.
    """
    hands = Driver(viewer, bundle, device)
    report("a whole volume in the viewer …")
    found = hands.analyse(scroll=rounds > 1)
    latency = {}
    for name in MOVES:
        report(f"slider {name} …")
        latency[name] = hands.slide(name, rounds)
    report("a drag of λ_p …")
    return {**found, "latency_ms": latency, "drag": hands.drag()}


class Driver:
    """The dock on the sample head, and hands that move its sliders."""

    def __init__(self, viewer: Viewer, bundle: str, device: str) -> None:
        viewer.window.resize(*SIZE)
        self.dock = open_sample(viewer, bundle=bundle, device=device)
        self.session = self.dock.session
        self.shown: object = None  # λ_p of the restorations that the slice in view shows
        self.pictures = 0
        self._beat = QTimer()  # something happens at least so often
        self._beat.start(10)
        self._until(lambda: self.session.explorer is not None)

    @property
    def explorer(self) -> Explorer:
        """What is explored."""
        assert self.session.explorer is not None
        return self.session.explorer

    def analyse(self, scroll: bool) -> dict:
        """Wait for the whole volume, scrolling through all of it again and again, or only through some slices."""
        started, scrolled, n = time.perf_counter(), 0.0, len(self.explorer.grid)
        with LongestFrame() as frame:
            while not self._idle():
                self._events()
                if time.perf_counter() - scrolled > 0.15 and (scroll or scrolled - started < 2):
                    scrolled = time.perf_counter()
                    self.session.go_to((self.session.current() + 1) % n)
        seconds = time.perf_counter() - started
        self.session.go_to(n // 2)
        self.session.map_layers.layers[RESTORED].events.set_data.connect(self._on_picture)
        self.session.drawn.connect(self._on_drawn)
        self._rest()
        return {"volume_seconds": seconds, "slices": n, "gui_longest_frame_ms": 1e3 * frame.longest}

    def slide(self, name: str, rounds: int) -> dict:
        """Median and 95th percentile of a slider's latency, ms, over n moves.

        Of λ_p only those moves count (`new`) that had the slice in view restored; where a λ_p passes no code of it, the
        slice is taken over from another λ_p, and that would flatter the median. Each round is on another slice.
        """
        knob, taken, restored, home = self._knob(name), [], [], self.session.current()
        self._look(name)
        before = knob.slider.value()
        for turn in range(rounds):
            if name == "lambda_p":
                self.session.go_to(home + 8 * turn)
                self._rest()
            for place in MOVES[name]:
                seen: list[bool] = []
                # A λ_p where it was before would be remembered, and one close by is alike in many slices.
                aside = 0.15 * turn if name == "lambda_p" else 0.0
                started = time.perf_counter()
                knob.slide(self._value(place) + aside)
                if name == "lambda_p":
                    self._until(partial(self._is_shown, seen))
                QApplication.processEvents()
                taken.append(1e3 * (time.perf_counter() - started))
                if any(seen):
                    restored.append(taken[-1])
                self._rest()
            knob.slide(before)
            self._rest()
        self._until(self._idle)
        counted = restored or taken
        found = {"median": float(np.median(counted)), "p95": float(np.percentile(counted, 95)), "n": len(taken)}
        return found | ({"new": len(restored)} if name == "lambda_p" else {})

    def _look(self, name: str) -> None:
        """Show what a slider moves: λ_p the restorations; a score waits for the neighbours that it is pooled from."""
        self.dock.show_view("Restoration" if name == "lambda_p" else "Score")

    def _is_shown(self, in_hand: list[bool]) -> bool:
        """Does the slice in view show the λ_p of the slider? `in_hand` is told whether it is being restored."""
        in_hand.append(self.explorer.focus in self.explorer.restoring)
        return self.shown == self._knob("lambda_p").slider.value()

    def drag(self, places: int = 20, pause: float = 0.05) -> dict:
        """Pictures that came during a drag without a rest, and ms from letting go to the last one."""
        self._look("lambda_p")
        slider, before = self._knob("lambda_p").slider, self.pictures
        for value in np.linspace(self._value("p98"), self._value("p85"), places):
            slider.setValue(float(value))
            until = time.perf_counter() + pause
            while time.perf_counter() < until:
                self._events()
        let_go, meanwhile = time.perf_counter(), self.pictures - before
        self._until(lambda: self.shown == slider.value())
        QApplication.processEvents()
        settled = 1e3 * (time.perf_counter() - let_go)
        self.session.cancel()
        self._until(lambda: self.dock.analyse.isEnabled())
        return {"places": places, "seconds": places * pause, "pictures_meanwhile": meanwhile, "settled_ms": settled}

    def _on_picture(self) -> None:
        self.pictures += 1

    def _on_drawn(self) -> None:
        """The layers show what there is; where λ_p passed no code, that is the same picture as before."""
        explorer = self.explorer
        if explorer.ready(RESTORED)[explorer.focus]:
            self.shown = explorer.settings.lambda_p

    def _knob(self, name: str) -> SettingSlider:
        knob = self.dock.widgets[name]
        assert isinstance(knob, SettingSlider)
        return knob

    def _value(self, place: float | str) -> float:
        return self.explorer.bundle.calibration.value("nll", place) if isinstance(place, str) else place

    def _idle(self) -> bool:
        return self.dock.analyse.isEnabled() and self.explorer.complete

    def _rest(self, seconds: float = 2.5 * PAUSE / 1000) -> None:
        """Long enough that the next move is a first one, and is not held back."""
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            self._events()

    def _until(self, condition: Callable[[], bool]) -> None:
        until = time.perf_counter() + LIMIT
        while not condition():
            if time.perf_counter() > until:
                raise TimeoutError(f"The viewer did not answer within {LIMIT:.0f} s.")
            self._events()

    @staticmethod
    def _events() -> None:
        """Sleep until something happens, as the event loop does; to look again and again takes the worker's time."""
        QApplication.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)


class LongestFrame:
    """The longest time that our code held the GUI thread, by looking at that thread's stack every two milliseconds.

    One stay is as long as the same outermost call of this package is on the stack; the time until it is next seen to
    be gone counts, too.
    """

    def __init__(self) -> None:
        self.longest = 0.0
        self._ours = str(Path(__file__).parents[1])
        self._main, self._over = threading.get_ident(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> LongestFrame:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        stay: int | None = None
        since = 0.0
        while not self._over.wait(0.002):
            now, seen = time.perf_counter(), self._outermost()
            if stay is not None:
                self.longest = max(self.longest, now - since)
            if seen != stay:
                stay, since = seen, now

    def _outermost(self) -> int | None:
        """The outermost frame of this package on the stack, inside of this module that moves the sliders."""
        frame, found = sys._current_frames().get(self._main), None
        while frame is not None and frame.f_code.co_filename != __file__:
            if frame.f_code.co_filename.startswith(self._ours):
                # Its identity alone: a frame that is held keeps its painter alive after painting, and Qt dies of it.
                found = id(frame)
            frame = frame.f_back
        return found
