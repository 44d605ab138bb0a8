"""A few hundred spoilt files of every kind that is read, and the tool that makes 10,000 of them."""

import os
import signal
import subprocess
import sys

import pytest

from napari_vqad.fuzz.run import FAILED, REFUSED, load, lowered, make_seeds, spoil
from napari_vqad.fuzz.targets import targets

NAMES = (
    *("nifti", "gzip", "dicom", "clip", "study", "bundle", "brainmask", "recipe", "stack", "history", "cases"),
    "settings",
)
EACH = 30


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Good files of every kind, and the targets by name."""
    seeds = tmp_path_factory.mktemp("good")
    every = targets(seeds)
    make_seeds(every, seeds)
    return seeds, {target.name: target for target in every}


def test_every_kind_of_file_is_there(good):
    assert tuple(good[1]) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_spoilt_files_are_refused_by_a_sentence(good, name, tmp_path):
    seeds, every = good
    signal.setitimer(signal.ITIMER_REAL, 60)  # a hang ends the tests, and is not waited for
    try:
        with lowered():
            found = []
            for number in range(EACH):
                spoil(every[name], seeds / name, tmp_path / str(number), 2026, number)
                found.append(load(every[name], tmp_path / str(number)))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    assert [f"{n}: {o.why}" for n, o in enumerate(found) if o.what == FAILED] == []
    assert sum(o.what == REFUSED for o in found) > EACH / 5, "little was spoilt"


def test_the_same_number_spoils_in_the_same_way(good, tmp_path):
    seeds, every = good
    for place in ("a", "b"):
        spoil(every["recipe"], seeds / "recipe", tmp_path / place, 1, 5)
    assert (tmp_path / "a" / "recipe.toml").read_bytes() == (tmp_path / "b" / "recipe.toml").read_bytes()


FAULTS = {
    "raw": ("raise KeyError(folder.name)", "KeyError"),
    "words": ("raise InputError('no sentence')", "no sentence"),
    "hang": ("while True: pass", "hang"),
    "memory": ("bytearray(2**32)", "MemoryError"),
    "refused late": (
        "try: bytearray(2**32)\nexcept MemoryError as error: raise InputError('Damaged.') from error",
        "memory ran out",
    ),
    "signal": ("os.kill(os.getpid(), 11)", "by signal 11"),
    "outside": ("(folder.parent.parent / 'mine').write_bytes(b'')", "wrote outside"),
    "run": ("os.system('true')", "ran something"),
}

SCRIPT = """
import os, sys, tempfile
from pathlib import Path
from napari_vqad.errors import InputError
from napari_vqad.fuzz import run as fuzz
from napari_vqad.fuzz.mutate import any_bytes
from napari_vqad.fuzz.targets import Target
fuzz.SECONDS = 1
faults = eval(sys.argv[1])
with tempfile.TemporaryDirectory() as place:
    every = []
    for name, text in faults.items():
        (Path(place) / name).mkdir()
        (Path(place) / name / "it").write_bytes(b"it")
        code = compile(text, name, "exec")
        do = lambda folder, code=code: exec(code, {"folder": folder, "os": os, "InputError": InputError})
        every.append(Target(name, lambda folder: None, do, {"*": any_bytes}))
    counts = fuzz.run(every, Path(place), 2 * len(every), 0, print)
    print(counts)
"""


def test_every_kind_of_failure_is_seen():
    """Each fault is told for both of its cases: a child that dies of the first takes nothing with it."""
    faults = {name: text for name, (text, _) in FAULTS.items()}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, repr(faults)], capture_output=True, text=True, timeout=100, check=True
    )
    for name, (_, word) in FAULTS.items():
        told = [line for line in done.stdout.splitlines() if line.startswith(f"FAILED {name} ")]
        assert len(told) == 2, (name, done.stdout, done.stderr)
        assert all(word in line for line in told), told


def test_the_tool_prints_counts_and_finds_nothing():
    command = [sys.executable, "-m", "napari_vqad.fuzz", "-n", "60", "--seed", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=os.environ, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "60 cases in" in done.stdout
    assert done.stdout.rstrip().endswith(" 0 failures")
    assert all(f"\n{name}" in f"\n{done.stdout}" for name in NAMES)
