"""`evaluate qspace`: novelty scores on simulated lesions in diffusion scans, as tables in Markdown."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from napari_vqad.evaluate.qspace import Results, evaluate, interval
from napari_vqad.files.atomic import write_text
from napari_vqad.files.space import check_file
from napari_vqad.nets.voxel_vae import SHAPES
from napari_vqad.scores.novelty.table import SCORES
from napari_vqad.simulate.diffusion import LESIONS
from napari_vqad.train.qspace_data import read_scans

BASELINE = "input_distance"


def add_command(kinds: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add it to the kinds of `evaluate`."""
    parser: argparse.ArgumentParser = kinds.add_parser(
        "qspace",
        help="novelty scores on simulated lesions in diffusion scans",
        description="Cuts each scan into slabs, trains a voxel VAE on all slabs but one and ranks the voxels of "
        "simulated lesions in that one, for all novelty scores and the networks of Vasilev et al. 2018.",
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of diffusion scans, as for train qspace")
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=list(SHAPES), help="networks, by dim z")
    parser.add_argument("--radius-mm", type=float, default=5.0, help="of the lesions; default: 5")
    parser.add_argument("--json", type=Path, help="file for the AUC of all cases, as JSON")
    parser.set_defaults(func=run)
    return parser


def run(args: argparse.Namespace) -> int:
    """Evaluate all scores and print the tables."""
    torch.set_num_threads(args.threads)
    if args.json:
        check_file(args.json)
    results = evaluate(read_scans(args.data), LESIONS, args.radius_mm, args.shapes, report=_say)
    print("\n" + tables(results, args.shapes))
    if args.json:
        write_text(args.json, json.dumps({" ".join(k): v.tolist() for k, v in results.auc.items()}, indent=1) + "\n")
    return 0


def tables(results: Results, shapes: list[str]) -> str:
    """Return a table of scores by network, and one of scores by kind of lesion for the network with the best mean."""
    names = list(dict.fromkeys(score for _, _, score in results.auc))
    best = max(shapes, key=lambda shape: np.mean([results.over_kinds(shape, name).mean() for name in names]))
    heads = [f"dim z {shape}" for shape in shapes]
    if BASELINE in names:
        heads.append(f"minus {SCORES[BASELINE].symbol} (dim z {best})")
    rows = []
    for name in names:
        cells = [_cell(results.over_kinds(shape, name)) for shape in shapes]
        if BASELINE in names:
            apart = results.over_kinds(best, name) - results.over_kinds(best, BASELINE)
            cells.append("" if name == BASELINE else _cell(apart, "+.3f"))
        rows.append([_title(name), *cells])
    kinds = results.kinds()
    of_kinds = [[_title(name), *(_cell(results.auc[best, kind, name]) for kind in kinds)] for name in names]
    return (
        f"Mean AUC over {len(results.cases)} balls and {len(kinds)} kinds of lesions, with the 95 % bootstrap interval "
        f"over balls:\n\n{_table(['score', *heads], rows)}\n\n"
        f"By kind of lesion, dim z {best}:\n\n{_table(['score', *kinds], of_kinds)}\n"
    )


def _title(name: str) -> str:
    score = SCORES[name]
    return f"{score.symbol} {score.equation}".strip()


def _cell(values: NDArray, form: str = ".3f") -> str:
    mean, low, high = interval(values)
    return f"{mean:{form}} ({low:{form}} to {high:{form}})".replace("-", "−")


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _say(line: str) -> None:
    print(line, flush=True)
