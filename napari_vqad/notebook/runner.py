"""Run a generator in a thread of its own; its steps are handled in that thread, under a lock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

LEAVE = 10.0  # s to wait for a thread that was told to stop


class _Slot:
    """One generator that runs; `stopped` tells it to stop at its next step."""

    def __init__(self) -> None:
        self.stopped = False


class ThreadRunner:
    """Runs at most one generator at a time. Between generators there is no thread.

    Messages of the browser arrive in the kernel's main thread or, with subshells, in another one, and the steps of the
    work in its own thread. So that only one of them acts at a time, all of them hold `lock`.
    """

    def __init__(self, lock: threading.RLock, on_error: Callable[[Exception], None]) -> None:  # type: ignore[valid-type]
        """`on_error` is called, under the lock, with an error of a generator."""
        self._lock: Any = lock
        self._on_error = on_error
        self._slot: _Slot | None = None
        self._threads: set[threading.Thread] = set()
        self.idle = threading.Event()  # set while no generator is running and none follows
        self.idle.set()
        self.muted = False

    @property
    def running(self) -> bool:
        """Is a generator running?"""
        return self._slot is not None

    def start(self, steps: Iterator, on_step: Callable[[Any], None], on_end: Callable[[bool, bool], None]) -> None:
        """Run `steps` and stop the generator that was running; see `session.Runner`."""
        self.quit()
        self.idle.clear()
        slot = self._slot = _Slot()
        thread = threading.Thread(
            target=self._run, args=(slot, steps, on_step, on_end), name="napari-vqad notebook", daemon=True
        )
        self._threads.add(thread)
        thread.start()

    def _run(
        self, slot: _Slot, steps: Iterator, on_step: Callable[[Any], None], on_end: Callable[[bool, bool], None]
    ) -> None:
        failed = False
        try:
            for step in steps:
                with self._lock:
                    if slot.stopped or slot is not self._slot:
                        break
                    if not self.muted:
                        on_step(step)
        except Exception as error:
            failed = True
            with self._lock:
                if slot is self._slot and not self.muted:
                    self._on_error(error)
        with self._lock:
            self._threads.discard(threading.current_thread())
            if slot is not self._slot:
                return
            self._slot = None
            if not self.muted:
                on_end(slot.stopped, failed)
            if not self.running:  # `on_end` may have started the next one
                self.idle.set()

    def quit(self) -> None:
        """Stop at the next step."""
        if self._slot is not None:
            self._slot.stopped = True

    def detach(self) -> None:
        """Stop at the next step, without any further callback."""
        self.quit()
        self._slot = None
        self.idle.set()

    def join(self, seconds: float = LEAVE) -> None:
        """Wait until no thread is left. Call it without the lock."""
        for thread in list(self._threads):
            if thread is not threading.current_thread():
                thread.join(seconds)
