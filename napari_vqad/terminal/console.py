"""What a command owes the terminal: one sentence for an error, a proper exit code, and no litter when it is stopped."""

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
ENDING = ("SIGTERM", "SIGHUP")  # a terminal that is closed sends the second; Windows has no such signal
BAD_INPUT, FAILED, STOPPED, BROKEN_PIPE = 2, 1, 130, 141  # 128 and the number of the signal, as shells count


class Ended(BaseException):
    """The process was told to end; what it holds is cleaned up on the way, as after Ctrl+C."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def run(command: Callable[[], int], debug: bool = False) -> int:
    """Run a command of the command line and return its exit code.

    What a person gave wrong and what the system refuses is one sentence on stderr; with `debug` a traceback instead.
    An output that nobody reads any more, as after `| head -1`, ends the command quietly. Characters that a terminal
    cannot show are replaced.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            with suppress(OSError, ValueError):
                stream.reconfigure(errors="replace")
    try:
        code = _attempt(command, debug)
    except SystemExit:  # of the parser, for --help and what it cannot read
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
    """Write what is in the buffer of stdout; the exit code of a failure, which Python would tell by a traceback."""
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
    """Signals end the process at once in here, as without `run`: the event loop of a window hears no exception."""
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
        for each in numbers:  # a second one must not cut the cleaning short
            signal.signal(each, signal.SIG_IGN)
        raise Ended(number)

    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _signals() -> list[int]:
    """Those to listen to: none where another thread runs the command, and none that are ignored, as under nohup."""
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
    """Let what is still in a stream's buffer go nowhere, or Python would complain of it at its exit."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # type: ignore[union-attr]  # where there is none, this says so
        os.close(nowhere)
