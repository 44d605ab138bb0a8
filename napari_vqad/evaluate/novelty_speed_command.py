"""`evaluate novelty-speed`: how long each novelty score takes for a whole brain."""

from __future__ import annotations

import argparse

import numpy as np
import torch

from napari_vqad.errors import InputError
from napari_vqad.evaluate import novelty_speed
from napari_vqad.nets.device import pick_device
from napari_vqad.nets.voxel_vae import SHAPES
from napari_vqad.scores.novelty.batch import Options


def add_command(kinds: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add it to the kinds of `evaluate`."""
    parser: argparse.ArgumentParser = kinds.add_parser(
        "novelty-speed",
        help="seconds of each novelty score for a whole brain, on simulated diffusion measurements",
        description="Simulates voxels, trains a VAE on them for a short time, and times all novelty scores. The times "
        "for all voxels are extrapolated from some.",
    )
    parser.add_argument("--voxels", type=int, default=250_000, help="of the brain")
    parser.add_argument("--reference", type=int, default=1_000_000, help="normal voxels")
    parser.add_argument("--measurements", type=int, default=46, help="of a voxel")
    parser.add_argument("--measured", type=int, default=4096, help="voxels that are computed")
    parser.add_argument("--latent", default="8", choices=list(SHAPES), help="one of the paper's VAEs, by its numbers z")
    parser.add_argument("--steps", type=int, default=500, help="of training")
    parser.set_defaults(func=run_speed)
    return parser


def run_speed(args: argparse.Namespace) -> int:
    """Time all scores and print the table."""
    torch.set_num_threads(args.threads)
    if min(args.voxels, args.reference, args.measured, args.steps) < 1 or args.measurements < 7:
        raise InputError("Numbers of voxels and steps must be 1 or more, and that of measurements 7 or more.")
    device = pick_device(args.device)
    simulated = novelty_speed.simulated_voxels(
        args.reference + args.measured, args.measurements, np.random.default_rng(0)
    )
    both = torch.from_numpy(simulated).to(device)
    vectors, x = both[: args.reference], both[args.reference :]
    vae = novelty_speed.trained(vectors, args.latent, args.steps)
    options = Options()
    times = novelty_speed.measure(vae, vectors, x, args.voxels, options, _say)
    print(
        f"\n{args.voxels:,} voxels with {args.measurements} measurements, {args.reference:,} normal voxels, z of "
        f"{args.latent} numbers; extrapolated from {args.measured:,} voxels; {device.type}, threads: {args.threads}. "
        f"S = {options.samples}, at most {options.steps} L-BFGS steps, {options.candidates} candidates, at most "
        f"{options.components:,} components. “Of a core” sums over threads what the processor worked.\n\n"
        f"{novelty_speed.table(times)}"
    )
    return 0


def _say(line: str) -> None:
    print(line, flush=True)
