"""`evaluate sweep`: evaluate a method at all points of a grid of settings, on labelled cases or on one scan."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

import torch

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import settings_from
from napari_vqad.errors import InputError
from napari_vqad.evaluate import ped2, scan_sweep_command, sweep
from napari_vqad.evaluate.cases import folder_cases, simulated_cases
from napari_vqad.evaluate.threshold_options import add_threshold_options, own_thresholds
from napari_vqad.evaluate.variants import Over, check_methods
from napari_vqad.files.space import check_file
from napari_vqad.settings import Pooling, Scale, flag
from napari_vqad.train.data import load_stack


def add_command(kinds: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add `sweep` to the subcommands of `evaluate`."""
    swept = kinds.add_parser(
        "sweep", help="evaluate all points of a grid of settings, on labelled cases or on one scan"
    )
    swept.add_argument("bundle", help="name or folder of the bundle")
    swept.add_argument("--data", type=Path, help="folder of clips, labelled cases, or healthy scans")
    swept.add_argument("--method", nargs="+", help="sample-wise, or a restoration method; with --scan also several")
    words = "percentiles such as p60; λ_p of light is λ_LP of Ishii 2023"
    add_threshold_options(swept, words=words, default=None, nargs="+", metavar="L")
    swept.add_argument("-S", "--n-restorations", nargs="+", metavar="S")
    swept.add_argument("-k", nargs="+", metavar="K")
    swept.add_argument("--of", default="healthy", choices=("healthy", "all"), help="codes to which percentiles refer")
    swept.add_argument("--by", default="balanced", choices=tuple(sweep.MEASURES), help="measure for the best point")
    swept.add_argument("--pooling", nargs="+", choices=get_args(Pooling), help="default with --data: 2d for clips")
    swept.add_argument("--score", nargs="+", choices=get_args(Scale))
    swept.add_argument("--plot", type=Path, help="file for a plot, as PNG")
    swept.add_argument("--write", type=Path, help="file for the best point, for score --settings")
    swept.add_argument("--keep", type=Path, help="folder for results of cases, to continue later")
    scan_sweep_command.add_options(swept)
    swept.set_defaults(func=run_sweep)
    return swept


def run_sweep(args: argparse.Namespace) -> int:
    """Sweep settings on one scan, or on the validation part of clips, a folder of cases, or simulated anomalies.

    Raises:
        InputError: the options do not fit together.
    """
    _check_options(args)
    torch.set_num_threads(args.threads)
    bundle = Bundle.load(args.bundle, args.device)
    if args.scan:
        return scan_sweep_command.run_scan(args, bundle)
    (method,) = args.method
    check_methods([bundle], [method])
    for path in (args.plot, args.write):
        if path:
            check_file(path)
    spec, clips = bundle.config.grid, bundle.config.grid.kind == "clip"
    if clips:
        cases, on = list(ped2.clip_cases(args.data, "validation", spec)), f"the validation part of {args.data.name}"
    elif (args.data / "cases.csv").exists():
        cases, on = list(folder_cases(args.data, spec, bundle.template)), f"the cases of {args.data.name}"
    else:
        stack = load_stack(args.data, "validation", spec, bundle.template)
        cases, on = list(simulated_cases(stack, spec)), f"simulated anomalies, validation part of {args.data.name}"
    given = scan_sweep_command.given_settings(args)
    chosen = {name: given.pop(name) for name in _swept() if name in given}
    fixed = ({"pooling": "2d"} if clips else {}) | {name: value for name, (value,) in given.items()}
    settings = bundle.validated(settings_from(fixed | ({"slices": tuple(args.slices)} if args.slices else {})))
    over: Over = "mean" if clips else "max"
    points = sweep.sweep(bundle, cases, settings, method, chosen, args.of == "all", over, args.keep, _say)
    best = sweep.best_of(points, args.by)
    print(f"\n{sweep.table(points, args.by)}\n\nBest by {sweep.MEASURES[args.by][0]} on {on}: {best.name}.")
    if args.plot:
        sweep.plot(points, args.by, args.plot)
    if args.write:
        sweep.write_choice(best, args.by, bundle, on, args.write)
    return 0


def _swept() -> tuple[str, ...]:
    """Return the settings that are swept on labelled cases."""
    return (*own_thresholds(), "n_restorations", "k")


def _check_options(args: argparse.Namespace) -> None:
    """Check which options are given together."""
    if bool(args.scan) == bool(args.data):
        raise InputError("Give either --data with labelled cases, or --scan with one scan.")
    lone = [word for word in ("mask", "label", "csv") if getattr(args, word)]
    of_cases = [word for word in ("plot", "write") if getattr(args, word)]
    if args.data and lone:
        raise InputError(f"--{lone[0]} is for --scan; --data has files of its own.")
    if args.scan and (of_cases or args.of != "healthy"):
        raise InputError(f"--{of_cases[0] if of_cases else 'of all'} is for --data; with --scan there is --csv.")
    if args.data and len(args.method or ()) != 1:
        raise InputError("--data needs one --method: sample-wise, or a restoration method.")
    for name, values in scan_sweep_command.given_settings(args).items() if args.data else ():
        if len(values) > 1 and name not in _swept():
            raise InputError(f"{flag(name)} takes one value with --data; several are swept with --scan.")


def _say(line: str) -> None:
    print(line, flush=True)
