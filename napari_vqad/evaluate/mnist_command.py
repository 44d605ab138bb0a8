"""`evaluate mnist`: all novelty scores on MNIST, one digit novel at a time, as Markdown and CSV."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from napari_vqad.evaluate import mnist, mnist_report
from napari_vqad.files.atomic import atomic_folder
from napari_vqad.files.space import check_folder, folder_of
from napari_vqad.nets.device import pick_device

FILES = ("mnist.md", "mnist.csv")
DEFAULT = mnist.MnistOptions()


def add_command(kinds: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add it to the kinds of `evaluate`."""
    parser: argparse.ArgumentParser = kinds.add_parser(
        "mnist",
        help="all novelty scores of Vasilev et al. 2018 on MNIST, one digit novel at a time, as Markdown and CSV",
        description="Trains a small convolutional VAE for each novel digit on the other digits, computes all novelty "
        "scores, PCA and kernel PCA, and writes mnist.md and mnist.csv.",
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with MNIST as gzipped idx files")
    parser.add_argument("-o", "--out", required=True, help="folder for the tables; created if missing")
    parser.add_argument("--digits", type=int, nargs="+", choices=range(10), default=list(range(10)), metavar="DIGIT")
    parser.add_argument("--seed", type=int, default=DEFAULT.seed, help="of the split, the training and the samples")
    parser.add_argument("--steps", type=int, default=DEFAULT.steps, help="optimiser steps of each VAE")
    parser.add_argument("--lr", type=float, default=DEFAULT.lr, help="learning rate; 1e-5 in the paper")
    parser.add_argument("--samples", type=int, default=DEFAULT.samples, help="samples of equations (8) to (11), (21)")
    parser.add_argument(
        "--search-images",
        type=int,
        default=DEFAULT.search_images,
        metavar="N",
        help="test images, drawn at random, for the searches of equations (18) and (19), which are slow",
    )
    parser.add_argument("--keep", type=Path, help="folder for results of digits, to continue later")
    parser.set_defaults(func=run_mnist)
    return parser


def run_mnist(args: argparse.Namespace) -> int:
    """Run the experiment and write the tables."""
    torch.set_num_threads(args.threads)
    out = folder_of(args.out)
    check_folder(out, FILES)
    options = mnist.options_from(
        {name: getattr(args, name) for name in ("seed", "steps", "lr", "samples", "search_images")}
    )
    device, digits, started = pick_device(args.device), mnist.read_mnist(args.data), time.monotonic()
    wanted = sorted(set(args.digits))
    for digit in wanted:
        mnist.split(digits.labels, digit, options.seed)  # told before the work
    results = {digit: mnist.run_digit(digits, digit, options, device, args.keep, _say) for digit in wanted}
    rows = mnist_report.rows_of(results)
    text = mnist_report.markdown(rows, _about(options, len(digits.labels)))
    with atomic_folder(out) as new:
        (new / FILES[0]).write_text(text, encoding="utf-8")
        (new / FILES[1]).write_text(mnist_report.as_csv(rows), encoding="utf-8")
    print(f"\n{text}\n{time.monotonic() - started:.0f} s. Wrote {' and '.join(FILES)} into {out}.")
    return 0


def _about(options: mnist.MnistOptions, images: int) -> list[str]:
    """Sentences on how the table was made."""
    sizes = options.sizes
    return [
        f"AUROC by novel digit; the data have {images:,} digits (the paper's have up to 70,000). The convolutional VAE "
        f"has {sizes.channels[0]} and {sizes.channels[1]} channels and {sizes.latent} numbers z; Adam {options.lr:g}, "
        f"at most {options.steps} steps of {options.batch} images, seed {options.seed}. S = {options.samples} samples. "
        f"PCA and kernel PCA keep {100 * options.share:g} % of the variance; kernel PCA is fitted to "
        f"{options.kernel_images} images, with the median distance as width. Equations (18) and (19) are computed for "
        f"the number of images in the last column, with at most {options.search_steps} steps. Largest ±: half the "
        "widest 95 % interval in the row, over test images (DeLong et al. 1988). There is one training for each "
        "digit, so there is no interval over trainings.",
    ]


def _say(line: str) -> None:
    print(line, flush=True)
