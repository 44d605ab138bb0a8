"""Run a command of the command line: print errors as one sentence, return the exit code, clean up when stopped."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TextIO

from napari_vqad.errors import InputError
from napari_vqad.text import printable

NAME = "napari-vqad"
ENDING = ("SIGTERM", "SIGHUP")  # a terminal sends SIGHUP when it is closed; Windows has no SIGHUP
BAD_INPUT, FAILED, STOPPED, BROKEN_PIPE = 2, 1, 130, 141  # the last two: 128 + the signal's number, as in shells


class Ended(BaseException):
    """A signal told the process to end. As an exception it lets open resources be cleaned up, as after Ctrl+C."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def run(command: Callable[[], int], debug: bool = False) -> int:
    """Run a command of the command line and return its exit code.

    An invalid input or a system error is printed as one sentence on stderr; with `debug` its traceback is shown
    instead. If nobody reads the output any more, as after `| head -1`, the command ends without a message. Characters
    that the terminal cannot show are replaced.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            with suppress(OSError, ValueError):
                stream.reconfigure(errors="replace")
    try:
        code = _attempt(command, debug)
    except SystemExit:  # raised by the parser for --help and for invalid arguments
        if failed := _flush():
            return failed
        raise
    return _flush() or code


def _attempt(command: Callable[[], int], debug: bool) -> int:
    try:
        with _ended_by_signals():
            return command()
    except InputError as error:
        if debug:
            raise
        return _tell(str(error), BAD_INPUT)
    except KeyboardInterrupt:
        return _tell("stopped.", STOPPED, start="\n")
    except Ended as error:
        return _tell("stopped.", 128 + error.number, start="\n")
    except BrokenPipeError:
        _silence(sys.stdout)
        return BROKEN_PIPE
    except OSError as error:
        if debug:
            raise
        where = f"{printable(str(error.filename))}: " if error.filename else ""
        return _tell(f"{where}{error.strerror or error}.", FAILED)


def _flush() -> int:
    """Flush stdout. Returns 0, or the exit code if it fails; Python itself would print a traceback then."""
    try:
        if sys.stdout is not None and not sys.stdout.closed:
            sys.stdout.flush()
    except BrokenPipeError:
        _silence(sys.stdout)
        return BROKEN_PIPE
    except OSError as error:
        _silence(sys.stdout)
        return _tell(f"The output cannot be written: {error.strerror or error}.", FAILED)
    return 0


@contextmanager
def until_it_ends() -> Iterator[None]:
    """Within this context signals end the process at once: a window's event loop does not pass on `Ended`."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in _signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Turn the signals that ask a process to end into `Ended`, so that half-written files are removed."""
    numbers = _signals()

    def end(number: int, _frame: FrameType | None) -> None:
        for each in numbers:  # a second signal must not interrupt the cleanup
            signal.signal(each, signal.SIG_IGN)
        raise Ended(number)

    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _signals() -> list[int]:
    """The signals to handle: none outside the main thread, and none that the process ignores, as under nohup."""
    if threading.current_thread() is not threading.main_thread():
        return []
    known = [getattr(signal, name) for name in ENDING if hasattr(signal, name)]
    return [number for number in known if signal.getsignal(number) not in (signal.SIG_IGN, None)]


def _tell(sentence: str, code: int, start: str = "") -> int:
    with suppress(OSError, ValueError):
        if sys.stderr is not None:
            print(f"{start}{NAME}: {printable(sentence)}", file=sys.stderr, flush=True)
    return code


def _silence(stream: TextIO | None) -> None:
    """Discard what is left in a stream's buffer, or Python would report it at exit."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # type: ignore[union-attr]  # None raises AttributeError
        os.close(nowhere)
