"""Speed and memory on this computer: restorations compared with the reference loop, and a whole volume.

Times depend on what else the computer does. Ratios within one run are more reliable. A matrix product, measured in the
same run, shows the speed of the computer at that time.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings
from napari_vqad.detectors.vq.detector import VQDetector, vq_of
from napari_vqad.detectors.vq.gumbel import gumbel_batch
from napari_vqad.detectors.vq.restoration import first_pass, restore
from napari_vqad.detectors.vq.settings import Method, VQSettings
from napari_vqad.engine.explorer import Explorer
from napari_vqad.evaluate.reference_loop import restore_by_loop
from napari_vqad.imaging.grid import Grid
from napari_vqad.imaging.layout import to_grid
from napari_vqad.io.nifti import read_mask, read_scan
from napari_vqad.nets.device import at_once
from napari_vqad.nets.vq.pixelsnail import PixelSNAIL, PixelSnailConfig
from napari_vqad.nets.vq.protocols import LevelledPrior, Prior
from napari_vqad.nets.vq.registry import make_own
from napari_vqad.resources import samples_folder
from napari_vqad.train.recipe import Recipe

EXACT = ("sequential", "anchored")
T = TypeVar("T")
TIE = 1e-4  # nats; rounding may change closer decisions (tests/detectors/vq/test_restoration.py)


def machine(device: torch.device) -> dict:
    """Describe the computer, and measure its float32 rate for a matrix product."""
    a = torch.randn(2048, 2048, device=device)
    seconds = min(_timed(device, lambda: a @ a)[0] for _ in range(5))
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_name()
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "device": f"{device.type}: {name}",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "matmul_gflops": round(2 * 2048**3 / seconds / 1e9, 1),
    }


@dataclass(frozen=True)
class Slices:
    """Encoded slices: prior, codes (n, h, w), position (n,), numbers of the slices, and λ_p in nats."""

    prior: Prior
    codes: torch.Tensor
    position: torch.Tensor
    indices: list[int]
    lambda_p: float

    @property
    def places(self) -> int:
        """Number of codes per slice."""
        return int(self.prior.levels.is_code.sum()) if isinstance(self.prior, LevelledPrior) else self.codes[0].numel()

    def take(self, rows: Sequence[int]) -> Slices:
        """Return the slices at some rows."""
        chosen = list(rows)
        indices = [self.indices[r] for r in chosen]
        return Slices(self.prior, self.codes[chosen], self.position[chosen], indices, self.lambda_p)

    def noise(self, chains: int) -> torch.Tensor:
        """Generate Gumbel noise (n, S, K, h, w) for S = `chains` restorations of each slice."""
        height, width = self.codes.shape[1:]
        drawn = gumbel_batch(0, self.indices, range(chains), self.prior.n_codes, (height, width))
        return torch.from_numpy(drawn).to(self.codes.device)


def sample_grid(bundle: Bundle) -> Grid:
    """Load the sample head with lesions on the bundle's grid."""
    scan = read_scan(samples_folder() / "lesions_t1.nii.gz")
    return to_grid(
        scan, read_mask(samples_folder() / "lesions_brain.nii.gz", scan), bundle.config.grid, template=bundle.template
    )


def coded(bundle: Bundle, grid: Grid) -> Slices:
    """Encode all slices of a grid; λ_p is the healthy 90th percentile."""
    codes = torch.from_numpy(vq_of(bundle).encode(grid.slices, grid.position)).long().to(bundle.device)
    position = torch.from_numpy(grid.position).to(bundle.device)
    return Slices(vq_of(bundle).causal, codes, position, list(range(len(grid))), bundle.calibration.value("nll", "p90"))


@torch.inference_mode()
def loops(slices: Slices, chains: int, report: Callable[[str], None]) -> dict:
    """Compare each method in `EXACT` with its reference loop: seconds for all slices, and number of different codes."""
    device, rows, found = slices.codes.device, range(len(slices.indices)), {}
    size = max(1, at_once(device) // chains)
    lots = [slices.take(rows[i : i + size]) for i in range(0, len(rows), size)]
    noises = [lot.noise(chains) for lot in lots]
    for method in EXACT:
        report(f"{method}: {len(rows)} slice(s) code by code …")
        by_loop = []
        loop_seconds = 0.0
        for lot, noise in zip(lots, noises, strict=True):
            for i in range(len(lot.indices)):
                what = (lot.codes[i], lot.position[i], noise[i], lot.lambda_p, method)
                seconds, one = _timed(device, restore_by_loop, slices.prior, *what)
                loop_seconds += seconds
                by_loop.append(one)
        quick_seconds, quick = _timed(device, _all_lots, lots, noises, method, best_of=5)
        clear = torch.stack([closest > TIE for _, closest in by_loop])
        same = torch.stack([codes for codes, _ in by_loop]) == quick
        found[method] = {
            "slices": len(rows),
            "loop_seconds": loop_seconds,
            "loop_passes": slices.places + 1,
            "exact_seconds": quick_seconds,
            "codes_that_differ": int((~same[clear]).sum()),
            "chains_near_a_tie": int((~clear).sum()),
        }
    return found


def _all_lots(lots: list[Slices], noises: list[torch.Tensor], method: str) -> torch.Tensor:
    done = [
        restore(first_pass(lot.prior, lot.codes, lot.position, noise), lot.lambda_p, method).codes
        for lot, noise in zip(lots, noises, strict=True)
    ]
    return torch.cat(done)


@torch.inference_mode()
def passes(slices: Slices, chains: int) -> tuple[dict[str, dict[str, int]], dict[str, float]]:
    """Count the passes of each restoration, in units of a whole grid.

    Returns:
        Histograms, method → upper end of a bin of width 0.5 → number of restorations; and means, method → passes.
    """
    found, mean = {}, {}
    for method in (*EXACT, "light"):
        taken = []
        for row in range(len(slices.indices)):
            one = slices.take([row])
            begun = first_pass(one.prior, one.codes, one.position, one.noise(chains))
            taken.append(restore(begun, one.lambda_p, method).passes.flatten().cpu())
        each = torch.cat(taken).numpy()
        bins, counts = np.unique(np.ceil(each * 2) / 2, return_counts=True)
        found[method], mean[method] = {f"{b:g}": int(n) for b, n in zip(bins, counts, strict=True)}, float(each.mean())
    return found, mean


def with_decode(bundle: Bundle, grid: Grid, rows: Sequence[int], chains: int, tries: int) -> dict[str, float]:
    """Measure the seconds from codes to differences of some slices for "anchored" and "light", as in the engine."""
    found: dict[str, float] = {}
    detector, chosen = vq_of(bundle), list(rows)
    pictures = at_once(bundle.device)
    codes = detector.encode(grid.slices[chosen], grid.position[chosen])
    nll = detector.nll(codes, grid.position[chosen])
    lambda_p = bundle.calibration.value("nll", "p90")

    def run(method: Method) -> None:
        size = max(1, pictures // chains)
        for start in range(0, len(chosen), size):
            lot = slice(start, start + size)
            place, indices = grid.position[chosen[lot]], chosen[lot]
            # A new detector, because a used one has stored noise and first pass.
            fresh = VQDetector(detector.config, detector.tokenizer, detector.prior)
            settings = VQSettings(method=method, lambda_p=lambda_p)
            drawn = fresh.restore(codes[lot], nll[lot], place, indices, range(chains), settings)
            detector.difference(grid.slices[indices], drawn, place, max(1, pictures // 2))

    methods: tuple[Method, ...] = ("anchored", "light")
    for method in methods:
        found[method] = _timed(bundle.device, run, method, best_of=tries)[0]
    return found


def volume(bundle: Bundle, grid: Grid, settings: Settings) -> dict[str, float]:
    """Measure the seconds from a scan on the grid to its pixel score, without a viewer."""
    explorer = Explorer(bundle, settings)
    explorer.load_grid(grid)
    started = time.perf_counter()
    for _ in explorer.work(("nll",)):
        pass
    nll = time.perf_counter()
    for _ in explorer.work(("restoration",)):
        pass
    explorer.map("pixel_score")
    _wait(bundle.device)
    return {"nll": nll - started, "restoration": time.perf_counter() - nll, "slices": len(grid)}


@torch.inference_mode()
def paper_size(device: torch.device, chains: int, quick: bool, report: Callable[[str], None]) -> dict:
    """Measure a pass, a picture and a restoration with networks of the size in Marimont & Tarroni 2020.

    Weights are random. The time of the reference loop is estimated as its number of passes times the time of one pass.
    Codes are compared with those of the loop for one restoration, unless `quick`.
    """
    report("the paper's size, random weights …")
    recipe = Recipe.read("paper-160")
    torch.manual_seed(0)
    tokenizer = make_own(recipe.tokenizer).eval().to(device)
    # The simplified PixelSNAIL of the bundles, with the width and depth of the paper; published times are of this one.
    prior = (
        PixelSNAIL(PixelSnailConfig(channels=128, blocks=4, res_blocks=4), recipe.tokenizer.n_codes).eval().to(device)
    )
    for parameter in prior.parameters():  # some initial weights are zero, and the prior would ignore its context
        torch.nn.init.normal_(parameter, std=0.05)
    side = recipe.grid.shape[0] // tokenizer.stride
    codes = torch.randint(recipe.tokenizer.n_codes, (1, side, side), device=device)
    place = torch.zeros(1, device=device)
    slices = Slices(prior, codes, place, [0], 0.0)
    noise = slices.noise(chains)
    begun = first_pass(prior, codes, place, noise)
    nll = -begun.log_p.gather(1, codes[:, None])
    lambda_p = float(nll.quantile(0.9))
    x, at = codes.expand(chains, -1, -1), place.expand(chains)
    pass_seconds, _ = _timed(device, prior.logits, x, at, best_of=2)
    with FlopCounterMode(display=False) as flops:
        prior.logits(codes, place)
    found = {
        "codes": side * side,
        "pass_seconds": pass_seconds,
        "pass_gflops": chains * flops.get_total_flops() / 1e9,
        "loop_passes": side * side + 1,
        "loop_seconds_estimated": pass_seconds * (side * side + 1),
    }
    for method in ("light", *EXACT):
        seconds, done = _timed(device, lambda m=method: restore(first_pass(prior, codes, place, noise), lambda_p, m))
        found[f"{method}_seconds"], found[f"{method}_passes"] = seconds, float(done.passes.mean())
        if method in EXACT and not quick:
            by_loop, closest = restore_by_loop(prior, codes[0], place[0], noise[0, :1], lambda_p, method)
            if closest > TIE:  # closer to a tie, a difference would mean nothing
                found[f"{method}_codes_that_differ"] = int((by_loop[0] != done.codes[0, 0]).sum())
    if not quick:
        found["picture_seconds"], _ = _timed(device, tokenizer.decode, codes, place)
        with FlopCounterMode(display=False) as flops:
            tokenizer.decode(codes, place)
        found["picture_gflops"] = flops.get_total_flops() / 1e9
    return found


def work_of(bundle: Bundle) -> dict[str, float]:
    """Count the GFLOP of a pass of the prior over one slice, and of one decoded picture."""
    codes, place = torch.zeros(1, *vq_of(bundle).levels.shape, dtype=torch.long), torch.zeros(1)
    found = {}
    for name, run in (("pass", vq_of(bundle).causal.logits), ("picture", vq_of(bundle).tokenizer.decode)):
        with torch.no_grad(), FlopCounterMode(display=False) as flops:
            run(codes.to(bundle.device), place.to(bundle.device))
        found[name] = flops.get_total_flops() / 1e9
    return found


def peak_memory_mb() -> float:
    """Return the peak memory of this process, MB; NaN if the system does not report it (Windows)."""
    try:
        import resource
    except ImportError:
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _timed(device: torch.device, run: Callable[..., T], *args: object, best_of: int = 1) -> tuple[float, T]:
    """Run a function `best_of` times; return the shortest time in seconds, and the last result."""
    taken = []
    for _ in range(best_of):
        _wait(device)
        started = time.perf_counter()
        found = run(*args)
        _wait(device)
        taken.append(time.perf_counter() - started)
    return min(taken), found


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
