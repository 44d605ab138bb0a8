"""`evaluate pitfalls`: the experiments of Meissen et al. 2022 on healthy heads that no network has seen."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from napari_vqad.detectors.bundle import Bundle, same_grid
from napari_vqad.errors import InputError
from napari_vqad.evaluate import pitfall_report
from napari_vqad.evaluate.bundles import load_bundles
from napari_vqad.evaluate.cases import labelled_cases
from napari_vqad.evaluate.metrics import rank
from napari_vqad.evaluate.pitfall_models import has_restoration, model_of
from napari_vqad.evaluate.pitfalls import Images, landscape, model_curves, textures
from napari_vqad.files.space import check_folder, folder_of
from napari_vqad.simulate.discs import EXPONENT
from napari_vqad.train.data import Split, Stack, load_stack

UNSEEN: tuple[Split, ...] = ("validation", "calibration")  # splits that no network was trained on
RADIUS = 14.0  # mm; the paper's 20 pixels of heads with voxels of 0.7 mm
APART = 10.0  # mm between the slices of a head


def add_command(kinds: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add it to the kinds of `evaluate`."""
    parser: argparse.ArgumentParser = kinds.add_parser(
        "pitfalls",
        help="what a residual cannot see: the experiments of Meissen et al. 2022",
        description="Puts discs of each intensity, and of changed texture, into central slices of healthy heads, and "
        "measures how well the distance from a blurred healthy image, and each bundle, finds them. Writes "
        f"{', '.join(pitfall_report.FILES)}. The heads are the validation and calibration splits.",
    )
    parser.add_argument("--data", type=Path, required=True, help="healthy scans or packed files, as for validation")
    parser.add_argument("-o", "--out", required=True, help="folder for the results; created if missing")
    parser.add_argument("--bundles", nargs="+", metavar="NAME", help="names or folders; default: all that restore")
    parser.add_argument("--methods", nargs="+", default=[], help="only these; default: each bundle's quickest")
    parser.add_argument(
        "--per-head", type=int, default=3, metavar="N", help="slices of a head, 10 mm apart; default: 3"
    )
    parser.add_argument("--radius-mm", type=float, default=RADIUS, help=f"of the disc; default: {RADIUS:g}")
    parser.add_argument("--intensities", type=int, default=41, metavar="N", help="from 0 to 1; the paper: 100")
    parser.add_argument(
        "--blurs", type=int, default=26, metavar="N", help="σ from 0 to 2.5 voxels; the paper: 100, to 5"
    )
    parser.add_argument("--exponent", type=float, default=EXPONENT, help="p of sink and source; as printed: 1")
    parser.add_argument("--labelled", type=Path, help="folder of labelled scans, for appendix D")
    parser.add_argument("-S", "--n-restorations", type=int, default=5)
    parser.set_defaults(func=run_pitfalls)
    return parser


def run_pitfalls(args: argparse.Namespace) -> int:
    """Run the experiments and write their results."""
    torch.set_num_threads(args.threads)
    if min(args.per_head, args.n_restorations) < 1 or min(args.intensities, args.blurs) < 2 or args.radius_mm <= 0:
        raise InputError(
            "--per-head and -S must be at least 1, --intensities and --blurs at least 2, --radius-mm above 0."
        )
    out = folder_of(args.out)
    check_folder(out, pitfall_report.FILES)
    bundles = load_bundles(None, args.bundles or (), args.device)
    if not args.bundles:
        bundles = [bundle for bundle in bundles if has_restoration(bundle)]
    spec = bundles[0].config.grid
    intensities = [round(float(i), 4) for i in np.linspace(0, 1, args.intensities)]
    sigmas = [round(float(s), 4) for s in np.linspace(0, 2.5, args.blurs)]
    images = shown = _images(bundles[0], args)
    models, before = {}, bundles[0]
    for bundle in bundles:
        # Slices of another grid or template are others, and get their own discs.
        if not same_grid(before.folder, bundle.folder):
            before, shown = bundle, _images(bundle, args)
        methods = [m for m in bundle.detector.variants if m in args.methods] or [bundle.detector.variants[-1]]
        for method in methods:
            title = f"{bundle.name} {method}"
            print(title, flush=True)
            model = model_of(bundle, method, shown, args.n_restorations)
            models[title] = model_curves(shown, model, intensities, args.exponent)
    print("images without a model", flush=True)
    results = pitfall_report.Results(
        images,
        spec.spacing,
        intensities,
        sigmas,
        landscape(images, intensities, sigmas),
        landscape(images.equalised(), intensities, sigmas),
        textures(images, sigmas, args.exponent),
        models,
        _brightness(args.labelled, bundles[0]) if args.labelled else (),
    )
    heads, (low, high) = len(np.unique(images.subject)), spec.clip
    about = [
        f"{len(images)} slices of {heads} healthy heads ({args.data.resolve().name}, splits {' and '.join(UNSEEN)}), "
        f"discs of radius {args.radius_mm:g} mm, {args.intensities} intensities, {args.blurs} blurs, exponent "
        f"{args.exponent:g}, S {args.n_restorations}. Intensity 0 is {low:g} SD and 1 is {high:g} SD of healthy "
        "intensity. AP of each image over all its pixels, then the mean; in brackets 95 % intervals, 1,000 bootstrap "
        "samples of heads."
    ]
    pitfall_report.write(out, results, about)
    print(f"\n{(out / 'pitfalls.md').read_text(encoding='utf-8')}\nWrote {', '.join(pitfall_report.FILES)} into {out}.")
    return 0


def _images(bundle: Bundle, args: argparse.Namespace) -> Images:
    """Take central slices of the heads that no network has seen."""
    spec = bundle.config.grid
    low, high = spec.clip
    parts: list[tuple[np.ndarray, ...]] = []
    for split in UNSEEN:
        stack = load_stack(args.data, split, spec, bundle.template).of_brain()
        index = _central(stack, args.per_head, spec.spacing)
        slices = (stack.slices(index) - low) / (high - low)
        subject = stack.scan[index] + 1000 * UNSEEN.index(split)  # a split counts its heads from zero
        parts.append((slices.astype(np.float32), stack.mask[index], stack.position[index], subject))
    healthy, mask, position, subject = (np.concatenate(part) for part in zip(*parts, strict=True))
    healthy = np.where(mask, healthy, np.float32(np.clip((spec.background - low) / (high - low), 0, 1)))
    return Images.with_discs(healthy, mask, position, subject, args.radius_mm / spec.spacing)


def _central(stack: Stack, per_head: int, spacing: float) -> np.ndarray:
    """Return the indices of slices of each head around its middle, so many and 10 mm apart."""
    offsets = np.rint((np.arange(per_head) - (per_head - 1) / 2) * APART / spacing).astype(int)
    found = []
    for number in np.unique(stack.scan):
        places = np.flatnonzero(stack.scan == number)
        found.append(places[np.clip(len(places) // 2 + offsets, 0, len(places) - 1)])
    return np.concatenate(found)


def _brightness(folder: Path, bundle: Bundle) -> list[pitfall_report.Brightness]:
    """Compare the intensities of labelled and other voxels of the brain, on the grid of a bundle."""
    spec, found = bundle.config.grid, []
    low, high = spec.clip
    for case in labelled_cases(folder, spec, bundle.template):
        label = (case.label > 0.5) & case.grid.mask
        values = (case.grid.slices - low) / (high - low)
        normal, lesion = values[case.grid.mask & ~label], values[label]
        if lesion.size:
            auroc = rank(values[case.grid.mask], label[case.grid.mask]).auroc
            found.append(pitfall_report.Brightness(case.name, normal, lesion, auroc))
    return found
