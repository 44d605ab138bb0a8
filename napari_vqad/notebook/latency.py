"""Measure how quickly the controls respond in JupyterLab, in a real browser.

A latency is the time from a key on a slider until the browser has drawn the new picture: the canvas, whose pixels are
read back so that the drawing is finished, or, for λ_s, which changes no voxel, the profile of the slices. For λ_p it
ends when the slice in view shows its new restorations; the rest of the volume is then still being restored.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from napari_vqad.display.controls import control_of
from napari_vqad.notebook import lab

MOVES = 8  # of each slider in a round
SETTLE = 400  # ms between two moves
UNCHANGED = 20_000  # ms after which a move counts as one that changes no picture
# Notes when the canvas was drawn anew, and when the profile changed.
WATCH = """() => {
  window.vqad = { canvas: [], profile: [], text: [] };
  const note = (list) => list.push(performance.now());
  for (const name of ["drawArrays", "drawElements"]) {
    const draw = WebGL2RenderingContext.prototype[name];
    WebGL2RenderingContext.prototype[name] = function (...given) {
      draw.apply(this, given);
      if (window.vqad.waiting) return;
      window.vqad.waiting = true;
      queueMicrotask(() => {
        this.readPixels(0, 0, 1, 1, this.RGBA, this.UNSIGNED_BYTE, new Uint8Array(4));
        window.vqad.waiting = false;
        window.vqad.canvas.push(performance.now());
      });
    };
  }
}"""
WATCH_PAGE = """() => {
  const watch = (at, list) => new MutationObserver(() => list.push(performance.now())).observe(
    document.querySelector(at), { childList: true, subtree: true, characterData: true, attributes: true });
  watch(".vqad-profile", window.vqad.profile);
  addEventListener("keydown", () => (window.vqad.key = performance.now()), true);
}"""
CLEAR = "() => { for (const name of ['canvas', 'profile']) window.vqad[name].length = 0; window.vqad.key = null; }"
# The first picture that is complete: that of the canvas once no sentence says that it is from earlier settings.
DONE = """(list) => {
  const old = [...document.querySelectorAll(".vqad-amber")].some((e) => e.textContent.includes("have changed"));
  const { key, canvas, profile } = window.vqad, times = list === "profile" ? profile : canvas;
  if (!key || old) return null;
  const of = list === "restored" ? times.at(-1) : times.find((t) => t > key);
  return of > key ? of - key : null;
}"""
# What each control changes, the view to look at, and which list above notes it.
CONTROLS = {
    "lambda_s": ("Score", "profile"),
    "k": ("Score", "canvas"),
    "n_restorations": ("Score", "canvas"),
    "Opacity": ("Score", "canvas"),
    "lambda_p": ("Restoration", "restored"),
}


def run(bundle: str, device: str, rounds: int, report: Callable[[str], None]) -> dict[str, dict]:
    """Explore the sample head in JupyterLab, and move each slider `rounds` × `MOVES` times.

    Returns control → median, p95 (ms) and n of its latencies.

    Raises:
        RuntimeError: JupyterLab, Playwright or the browser is missing.
    """
    if words := lab.missing():
        raise RuntimeError(words)
    with tempfile.TemporaryDirectory(prefix="napari-vqad-bench-") as folder:
        code = (
            f"import napari_vqad\nnapari_vqad.explore(napari_vqad.sample_scan(), model={bundle!r}, device={device!r})"
        )
        with lab.open_notebook(lab.write_notebook(Path(folder) / "bench.ipynb", [code])) as page:
            page.evaluate(WATCH)
            report("a whole volume in JupyterLab …")
            lab.run_all(page)
            page.wait_for_selector("text=Ready.", timeout=3 * lab.LIMIT)
            page.wait_for_selector(".vqad canvas")
            page.wait_for_timeout(5 * SETTLE)
            page.evaluate(WATCH_PAGE)
            found = {}
            for name, (view, kind) in CONTROLS.items():
                report(f"{name} in JupyterLab …")
                page.click(f".vqad button:text-is('{view}')")
                page.wait_for_timeout(3 * SETTLE)
                found[name] = _slide(page, name, kind, rounds)
                report(f"{name} took {found[name]['median']:.0f} ms, 95th percentile {found[name]['p95']:.0f} ms")
            return found


def slider(page: Any, name: str) -> Any:
    """The handle of the slider of a setting, or of a control with another title."""
    title = name if name == "Opacity" else control_of(name).title
    return page.locator(".vqad .widget-slider", has=page.locator(f"label:text-is('{title}')")).locator(".noUi-handle")


def _slide(page: Any, name: str, kind: str, rounds: int) -> dict:
    from playwright.sync_api import TimeoutError as TooLateError

    handle, taken = slider(page, name), []
    handle.focus()
    for turn in range(rounds):
        for _ in range(MOVES):
            page.evaluate(CLEAR)
            page.keyboard.press("ArrowLeft" if turn % 2 == 0 else "ArrowRight")
            with suppress(TooLateError):  # nothing was drawn: no code of the slice lies between the two λ_p
                taken.append(page.wait_for_function(DONE, arg=kind, polling=20, timeout=UNCHANGED).json_value())
            page.wait_for_timeout(SETTLE)
        if kind == "restored":
            page.wait_for_selector("text=Ready.", timeout=3 * lab.LIMIT)
    return {"median": float(np.median(taken)), "p95": float(np.percentile(taken, 95)), "n": len(taken)}
