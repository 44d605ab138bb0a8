"""`evaluate steps`: draw a restoration after some of its draws."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import settings_from
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.evaluate import restoration_steps
from napari_vqad.evaluate.scan_input import index_of, read_input
from napari_vqad.evaluate.threshold_options import add_threshold_options
from napari_vqad.evaluate.variants import settings_of
from napari_vqad.files.space import check_file
from napari_vqad.resources import DEFAULT_BUNDLE


def add_command(kinds: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add `steps` to the subcommands of `evaluate`."""
    steps = kinds.add_parser("steps", help="draw a restoration of a slice or frame after some of its draws")
    steps.add_argument("scan", type=Path, help="head scan, or clip (npz)")
    steps.add_argument("-o", "--out", type=Path, required=True, help="file for the figure, as PNG")
    steps.add_argument("--slice", type=int, required=True, metavar="N", help="slice number of the viewer, or frame")
    steps.add_argument("--mask", type=Path, help="brain mask of a head; default: computed")
    steps.add_argument("--method", default="sequential", help="restoration method")
    add_threshold_options(steps, words="a healthy percentile, or tuned", only=("lambda_p",))
    steps.add_argument("--restoration", type=int, default=1, metavar="J", help="number of the restoration, from 1")
    steps.add_argument("--after", type=int, nargs="+", default=(0, 10, 20, 30), metavar="N", help="numbers of draws")
    steps.add_argument("--bundle", default=DEFAULT_BUNDLE)
    steps.set_defaults(func=run_steps)
    return steps


def run_steps(args: argparse.Namespace) -> int:
    """Draw a restoration after some of its draws."""
    check_file(args.out)
    torch.set_num_threads(args.threads)
    bundle = Bundle.load(args.bundle, args.device)
    if args.restoration < 1:
        raise InputError("--restoration counts from 1.")
    chosen = {"lambda_p": args.lambda_p, "n_restorations": args.restoration, "slices": (args.slice, args.slice)}
    settings = settings_from({**settings_of(bundle, args.method), **chosen})
    explorer = Explorer(bundle, settings)
    scan = read_input(args.scan, bundle.config.grid.kind, args.mask)
    grid = explorer.load_scan(scan.volume, scan.mask)
    explorer.focus = index_of(grid, args.slice, str(args.scan))
    explorer.finish()
    figure = restoration_steps.draw(explorer, explorer.focus, args.restoration - 1, args.after)
    restoration_steps.write(figure, args.out)
    print(f"Wrote {args.out}")
    return 0
