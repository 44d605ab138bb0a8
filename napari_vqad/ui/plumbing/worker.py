"""Run a generator in a worker thread; callbacks in the main thread receive its steps, its end and its errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

from napari.utils.notifications import show_error
from superqt.utils import GeneratorWorker, create_worker

from napari_vqad.errors import InputError


class WorkerSlot:
    """Runs at most one generator at a time; steps of an older one are ignored.

    It uses superqt's worker instead of napari's. For its own workers napari asks before the window closes, and names a
    Python function; `WindowEvents` asks with a sentence.
    """

    def __init__(self, on_bad_input: Callable[[str], None]) -> None:
        """`on_bad_input` is called with the sentence of an `InputError`, which napari shows, too."""
        self._on_bad_input = on_bad_input
        self._worker: GeneratorWorker | None = None
        self.muted = False  # True while the window is closed: no callback is called
        self.name = ""  # what it writes, for messages

    @property
    def running(self) -> bool:
        """Is a generator running?"""
        return self._worker is not None

    def start(
        self, steps: Iterator, on_step: Callable[[Any], None], on_end: Callable[[bool, bool], None] = lambda *_: None
    ) -> None:
        """Run `steps` and stop the generator that was running.

        `on_step` is called with each value that it yields, `on_end` with whether it was aborted and whether it failed.
        """

        def run() -> Iterator:
            try:
                yield from steps
            except Exception as error:  # yielded, because napari's listener to `errored` fails on its argument
                yield error

        worker = cast(GeneratorWorker, create_worker(run, _start_thread=False, _ignore_errors=True))
        errors: list[Exception] = []

        def step(value: Any) -> None:
            aborted = bool(worker.abort_requested)
            if self.muted or worker is not self._worker:
                return
            if isinstance(value, Exception):
                errors.append(value)
            elif aborted:  # the user has cancelled; ignore the step that was running
                return
            if isinstance(value, InputError):
                show_error(str(value))
                self._on_bad_input(str(value))
            elif isinstance(value, Exception):
                raise value
            else:
                on_step(value)

        def finished(*_: object) -> None:
            worker.yielded.disconnect(step)  # else Qt keeps both functions, and all they refer to, for ever
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
        """Ask the generator to stop at its next step, and ignore its steps and its end."""
        self.quit()
        self._worker = None
