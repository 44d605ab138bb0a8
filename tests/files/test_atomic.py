"""A file or a folder of files is written whole or not at all, whoever else writes and however a process ends."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from napari_vqad.errors import InputError
from napari_vqad.files.atomic import FOLDER_LOCK, atomic_folder, atomic_write
from napari_vqad.files.lock import locked, take
from napari_vqad.files.space import check_file, check_folder, folder_of

NAMES = ("a.txt", "b.txt", "c.txt", "d.txt")


def write(folder, text, **more):
    with atomic_folder(folder, **more) as files:
        for name in NAMES:
            (files / name).write_text(text, encoding="utf-8")


def held(folder):
    return {name: (folder / name).read_text(encoding="utf-8") for name in sorted(os.listdir(folder))}


def child(code, folder):
    """A process that runs the code up to its line "ready"."""
    names = "atomic_folder, atomic_write"
    start = f"import os, sys, time\nfrom pathlib import Path\nfrom napari_vqad.files.atomic import {names}\n"
    words = [sys.executable, "-c", f"{start}folder = Path(sys.argv[1])\n{code}", str(folder)]
    made = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert made.stdout.readline() == "ready\n"
    return made


WRITING = """
with atomic_folder(folder) as files:
    (files / "a.txt").write_text("half")
    with atomic_write(folder / "one.txt") as file:
        file.write_text("half")
        print("ready", flush=True)
        time.sleep(60)
"""


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path):
    process = child(WRITING, tmp_path)
    process.kill()
    process.wait()
    assert len(os.listdir(tmp_path)) == 2
    with atomic_write(tmp_path / "mine.txt") as file:
        file.write_text("mine", encoding="utf-8")
    assert held(tmp_path) == {"mine.txt": "mine"}


def test_what_a_living_process_writes_is_let_alone(tmp_path):
    process = child(WRITING, tmp_path)
    try:
        write(tmp_path, "mine")
        assert len([n for n in os.listdir(tmp_path) if n.startswith(".vqad-")]) == 2
    finally:
        process.kill()
        process.wait()


DYING = """
replace, moved = os.replace, []
def dying(source, target):
    if moved:
        print("ready", flush=True)
        os.kill(os.getpid(), 9)
    moved.append(replace(source, target))
os.replace = dying
with atomic_folder(folder) as files:
    for name in ("a.txt", "b.txt", "c.txt", "new.txt"):
        (files / name).write_text("new")
"""


def test_a_move_that_was_cut_short_by_a_kill_is_undone(tmp_path):
    write(tmp_path, "old")
    child(DYING, tmp_path).wait()
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "new", "nothing had been moved"
    with atomic_write(tmp_path / "mine.txt") as file:
        file.write_text("mine", encoding="utf-8")
    assert held(tmp_path) == {**dict.fromkeys(NAMES, "old"), "mine.txt": "mine"}


def test_a_move_that_fails_half_way_is_undone(tmp_path, monkeypatch):
    write(tmp_path, "old")
    (tmp_path / "c.txt").unlink()
    replace = os.replace

    def full(source, target):
        if str(target) == str(tmp_path / "d.txt") and "before" not in str(source):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(InputError, match="No space left"):
        write(tmp_path, "new", stale=["a.txt"])
    assert held(tmp_path) == dict.fromkeys(("a.txt", "b.txt", "d.txt"), "old")


def test_stale_files_go_and_come_back_with_the_others(tmp_path):
    write(tmp_path, "old")
    (tmp_path / "e.txt").write_text("old", encoding="utf-8")
    write(tmp_path, "new", stale=["e.txt", "f.txt"])
    assert held(tmp_path) == dict.fromkeys(NAMES, "new")


def test_two_that_write_into_one_folder_do_not_mix(tmp_path, monkeypatch):
    mixed, stop, replace = [], threading.Event(), os.replace

    def slowly(source, target):
        replace(source, target)
        time.sleep(0.002)

    monkeypatch.setattr("os.replace", slowly)

    def writer(name):
        while not stop.is_set():
            write(tmp_path, name)

    write(tmp_path, "first")
    writers = [threading.Thread(target=writer, args=(name,)) for name in ("one", "two", "three")]
    for thread in writers:
        thread.start()
    for _ in range(30):
        with locked(tmp_path / FOLDER_LOCK, "busy"):
            found = {(tmp_path / name).read_text(encoding="utf-8") for name in NAMES}
        mixed += [found] if len(found) > 1 else []
    stop.set()
    for thread in writers:
        thread.join()
    assert not mixed
    assert sorted(os.listdir(tmp_path)) == list(NAMES)


def test_a_lock_holds_against_another_process_until_that_dies(tmp_path):
    locking = "from napari_vqad.files.lock import take\nlock = take(folder / 'lock')"
    code = f"{locking}\nprint('ready', flush=True)\ntime.sleep(60)"
    process = child(code, tmp_path)
    with pytest.raises(InputError, match="Somebody else"), locked(tmp_path / "lock", "Somebody else.", wait=0):
        pass
    process.kill()
    process.wait()
    with locked(tmp_path / "lock", "Somebody else.", wait=0):
        assert take(tmp_path / "lock") is None
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has its own locks on every file system")
def test_where_the_file_system_knows_no_locks_a_name_is_the_lock(tmp_path, monkeypatch):
    def unknown(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", unknown)
    with locked(tmp_path / "lock", "Busy.", wait=0):
        assert take(tmp_path / "lock") is None
    assert os.listdir(tmp_path) == []
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / "lock-held").write_text(f"{os.uname().nodename} {dead.pid}", encoding="utf-8")
    with locked(tmp_path / "lock", "Busy.", wait=0):
        pass
    (tmp_path / "lock-held").write_text(f"another {dead.pid}", encoding="utf-8")
    with pytest.raises(InputError, match="Busy"), locked(tmp_path / "lock", "Busy.", wait=0):
        pass


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="a system without devices as files")
@pytest.mark.parametrize("kind", ["folder", "device", "pipe"])
def test_what_is_no_file_is_not_replaced(kind, tmp_path):
    path = tmp_path / "there"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(os.devnull)
    with pytest.raises(InputError, match="give another name"), atomic_write(path) as file:
        file.write_text("x", encoding="utf-8")
    assert os.listdir(tmp_path) == ["there"]
    with pytest.raises(InputError, match="there"):
        check_file(path)


def test_a_folder_in_the_place_of_a_file_stops_the_move_before_it_begins(tmp_path):
    (tmp_path / "c.txt").mkdir()
    with pytest.raises(InputError, match=r"c\.txt is a folder"):
        write(tmp_path, "new")
    assert os.listdir(tmp_path) == ["c.txt"]


@pytest.mark.parametrize(
    ("place", "size", "said"),
    [
        ("x" * 300, 0, "name too long"),
        ("/".join(["x" * 200] * 25), 0, "name too long"),
        ("file/below", 0, "not a directory"),
        ("deep/er", 10**17, "room for"),
    ],
)
def test_what_cannot_be_written_is_found_out_by_a_trial_that_leaves_nothing(place, size, said, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError) as told:
        check_folder(tmp_path / place, NAMES, size)
    assert said in str(told.value).lower()
    assert os.listdir(tmp_path) == ["file"]


def test_a_trial_that_goes_well_leaves_nothing(tmp_path):
    check_folder(tmp_path / "deep" / "er", NAMES, 1000)
    check_file(tmp_path / "file.json")
    with pytest.raises(InputError, match="new is no folder"):
        check_file(tmp_path / "new" / "file.json")
    assert os.listdir(tmp_path) == []
    write(tmp_path / "deep" / "er", "new")
    assert held(tmp_path / "deep" / "er") == dict.fromkeys(NAMES, "new")


@pytest.mark.parametrize("text", ["", "  ", "a\0b"])
def test_a_folder_has_a_name(text):
    with pytest.raises(InputError, match="folder"):
        folder_of(text)
