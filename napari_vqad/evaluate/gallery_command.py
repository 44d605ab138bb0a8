"""`evaluate gallery`: a figure with the regeneration, restorations, residuals and pixel score of chosen slices."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import torch

from napari_vqad.detectors.bundle import Bundle, same_grid
from napari_vqad.detectors.settings import Settings, settings_from
from napari_vqad.detectors.vq.detector import vq_of
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.evaluate import gallery, ped2, restoration_steps
from napari_vqad.evaluate.scan_input import ScanInput, clip_input, index_of, read_input
from napari_vqad.evaluate.threshold_options import add_threshold_options
from napari_vqad.evaluate.variants import settings_of
from napari_vqad.files.space import check_file
from napari_vqad.imaging.fitness import check_extent
from napari_vqad.imaging.layout import to_grid
from napari_vqad.resources import DEFAULT_BUNDLE
from napari_vqad.train.ped2_split import PARTS

MOST = 10  # restorations shown
NORMAL = ABNORMAL = 3  # frames, where the user says nothing


class Selection(NamedTuple):
    """Slices or frames of one scan, by number; `name` is the first line of their titles, or empty."""

    scan: ScanInput
    numbers: list[int]
    name: str


def add_command(kinds: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add it to the kinds of `evaluate`."""
    parser: argparse.ArgumentParser = kinds.add_parser(
        "gallery",
        help="a figure of restorations, residuals and pixel scores of chosen slices or frames",
        description="Draws one row for each slice or frame: input, label, regeneration (the codes decoded as they "
        "are), restorations with their residuals, and the pixel score of Marimont & Tarroni 2020, in SD of intensity "
        "and pooled within the slice. Models and methods stand below each other. All residuals have the same colours, "
        f"and so have all pixel scores. A gallery of more than {gallery.ROWS} rows is split over files, OUT-1.png, "
        "OUT-2.png, ….",
    )
    parser.add_argument("scan", type=Path, nargs="?", help="a head, or a clip (npz)")
    parser.add_argument("-o", "--out", type=Path, required=True, help="write the figure here, as PNG")
    parser.add_argument(
        "--slices", type=int, nargs="+", metavar="N", help="slices of the scan as the viewer numbers them, or frames"
    )
    parser.add_argument("--ped2", type=Path, metavar="FOLDER", help="instead of a scan: draw frames of UCSD Ped2")
    parser.add_argument("--part", choices=PARTS, help="part of Ped2 to draw frames from; test if not given")
    parser.add_argument("--normal", type=int, metavar="N", help=f"number of its normal frames; {NORMAL} if not given")
    parser.add_argument("--abnormal", type=int, metavar="N", help=f"of its abnormal frames; {ABNORMAL} if not given")
    parser.add_argument("--mask", type=Path, help="brain mask of a head; computed if not given")
    parser.add_argument("--label", type=Path, help="label of a head; a clip has its labels in its own file")
    parser.add_argument(
        "--method",
        nargs="+",
        default=["sequential"],
        metavar="METHOD",
        help="ways of restoring; sequential if not given",
    )
    add_threshold_options(parser, words="a healthy percentile, or tuned", only=("lambda_p",))
    parser.add_argument("--restorations", type=int, default=2, metavar="N", help="restorations to show; 2 if not given")
    parser.add_argument(
        "-S", "--n-restorations", type=int, help="number to draw for the pixel score; those shown if not given"
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed of the restorations and of the frames")
    parser.add_argument("--bundle", nargs="+", default=[DEFAULT_BUNDLE], help="models, by name or folder")
    parser.set_defaults(func=run_gallery)
    return parser


def run_gallery(args: argparse.Namespace) -> int:
    """Draw the gallery."""
    _check(args)
    torch.set_num_threads(args.threads)
    bundles = [Bundle.load(name, args.device) for name in args.bundle]
    chosen = [(bundle, settings) for bundle in bundles for settings in _settings(bundle, args)]
    for other in bundles[1:]:
        if not same_grid(bundles[0].folder, other.folder):
            raise InputError(
                f"{bundles[0].title} and {other.title} have different grids or templates; their pictures do not "
                "belong in one gallery."
            )
    selections = _selections(args, bundles[0])
    files = paths(args.out, sum(len(s.numbers) for s in selections), len(chosen))
    for path in files:  # told before the work
        check_file(path)
    explorers = {id(bundle): Explorer(bundle) for bundle in bundles}
    pairs = [(explorers[id(bundle)], settings) for bundle, settings in chosen]
    rows: list[list[gallery.GalleryRow]] = [[] for _ in pairs]
    for selection in selections:
        for shown in _rows(selection, bundles[0], pairs, args.restorations):
            for of_pair, row in zip(rows, shown, strict=True):
                of_pair.append(row)
    blocks = [gallery.block_of(*pair, of_pair) for pair, of_pair in zip(pairs, rows, strict=True)]
    title = f"{args.ped2.resolve().name}, {args.part or 'test'} part" if args.ped2 else selections[0].scan.volume.name
    for figure, path in zip(gallery.draw(title, blocks), files, strict=True):
        restoration_steps.write(figure, path)
        print(f"Wrote {path}")
    return 0


def paths(out: Path, rows: int, blocks: int) -> list[Path]:
    """The files of a gallery: `out` alone, or OUT-1.png, OUT-2.png and so on, if it has several pages."""
    pages = len(gallery.shared_out([rows] * blocks))
    return [out] if pages == 1 else [out.with_name(f"{out.stem}-{n}{out.suffix}") for n in range(1, pages + 1)]


def _check(args: argparse.Namespace) -> None:
    """Refuse options that do not go together, before anything is read."""
    if (args.scan is None) == (args.ped2 is None):
        raise InputError("Give a head or a clip with --slices, or --ped2 with a folder.")
    of_ped2 = {"--part": args.part, "--normal": args.normal, "--abnormal": args.abnormal}
    of_scan = {"--slices": args.slices, "--mask": args.mask, "--label": args.label}
    for flag, given in (of_ped2 if args.ped2 is None else of_scan).items():
        if given is not None:
            raise InputError(f"{flag} is for {'frames of --ped2' if args.ped2 is None else 'a scan, not for --ped2'}.")
    if args.ped2 is None and not args.slices:
        raise InputError("Give --slices with the numbers of the slices or frames to show.")
    if not 1 <= args.restorations <= MOST:
        raise InputError(f"--restorations is a number from 1 to {MOST}.")
    if args.n_restorations is not None and args.n_restorations < args.restorations:
        raise InputError(
            f"--n-restorations {args.n_restorations} draws fewer restorations than the {args.restorations} to show."
        )


def _settings(bundle: Bundle, args: argparse.Namespace) -> list[Settings]:
    """The settings of a bundle for each method.

    Raises:
        InputError: the bundle restores no codes, does not have a method, or does not allow a value.
    """
    vq_of(bundle)
    score = {"pooling": "2d", "score": "intensity", "seed": args.seed}
    found = []
    for method in dict.fromkeys(args.method):
        given = {**settings_of(bundle, method), **score, "n_restorations": args.n_restorations or args.restorations}
        if method != gallery.REGENERATIVE:
            given["lambda_p"] = args.lambda_p
        found.append(bundle.validated(settings_from(given)))
    return found


def _selections(args: argparse.Namespace, bundle: Bundle) -> list[Selection]:
    """The chosen slices or frames, scan by scan.

    Raises:
        InputError: a file cannot be read, or there are no such frames.
    """
    kind = bundle.config.grid.kind
    if args.ped2 is None:
        return [Selection(read_input(args.scan, kind, args.mask, args.label), list(dict.fromkeys(args.slices)), "")]
    if kind != "clip":
        raise InputError(f"{bundle.title} is a model of {kind}s; Ped2 is made of clips. Name others with --bundle.")
    normal, abnormal = (
        n if given is None else given for n, given in ((NORMAL, args.normal), (ABNORMAL, args.abnormal))
    )
    if min(normal, abnormal) < 0 or normal + abnormal == 0:
        raise InputError("--normal and --abnormal are numbers of frames from 0, and one of them is above 0.")
    drawn = ped2.draw_frames(args.ped2, args.part or "test", normal, abnormal, args.seed)
    by_clip = [list(frames) for _, frames in groupby(drawn, key=lambda frame: frame.clip.name)]
    return [Selection(clip_input(f[0].clip), [frame.number for frame in f], f[0].clip.name) for f in by_clip]


def _rows(
    selection: Selection, bundle: Bundle, pairs: Sequence[tuple[Explorer, Settings]], shown: int
) -> Iterator[list[gallery.GalleryRow]]:
    """For each slice of a selection, its row by each model and method; the scan is placed on their grid once."""
    volume, mask, label = selection.scan
    if volume.kind == "head":
        check_extent(volume)
    grid = to_grid(volume, mask, bundle.config.grid, template=bundle.template)
    indices = [index_of(grid, number, volume.name) for number in selection.numbers]
    on_grid = None if label is None else grid.from_scan(label) > 0.5
    for explorer in dict.fromkeys(explorer for explorer, _ in pairs):
        explorer.load_grid(grid)
    for i in indices:
        of_slice = None if on_grid is None else on_grid[i]
        yield [gallery.row_of(explorer, s, i, shown, of_slice, selection.name) for explorer, s in pairs]
