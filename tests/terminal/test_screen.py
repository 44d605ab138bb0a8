"""A screen counts when a window can be opened on it, and not when a variable says that there is one."""

import os
import shutil
import socket
import subprocess
import sys
import time

import pytest

from napari_vqad.cli import main
from napari_vqad.scoring import has_screen
from napari_vqad.terminal import screen

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a screen")


@pytest.fixture(autouse=True)
def nothing(monkeypatch, tmp_path):
    """Neither a display nor a runtime folder."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@pytest.mark.parametrize(
    "display", ["", ":7321", "localhost:7321", "nonsense", "unix:/nowhere", "no.such.host.invalid:0"]
)
def test_a_display_that_nobody_serves_is_none(display, monkeypatch):
    monkeypatch.setenv("DISPLAY", display)
    began = time.monotonic()
    assert not has_screen()
    assert time.monotonic() - began < screen.SECONDS + 2


def test_a_server_that_does_not_answer_is_none(monkeypatch):
    monkeypatch.setattr(screen, "SECONDS", 0.3)
    for port in range(6090, 6200):
        with socket.socket() as silent:
            try:
                silent.bind(("127.0.0.1", port))
            except OSError:
                continue
            silent.listen()
            monkeypatch.setenv("DISPLAY", f"127.0.0.1:{port - 6000}")
            assert not has_screen()
            return


@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="needs Xvfb")
def test_a_display_that_is_served_is_one_until_it_ends(monkeypatch):
    read, write = os.pipe()
    words = ["Xvfb", "-displayfd", str(write), "-nolisten", "tcp"]
    server = subprocess.Popen(words, pass_fds=[write], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(write)
    try:
        monkeypatch.setenv("DISPLAY", f":{os.read(read, 20).decode().strip()}")
        assert has_screen()
    finally:
        os.close(read)
        server.terminate()
        server.wait()
    assert not has_screen()


def test_wayland_counts_when_somebody_listens(monkeypatch, tmp_path):
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert not has_screen()
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(tmp_path / "wayland-0"))
        end.listen()
        assert has_screen()
    assert not has_screen()


def test_demo_without_a_served_display_writes_files(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("DISPLAY", ":7321")
    asked = []

    class Done:
        def summary(self):
            return "Nothing."

    monkeypatch.setattr("napari_vqad.scoring.score", lambda scan, out, **_: asked.append(out) or Done())
    assert main(["demo", "-o", str(tmp_path / "out")]) == 0
    assert asked == [str(tmp_path / "out")]
    assert "There is no screen here" in capsys.readouterr().out
