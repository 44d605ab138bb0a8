"""A generator in a worker thread: its steps and its end are heard in the main thread, its errors told once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

from napari.utils.notifications import show_error
from superqt.utils import GeneratorWorker, create_worker

from napari_vqad.errors import InputError


class WorkerSlot:
    """At most one generator at a time; what an older one still says is not heard.

    The worker is superqt's own, as napari's are at heart: of those napari itself asks, by the name of a Python
    function, before its window closes. `WindowEvents` asks in words.
    """

    def __init__(self, on_bad_input: Callable[[str], None]) -> None:
        """`on_bad_input` is told the sentence of an `InputError`, which napari shows as well."""
        self._on_bad_input = on_bad_input
        self._worker: GeneratorWorker | None = None
        self.muted = False  # nothing is heard: the window is closed
        self.name = ""  # what it is for, in words

    @property
    def running(self) -> bool:
        """Is a generator under way?"""
        return self._worker is not None

    def start(
        self, steps: Iterator, on_step: Callable[[Any], None], on_end: Callable[[bool, bool], None] = lambda *_: None
    ) -> None:
        """Run `steps` instead of what was under way.

        `on_step` hears what it yields, `on_end` whether it was aborted and whether it failed.
        """

        def run() -> Iterator:
            try:
                yield from steps
            except Exception as error:  # told as a step: napari's own listener to `errored` trips over its argument
                yield error

        worker = cast(GeneratorWorker, create_worker(run, _start_thread=False, _ignore_errors=True))
        errors: list[Exception] = []

        def step(value: Any) -> None:
            aborted = bool(worker.abort_requested)
            if self.muted or worker is not self._worker:
                return
            if isinstance(value, Exception):
                errors.append(value)
            elif aborted:  # the step that was under way: the person wants no more of it
                return
            if isinstance(value, InputError):
                show_error(str(value))
                self._on_bad_input(str(value))
            elif isinstance(value, Exception):
                raise value
            else:
                on_step(value)

        def finished(*_: object) -> None:
            worker.yielded.disconnect(step)  # else Qt keeps these two for ever, and with them all that they know
            worker.finished.disconnect(finished)
            aborted = bool(worker.abort_requested)
            if worker is not self._worker:
                return
            self._worker = None
            if not self.muted:
                on_end(aborted, bool(errors))

        worker.yielded.connect(step)
        worker.finished.connect(finished)
        self.quit()
        self._worker = worker
        worker.start()

    def quit(self) -> None:
        """Ask the generator to stop at its next step."""
        if self._worker is not None:
            self._worker.quit()

    def detach(self) -> None:
        """Ask the generator to stop at its next step, and hear no more of it."""
        self.quit()
        self._worker = None
