"""`evaluate table`: all detectors on the same labelled scans, as Markdown, CSV and a figure."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import torch

from napari_vqad.detectors import presets
from napari_vqad.detectors.bundle import Bundle, same_grid
from napari_vqad.detectors.settings import Settings, settings_from
from napari_vqad.errors import InputError
from napari_vqad.evaluate import detector_table, table_report
from napari_vqad.evaluate.bundles import load_bundles
from napari_vqad.evaluate.case_details import neighbours
from napari_vqad.evaluate.cases import Case, labelled_cases
from napari_vqad.evaluate.variants import check_methods
from napari_vqad.files.space import check_folder, folder_of
from napari_vqad.settings import Scale, is_of_training


def add_command(kinds: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add it to the kinds of `evaluate`."""
    parser: argparse.ArgumentParser = kinds.add_parser(
        "table",
        help="all detectors on labelled scans: the papers' measures with intervals, as Markdown, CSV and a figure",
        description="Scores all scans with all bundles and writes table.md, table.csv and table.png, and kinds.md, "
        "kinds.csv and kinds.png if there are several kinds of anomaly. The scans are a "
        "folder with cases.csv, as for testset, or pairs such as a_t1.nii.gz and a_label.nii.gz, with a_mask.nii.gz "
        "if there is one. All detectors have the same post-processing, and thresholds from healthy scans.",
    )
    parser.add_argument("models", type=Path, nargs="?", help="folder of bundles; default: those installed")
    parser.add_argument("--data", type=Path, required=True, help="folder of labelled scans")
    parser.add_argument("-o", "--out", required=True, help="folder for the table; created if missing")
    parser.add_argument("--bundles", nargs="+", metavar="NAME", help="names or folders; default: all")
    parser.add_argument("--cases", nargs="+", metavar="NAME", help="only these cases")
    parser.add_argument("--methods", nargs="+", default=[], help="only these methods")
    parser.add_argument(
        "--evidence", action="store_true", help="also the detectors' own evidence alone, by place, such as the NLL"
    )
    parser.add_argument(
        "--reference", metavar="ROW", help="bundle, or 'BUNDLE METHOD', to compare with; default: the first bundle"
    )
    presets.add_option(parser)
    parser.add_argument("--score", choices=get_args(Scale), help="scale of the pixel score; default: the preset's")
    parser.add_argument(
        "--percentile", type=float, help="of healthy voxels: the threshold for Dice; default: the preset's, or 98"
    )
    parser.add_argument(
        "--rate", default="1/1", metavar="1/N", help="false findings per healthy scan, at which lesions are counted"
    )
    parser.add_argument("-S", "--n-restorations", type=int, default=Settings().n_restorations)
    parser.add_argument("--keep", type=Path, help="folder for results of cases, to continue later")
    parser.set_defaults(func=run_table)
    return parser


def run_table(args: argparse.Namespace) -> int:
    """Evaluate all bundles on the cases and write the table."""
    torch.set_num_threads(args.threads)
    out = folder_of(args.out)
    check_folder(out, table_report.FILES)
    bundles = load_bundles(args.models, args.bundles or (), args.device)
    check_methods(bundles, args.methods)
    options = [_options(bundle, args) for bundle in bundles]
    for bundle, of_bundle in zip(bundles, options, strict=True):
        detector_table.settings_for(bundle, of_bundle)  # what a bundle refuses is told before the work
    rows: list[detector_table.Row] = []
    before: Bundle | None = None
    cases: list[Case] = []
    for bundle, of_bundle in zip(bundles, options, strict=True):
        print(bundle.title, flush=True)
        # Heads are aligned once for consecutive bundles with the same grid and template.
        if before is None or not same_grid(before.folder, bundle.folder):
            cases = list(labelled_cases(args.data, bundle.config.grid, bundle.template, args.cases))
        before = bundle
        rows += detector_table.rows_of(bundle, cases, of_bundle, args.keep, _say)
    reference = detector_table.find_row(rows, args.reference or rows[0].bundle)
    about = [*_about(args, bundles[0], options[0]), *_beyond(cases), *_of_labels(cases)]
    table_report.write(out, rows, reference, options[0], about)
    written = [name for name in table_report.FILES if (out / name).exists()]
    tables = "\n".join((out / name).read_text(encoding="utf-8") for name in written if name.endswith(".md"))
    print(f"\n{tables}\nWrote {', '.join(written)} into {out}.")
    return 0


def _options(bundle: Bundle, args: argparse.Namespace) -> detector_table.Options:
    """The settings for a bundle: a preset's smallest finding depends on the size of the grid's voxels."""
    flags = {"n_restorations": args.n_restorations, "score": args.score}
    given = presets.with_preset(args.preset or "default", bundle.config.grid.voxel_ml, flags)
    percentile = f"p{98 if args.percentile is None else args.percentile:g}"
    if args.percentile is None and is_of_training(given["flag_voxels"]):
        percentile = str(given["flag_voxels"])
    settings = settings_from({**given, "flag_voxels": percentile})
    rate = str(settings_from({**given, "flag_voxels": args.rate}).flag_voxels)
    if "/" not in rate:
        raise InputError(f"--rate is false findings per healthy scan, such as 1/1 or 1/3, not {args.rate}.")
    return detector_table.Options(settings, percentile, rate, tuple(args.methods), args.evidence)


def _about(args: argparse.Namespace, bundle: Bundle, options: detector_table.Options) -> list[str]:
    """Sentences on how the table was made."""
    device = bundle.device
    name = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"a CPU with {args.threads} thread{'s' if args.threads != 1 else ''}"
    )
    title = next(t for t in presets.PRESETS if presets.slug(t) == (args.preset or "default"))
    least = round(options.settings.min_volume_ml / bundle.config.grid.voxel_ml)
    training = is_of_training(options.percentile)
    of_dice = "scans that each bundle was trained on" if training else "each bundle's healthy calibration scans"
    score = f", score in {args.score}" if args.score else ""
    return [
        f"Data: {args.data.resolve().name}. Post-processing of all detectors: {title}{score}. Restorations: S = "
        f"{args.n_restorations}. Networks ran on {name}.",
        f"The threshold for Dice per scan comes from {of_dice}, that for lesions from its healthy calibration scans; "
        f"pieces of fewer than {least} voxels of the model's grid are removed before.",
    ]


def _of_labels(cases: Sequence[Case]) -> list[str]:
    """A sentence on the agreement of neighbouring slices of the labels themselves, on the model's grid."""
    shared, paired = np.sum([neighbours(case.label > 0.5) for case in cases], axis=0)
    return [f"The labels of neighbouring slices have an agreement of {shared / paired:.2f}."] if paired else []


def _beyond(cases: Sequence[Case]) -> list[str]:
    """A sentence on labelled voxels beyond the brain masks, if there are any."""
    labelled = sum(int(case.truth.sum()) for case in cases)
    beyond = sum(int(case.beyond.sum()) for case in cases if case.beyond is not None)
    if not beyond:
        return []
    return [
        f"{100 * beyond / labelled:.1f} % of the labelled voxels lie beyond the brain masks, which all detectors use: "
        "these voxels count as missed, with the lowest score of the scan."
    ]


def _say(line: str) -> None:
    print(line, flush=True)
