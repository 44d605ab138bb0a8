"""`evaluate spread`: how much restorations and their scores vary (claims A-6, A-7 and B-12 of the papers)."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

import numpy as np
import torch

from napari_vqad.detectors.settings import Settings, settings_from
from napari_vqad.errors import InputError
from napari_vqad.evaluate import ped2, spread
from napari_vqad.evaluate.bundles import load_bundles
from napari_vqad.evaluate.cases import Case, labelled_cases
from napari_vqad.evaluate.variants import check_methods
from napari_vqad.settings import Pooling


def add_command(kinds: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add `spread` to the subcommands of `evaluate`."""
    parser: argparse.ArgumentParser = kinds.add_parser(
        "spread",
        help="how much restorations vary, and the scores that are made of them",
        description="Prints the SD among the restorations of a slice, the SD among scores that are each made of some "
        "of them, and the voxel AP, for each bundle, method and λ_p. Brackets hold 95 % bootstrap intervals, with "
        "subjects or runs of frames drawn anew. Scores are the papers', in SD of intensity.",
    )
    parser.add_argument("bundles", nargs="+", help="names or folders of bundles, all of heads or all of clips")
    parser.add_argument("--data", type=Path, required=True, help="folder of labelled scans, or of clips")
    parser.add_argument("--part", default="test", choices=("validation", "test"), help="of clips; default: test")
    parser.add_argument("--methods", nargs="+", default=["sequential", "light"], help="default: sequential light")
    parser.add_argument("--lambda-p", nargs="+", default=[Settings().lambda_p], help="nats, or healthy percentiles")
    parser.add_argument("-S", "--n-restorations", type=int, default=Settings().n_restorations)
    parser.add_argument("--sizes", nargs="+", type=int, default=[1, 5], metavar="S", help="restorations of a score")
    parser.add_argument("--pooling", default="2d", choices=get_args(Pooling), help="default: 2d, as in the papers")
    parser.add_argument("--cases", nargs="+", metavar="NAME", help="only these cases of heads")
    parser.add_argument("--at-most", type=int, metavar="N", help="only N cases or runs of frames, evenly spaced")
    parser.set_defaults(func=run_spread)
    return parser


def run_spread(args: argparse.Namespace) -> int:
    """Compare restorations that differ only in their draws."""
    torch.set_num_threads(args.threads)
    settings = settings_from({"n_restorations": args.n_restorations, "pooling": args.pooling})
    thresholds = [settings_from({"lambda_p": given}).lambda_p for given in args.lambda_p]
    bundles = load_bundles(None, args.bundles, args.device)
    check_methods(bundles, args.methods)
    rows = []
    for bundle in bundles:
        print(bundle.title, flush=True)
        spec = bundle.config.grid
        read = (
            ped2.clip_cases(args.data, args.part, spec)
            if spec.kind == "clip"
            else labelled_cases(args.data, spec, bundle.template, args.cases)
        )
        cases = _some(list(read), args.at_most)
        for method in args.methods:
            for threshold in thresholds:
                rows.append(spread.spread_of(bundle, cases, method, threshold, settings, args.sizes, _say))
    frames = sum(int(case.of_slices()[0].sum()) for case in cases)
    print(f"\n{spread.table(rows)}\n\n{rows[0].n} subjects or runs of frames, {frames} slices or frames.")
    return 0


def _some(cases: list[Case], at_most: int | None) -> list[Case]:
    """Keep some cases, evenly spaced.

    Raises:
        InputError: none are asked for.
    """
    if at_most is None or at_most >= len(cases):
        return cases
    if at_most < 1:
        raise InputError("--at-most counts from 1.")
    return [cases[i] for i in np.linspace(0, len(cases) - 1, at_most).round().astype(int)]


def _say(line: str) -> None:
    print(line, flush=True)
