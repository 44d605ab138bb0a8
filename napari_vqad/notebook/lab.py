"""JupyterLab in a headless browser: opens a notebook, runs it, and hands over the page.

The latencies of `napari-vqad bench --notebook` and the tests are measured with it. It needs JupyterLab, Playwright for
Python and Debian's chromium, which draws WebGL in software here; no browser is downloaded.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.request import urlopen

SIZE = (1366, 768)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SOFTWARE_WEBGL = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox")
NO_WEBGL = ("--disable-gpu", "--disable-3d-apis", "--no-sandbox")
START = 60.0  # s until JupyterLab must answer
LIMIT = 300_000.0  # ms; a longer wait for the page means that something hangs
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}


def missing() -> str:
    """What is missing for a notebook in a browser, as a sentence; empty if nothing is."""
    modules = [name for name in ("jupyterlab", "playwright", "ipyniivue") if find_spec(name) is None]
    if modules:
        return f"{' and '.join(modules)} not installed; run: pip install 'napari-vqad[notebook]' jupyterlab playwright."
    return "" if browser() else "There is no chromium on this machine; run: apt-get install chromium."


def browser() -> str | None:
    """The path of the machine's browser; None if there is none."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def write_notebook(path: Path, cells: Sequence[str]) -> Path:
    """Write a notebook with these code cells."""
    content = {
        "cells": [
            {"cell_type": "code", "id": f"cell-{i}", "metadata": {}, "execution_count": None, "outputs": []}
            | {"source": text}
            for i, text in enumerate(cells)
        ],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@contextmanager
def open_notebook(path: Path, theme: str = "light", flags: Sequence[str] = SOFTWARE_WEBGL) -> Iterator[Any]:
    """Open a notebook in JupyterLab, in a browser of `SIZE`; yields Playwright's page, and ends both at the end."""
    from playwright.sync_api import sync_playwright

    with _server(path.parent, theme) as address, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser(), args=list(flags))
        try:
            page = chromium.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
            page.set_default_timeout(LIMIT)
            page.goto(address.format(path=f"lab/tree/{path.name}"))
            page.wait_for_selector(".jp-Notebook .jp-Cell")
            yield page
        finally:
            chromium.close()


def run_all(page: Any) -> None:
    """Start to run all cells. JupyterLab ignores the command until its notebook is connected to the kernel."""
    page.wait_for_selector(".jp-StatusBar-TextItem:has-text('| Idle')")
    page.evaluate("() => void window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_selector(".jp-InputPrompt:has-text('[*]'), .jp-OutputArea-output")


@contextmanager
def _server(folder: Path, theme: str) -> Iterator[str]:
    """JupyterLab on a loopback port, with a home of its own; yields an address with a place for `path`."""
    port, token = _free_port(), secrets.token_hex(16)
    home = folder / ".jupyter-home"
    settings = home / "lab" / "user-settings" / "@jupyterlab"
    for name, content in {
        "apputils-extension/themes": {"theme": THEMES[theme]},
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    }.items():
        file = (settings / name).with_suffix(".jupyterlab-settings")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content), encoding="utf-8")
    own = {f"JUPYTER_{name}": str(home / name.lower()) for name in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")}
    own |= {"JUPYTERLAB_SETTINGS_DIR": str(settings.parent), "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces")}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}"]
    command += [f"--IdentityProvider.token={token}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}"]
    command += ["--LabApp.expose_app_in_browser=True", "--allow-root"]
    with (home / "log").open("w", encoding="utf-8") as log:
        server = subprocess.Popen(command, env=os.environ | own, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
        try:
            _wait_for(f"http://127.0.0.1:{port}/api?token={token}", server, home / "log")
            yield f"http://127.0.0.1:{port}/{{path}}?token={token}"
        finally:
            server.terminate()
            server.wait(30)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_for(address: str, server: subprocess.Popen, log: Path) -> None:
    until = time.monotonic() + START
    while time.monotonic() < until and server.poll() is None:
        try:
            with urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError(f"JupyterLab did not start: {log.read_text(encoding='utf-8')[-500:]}")
