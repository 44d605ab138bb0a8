"""Is there a screen that a window can be opened on?"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

SECONDS = 5.0  # for a server to answer; one far away takes a fraction of that
# What Qt does first, and dies of where it fails; so it is tried by a process that may hang or die.
CONNECT = """
from ctypes import CDLL, c_void_p
xcb = CDLL("libxcb.so.1")
xcb.xcb_connect.restype = c_void_p
raise SystemExit(1 if xcb.xcb_connection_has_error(c_void_p(xcb.xcb_connect(None, None))) else 0)
"""


def has_screen() -> bool:
    """Can a window be opened? On Linux that takes a display that answers; elsewhere there is one."""
    if not sys.platform.startswith("linux"):
        return True
    return _wayland(os.environ.get("WAYLAND_DISPLAY", "")) or _x11(os.environ.get("DISPLAY", ""))


def _x11(display: str) -> bool:
    """Does an X server let us in? That takes its address and its leave (`xauth`)."""
    if not display:
        return False
    try:
        words = [sys.executable, "-I", "-S", "-c", CONNECT]
        tried = subprocess.run(words, timeout=SECONDS, check=False, capture_output=True, stdin=subprocess.DEVNULL)
        return tried.returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _wayland(display: str) -> bool:
    """Does anybody listen at a Wayland socket?"""
    if not display:
        return False
    path = Path(os.environ.get("XDG_RUNTIME_DIR", "")) / display  # as it is, where it is absolute
    with socket.socket(socket.AF_UNIX) as end:
        end.settimeout(SECONDS)
        try:
            end.connect(str(path))
        except (OSError, ValueError):
            return False
    return True
