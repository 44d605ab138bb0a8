"""Read damaged files of every kind, and check that the package refuses each of them with one sentence.

A child process with limits on memory and time reads each batch of files. A case fails if it raises any exception but
`InputError`, if the message is not one sentence, if it hangs, exceeds the memory limit or is killed by a signal, or if
it writes outside its folder or starts a process. The seed and the number of a case decide how its file is damaged.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from napari_vqad.errors import InputError
from napari_vqad.files import limits
from napari_vqad.fuzz import mutate as ways
from napari_vqad.fuzz.targets import Target, targets

BATCH = 50  # cases per child process
SECONDS = 10  # for one case
MEMORY = 2**30  # bytes, in addition to what the child uses at its start
INSTEAD = 0.04  # fraction of cases in which a file is replaced by something else
LOADED, REFUSED, FAILED = "loaded", "refused", "failed"
WRITES = {"os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.truncate", "os.link", "os.symlink", "os.chmod"}
RUNS = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect"}


@dataclass(frozen=True)
class Outcome:
    """The outcome of a case: LOADED, REFUSED or FAILED, and why."""

    what: str
    why: str = ""


def spoil(target: Target, good: Path, folder: Path, seed: int, number: int) -> None:
    """Copy good files to a new `folder` and damage one of them."""
    rng = np.random.default_rng([seed, *target.name.encode(), number])
    shutil.copytree(good, folder)
    files = sorted({file for pattern in target.spoil for file in folder.glob(pattern)})
    file = files[int(rng.integers(len(files)))]
    if rng.random() < INSTEAD:
        ways.instead(file, rng)
        return
    way = next(way for pattern, way in target.spoil.items() if file.match(pattern))
    file.write_bytes(way(file.read_bytes(), rng))


def load(target: Target, folder: Path) -> Outcome:
    """Read the files of a folder and return the outcome."""
    try:
        target.load(folder)
    except InputError as error:
        return _judge(str(error), error)
    except Exception as error:  # the failures that fuzzing looks for
        where = traceback.extract_tb(error.__traceback__)[-1]
        return Outcome(FAILED, f"{type(error).__name__}: {str(error)[:200]} ({where.filename}:{where.lineno})")
    return Outcome(LOADED)


@contextmanager
def lowered() -> Iterator[None]:
    """Lower the limits, so that files just below them are fast to read."""
    low = {"VOXELS": 2**26, "STUDY": 2**25, "WEIGHTS": 2**26, "TABLES": 2**26, "SEARCH_SECONDS": 5.0}
    before = {name: getattr(limits, name) for name in low}
    try:
        for name, value in low.items():
            setattr(limits, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(limits, name, value)


def run(every: list[Target], seeds: Path, n: int, seed: int, tell: Callable[[str], None]) -> dict[str, Counter[str]]:
    """Run n cases, divided among the targets, in forked children. `tell` is called with each failure.

    Returns:
        For each target, the number of cases that were loaded, refused and failed.
    """
    counts: dict[str, Counter[str]] = {}
    for which, target in enumerate(every):
        mine = n // len(every) + (which < n % len(every))
        good = seeds / target.name
        counts[target.name] = Counter()
        number = 0
        while number < mine:
            for at, outcome in _child(target, good, range(number, min(number + BATCH, mine)), seed):
                counts[target.name][outcome.what] += 1
                number = at + 1
                if outcome.what == FAILED:
                    tell(f"FAILED {target.name} {at} (seed {seed}): {outcome.why}")
    return counts


def make_seeds(every: list[Target], seeds: Path) -> None:
    """Write the good files of each target and check that they load."""
    for target in every:
        folder = seeds / target.name
        folder.mkdir()
        target.make(folder)
        target.load(folder)


def main(argv: list[str] | None = None) -> int:
    """Run the fuzzer and print the counts. Returns 1 if a case failed, 2 without `fork`, else 0."""
    parser = argparse.ArgumentParser(prog="python -m napari_vqad.fuzz", description=__doc__)
    parser.add_argument("-n", type=int, default=10_000, help="number of cases")
    parser.add_argument("--seed", type=int, default=0, help="the same seed damages the files in the same way")
    parser.add_argument("--only", metavar="NAME", help="test only this kind of file")
    args = parser.parse_args(argv)
    if not hasattr(os, "fork"):
        print("This needs a system that forks, such as Linux.")
        return 2
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="vqad-fuzz-") as place, lowered():
        seeds = Path(place) / "good"
        every = [t for t in targets(seeds) if args.only in (None, t.name)]
        make_seeds(every, seeds)
        before = _state(Path(place))
        counts = run(every, seeds, args.n, args.seed, lambda line: print(line, flush=True))
        outside = _state(Path(place)) != before
    for name, found in counts.items():
        words = ", ".join(f"{found[what]} {what}" for what in (LOADED, REFUSED, FAILED))
        print(f"{name:10} {sum(found.values()):6} cases: {words}")
    failed = sum(found[FAILED] for found in counts.values()) + outside
    total = sum(sum(found.values()) for found in counts.values())
    print(f"{'all':10} {total:6} cases in {time.monotonic() - began:.0f} s, {failed} failures")
    if outside:
        print("FAILED: a file outside of a case's folder has changed.")
    return int(failed > 0)


def _judge(sentence: str, error: BaseException) -> Outcome:
    """Check that an `InputError` is one sentence and was not caused by lack of memory."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError):
            return Outcome(FAILED, f"memory ran out before it was refused: {sentence[:200]}")
        cause = cause.__cause__ or cause.__context__
    if not sentence.endswith(".") or "\n" in sentence or len(sentence) > 1000:
        return Outcome(FAILED, f"no sentence: {sentence[:200]!r}")
    return Outcome(REFUSED, sentence)


def _child(target: Target, good: Path, numbers: range, seed: int) -> Iterator[tuple[int, Outcome]]:
    """Run cases in one child process. If a case kills it, this case is a failure and the last one yielded."""
    folder = Path(tempfile.mkdtemp(prefix="vqad-case-"))
    out, into = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        os.close(out)
        _work(target, good, folder, numbers, seed, into)
    os.close(into)
    done = numbers.start - 1
    with os.fdopen(out, encoding="utf-8") as lines:
        for line in lines:
            done, what, why = json.loads(line)
            yield done, Outcome(what, why)
    _, status = os.waitpid(pid, 0)
    shutil.rmtree(folder, ignore_errors=True)
    if done + 1 < numbers.stop:
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        why = f"hang: more than {SECONDS} s" if number == signal.SIGALRM else f"the process ended, by signal {number}"
        yield done + 1, Outcome(FAILED, why)


def _work(target: Target, good: Path, folder: Path, numbers: range, seed: int, into: int) -> NoReturn:
    """The child process: set the limits and the watch, then run the cases one by one."""
    import resource

    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) if sys.platform == "linux" else 0
        most = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY if pages else resource.RLIM_INFINITY
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        warnings.filterwarnings("error", module="napari_vqad")
        sys.dont_write_bytecode = True
        watch = _Watch(folder)
        sys.addaudithook(watch)
        for number in numbers:
            case = folder / str(number)
            spoil(target, good, case, seed, number)
            resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
            signal.setitimer(signal.ITIMER_REAL, SECONDS)
            with watch:
                outcome = load(target, case)
            signal.setitimer(signal.ITIMER_REAL, 0)
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            if watch.seen:
                outcome = Outcome(FAILED, watch.seen)
            shutil.rmtree(case, ignore_errors=True)
            os.write(into, (json.dumps([number, outcome.what, outcome.why]) + "\n").encode())
    finally:
        os._exit(0)


class _Watch:
    """An audit hook. Within `with` it records writes outside of a folder, and processes or connections started."""

    def __init__(self, folder: Path) -> None:
        self.inside, self.seen, self.on = os.path.realpath(folder), "", False

    def __enter__(self) -> None:
        self.seen, self.on = "", True

    def __exit__(self, *_: object) -> None:
        self.on = False

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "open":
            path, mode, flags = args
            writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC) if isinstance(flags, int) else 0
            if isinstance(path, str | bytes | os.PathLike) and (writes or any(c in str(mode or "") for c in "wax+")):
                self._wrote(path, event)
        elif event in WRITES:
            for path in args:
                if isinstance(path, str | bytes | os.PathLike):
                    self._wrote(path, event)
        elif event in RUNS:
            self.seen = self.seen or f"ran something: {event} {args!r}"[:200]

    def _wrote(self, path: Any, event: str) -> None:
        real = os.path.realpath(os.path.dirname(os.fsdecode(path)) or ".")
        if real != self.inside and not real.startswith(self.inside + os.sep):
            self.seen = self.seen or f"wrote outside: {event} {os.fsdecode(path)}"[:200]


def _state(place: Path) -> list[tuple[str, int, int]]:
    """Every file in a folder with its size and modification time."""
    found = ((str(p), p.lstat()) for p in sorted(place.rglob("*")))
    return [(name, info.st_size, info.st_mtime_ns) for name, info in found]
