"""Check whether a window can be opened."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

SECONDS = 5.0  # time for a display server to answer; even a remote one takes a fraction of it
# Qt connects first and aborts if that fails, so another process, which may hang or crash, tries it.
CONNECT = """
from ctypes import CDLL, c_void_p
xcb = CDLL("libxcb.so.1")
xcb.xcb_connect.restype = c_void_p
raise SystemExit(1 if xcb.xcb_connection_has_error(c_void_p(xcb.xcb_connect(None, None))) else 0)
"""


def has_screen() -> bool:
    """Can a window be opened? On Linux a display server must answer; other systems are assumed to have a screen."""
    if not sys.platform.startswith("linux"):
        return True
    return _wayland(os.environ.get("WAYLAND_DISPLAY", "")) or _x11(os.environ.get("DISPLAY", ""))


def _x11(display: str) -> bool:
    """Does an X server accept a connection? It must be reachable and authorise us (`xauth`)."""
    if not display:
        return False
    try:
        words = [sys.executable, "-I", "-S", "-c", CONNECT]
        tried = subprocess.run(words, timeout=SECONDS, check=False, capture_output=True, stdin=subprocess.DEVNULL)
        return tried.returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _wayland(display: str) -> bool:
    """Does a server listen at a Wayland socket?"""
    if not display:
        return False
    path = Path(os.environ.get("XDG_RUNTIME_DIR", "")) / display  # an absolute path stays as it is
    with socket.socket(socket.AF_UNIX) as end:
        end.settimeout(SECONDS)
        try:
            end.connect(str(path))
        except (OSError, ValueError):
            return False
    return True
