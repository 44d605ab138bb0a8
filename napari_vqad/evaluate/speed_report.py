"""`napari-vqad bench`: all measurements in one run, as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings
from napari_vqad.evaluate import speed
from napari_vqad.files.atomic import write_text

Viewer = Callable[[int], dict]  # number of rounds → measurements of `ui.latency.run`


def run(bundle: Bundle, quick: bool, viewer: Viewer | None, report: Callable[[str], None]) -> dict:
    """Run all measurements.

    Args:
        bundle: the model.
        quick: use fewer slices and rounds.
        viewer: a function that measures the sliders in a viewer; if None, only the volume is timed.
        report: called with a line of text for each step.

    Returns:
        The content of the JSON file: `ratios`, `latency_ms`, `volume_seconds`, `gui_longest_frame_ms`,
        `peak_memory_mb`, `passes`, and the measurements from which they were computed.
    """
    chains, grid = Settings().n_restorations, speed.sample_grid(bundle)
    found: dict = {"bundle": bundle.name, "quick": quick, "machine": speed.machine(bundle.device)}
    # This is measured before the viewer opens, because its threads and drawing would add to the times.
    slices, n = speed.coded(bundle, grid), len(grid)
    compared = [n // 2] if quick else [n // 4, 2 * n // 5, n // 2, 2 * n // 3]
    found["restoration"] = loops = speed.loops(slices.take(compared), chains, report)
    report("passes …")
    found["passes"], found["mean_passes"] = speed.passes(slices.take(range(0, n, 12 if quick else 1)), chains)
    report("anchored against light, decode included …")
    eight, tries = range(n // 3, n // 3 + 8), 1 if quick else 5
    found["with_decode_seconds"] = decoded = speed.with_decode(bundle, grid, eight, chains, tries)
    found["ratios"] = {
        **{f"{m}_vs_loop": loops[m]["loop_seconds"] / loops[m]["exact_seconds"] for m in speed.EXACT},
        "anchored_vs_light_total": decoded["anchored"] / decoded["light"],
    }
    report("a whole volume …")
    if viewer is None:
        alone = speed.volume(bundle, grid, Settings())
        found |= {"volume_seconds": sum(alone[k] for k in ("nll", "restoration")), "slices": alone["slices"]}
        found |= {"latency_ms": None, "gui_longest_frame_ms": None}
    else:
        found |= viewer(1 if quick else 3)
        if not quick:
            found["volume_alone_seconds"] = speed.volume(bundle, grid, Settings())
    found["peak_memory_mb"] = speed.peak_memory_mb()
    if not quick:
        report("the same with S = 30 …")
        speed.volume(bundle, grid, Settings(n_restorations=30))
        found["peak_memory_mb_at_s30"] = speed.peak_memory_mb()

    found["gflop"] = speed.work_of(bundle)
    found["paper_size"] = speed.paper_size(bundle.device, chains, quick, report)
    found["machine_after"] = speed.machine(bundle.device)
    return found


def table(found: dict) -> str:
    """Make Markdown tables of the measurements."""
    m, loops, paper, decoded = (found[k] for k in ("machine", "restoration", "paper_size", "with_decode_seconds"))
    slices, bins = loops["anchored"]["slices"], sorted({b for p in found["passes"].values() for b in p}, key=float)
    lines = [
        f"{found['bundle']} on {m['device']}, {m['threads']} threads, torch {m['torch']}, {m['date']}; "
        f"matrix product {m['matmul_gflops']:.0f} GFLOP/s before, {found['machine_after']['matmul_gflops']:.0f} after",
        "",
        f"| restoration, S = 15, λ_p at p90, {slices} slice(s) | loop | here | ratio |",
        "|---|---|---|---|",
    ]
    for name, one in loops.items():
        mean = found["mean_passes"][name]
        lines.append(
            f"| {name}, ms a slice | {1e3 * one['loop_seconds'] / slices:.0f} ({one['loop_passes']} passes) | "
            f"{1e3 * one['exact_seconds'] / slices:.0f} ({mean:.2f} passes) | "
            f"{one['loop_seconds'] / one['exact_seconds']:.0f}× |"
        )
    differ = sum(one["codes_that_differ"] for one in loops.values())
    lines += [
        f"| anchored against light, decode included, s for 8 slices | light {decoded['light']:.2f} | "
        f"anchored {decoded['anchored']:.2f} | {found['ratios']['anchored_vs_light_total']:.2f}× |",
        "",
        f"Codes that differ between loop and here: {differ}.",
        "",
        "| passes of a chain, at most | " + " | ".join(bins) + " |",
        "|---" * (len(bins) + 1) + "|",
        *(f"| {name} | " + " | ".join(str(p.get(b, 0)) for b in bins) + " |" for name, p in found["passes"].items()),
        "",
    ]
    if found["latency_ms"] is None:
        lines += latency_table("in the viewer", {})
        lines.append("| no screen here: run it under xvfb-run to measure the sliders | | |")
    else:
        lines += latency_table("in the viewer", found["latency_ms"])
        drag = found["drag"]
        lines += [
            f"| λ_p dragged over {drag['places']} places in {drag['seconds']:.1f} s: pictures meanwhile | "
            f"{drag['pictures_meanwhile']} | the last {drag['settled_ms']:.0f} ms after letting go |",
            f"| longest stay of our code in the GUI thread | {found['gui_longest_frame_ms']:.0f} ms | |",
        ]
    lines += [
        f"| {found['slices']} slices, S = 15, scan to pixel score | {found['volume_seconds']:.1f} s | |",
        f"| peak memory of the process | {found['peak_memory_mb']:.0f} MB | |",
        "",
        "| the paper's size (simplified PixelSNAIL), random weights, one slice, S = 15 | passes | seconds |",
        "|---|---|---|",
        f"| one pass of 15 chains | 1 | {paper['pass_seconds']:.2f} |",
        f"| loop (passes × one pass) | {paper['loop_passes']} | {paper['loop_seconds_estimated']:.0f} |",
        *(
            f"| {name} | {paper[f'{name}_passes']:.2f} | {paper[f'{name}_seconds']:.2f} |"
            for name in ("light", *speed.EXACT)
        ),
    ]
    return "\n".join(lines)


def latency_table(where: str, latency_ms: dict[str, dict]) -> list[str]:
    """The head of a table of latencies, and a line for each slider: the name of its setting, or what it is called."""
    lines = [f"| {where} | median | 95th percentile |", "|---|---|---|"]
    for name, ms in latency_ms.items():
        title = Settings.model_fields[name].title if name in Settings.model_fields else name
        if "new" in ms:
            title = f"{title}, {ms['new']} of {ms['n']} moves, those that restore the slice in view"
        lines.append(f"| {title}, slider to picture | {ms['median']:.0f} ms | {ms['p95']:.0f} ms |")
    return lines


def write(found: dict, path: Path) -> None:
    """Write the measurements as JSON.

    Raises:
        InputError: the file cannot be written.
    """
    write_text(path, json.dumps(found, indent=1, ensure_ascii=False) + "\n")
