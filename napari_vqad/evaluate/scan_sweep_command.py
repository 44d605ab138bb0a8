"""`evaluate sweep --scan`: analyse one scan at all points of a grid of settings."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings, settings_from
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.evaluate.scan_input import read_input
from napari_vqad.evaluate.scan_measures import measures_of
from napari_vqad.evaluate.scan_sweep import (
    SweptPoint,
    markdown,
    scan_case,
    stored_points,
    sweep_scan,
    table_rows,
)
from napari_vqad.evaluate.settings_grid import check_sweepable, grid_points
from napari_vqad.evaluate.variants import settings_of
from napari_vqad.export.reproduction import bundle_word
from napari_vqad.export.tables import table_csv
from napari_vqad.files.atomic import write_text
from napari_vqad.files.space import check_file
from napari_vqad.settings import flag

NO_LESION = "The label marks no voxel, so AP, AUROC, Dice and the share of lesions found are not defined."
WARNING = "These numbers describe this scan alone; settings chosen by them may be worse on others."


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a sweep over one scan, and one for each setting that the parser does not have yet."""
    group = parser.add_argument_group("one scan", "instead of --data")
    group.add_argument("--scan", type=Path, help="a head (NIfTI or DICOM), or a clip (npz)")
    group.add_argument("--mask", type=Path, help="brain mask of a head; computed if not given")
    group.add_argument("--label", type=Path, help="label of a head; without it, only what is flagged is measured")
    group.add_argument("--csv", type=Path, help="file for the table, as CSV")
    known = {action.dest for action in parser._actions}
    settings = parser.add_argument_group("further settings", "several values are swept with --scan")
    for name, field in Settings.model_fields.items():
        if name not in known:
            words = f"{field.title}. Default: {field.default}.".replace("%", "%%")
            pair = name == "slices"
            metavar = ("FIRST", "LAST") if pair else "V"
            settings.add_argument(flag(name), dest=name, nargs=2 if pair else "+", metavar=metavar, help=words)


def given_settings(args: argparse.Namespace) -> dict[str, list[Any]]:
    """Return the settings that the user gave, each with one or more values."""
    names = [name for name in Settings.model_fields if name not in ("method", "slices")]
    found = {name: getattr(args, name) for name in names if getattr(args, name, None) is not None}
    return {name: values if isinstance(values, list) else [values] for name, values in found.items()}


def run_scan(args: argparse.Namespace, bundle: Bundle) -> int:
    """Sweep settings on one scan and print a table."""
    base, grid = base_and_grid(bundle, args.method or [], given_settings(args), args.slices)
    if args.csv:
        check_file(args.csv)
    scan = read_input(args.scan, bundle.config.grid.kind, args.mask, args.label)
    labelled = scan.label is not None
    explorer = Explorer(bundle, base)
    explorer.load_scan(scan.volume, scan.mask)
    points, found = grid_points(bundle, base, grid), dict[int, dict[str, float]]()
    case = scan_case(explorer.grid, scan.mask, scan.label)
    for news in sweep_scan(explorer, base, points, case, labelled, stored_points(args.keep, bundle)):
        if isinstance(news, SweptPoint):
            found[points.index(news.point)] = news.values
            print(news.point.name, flush=True)
    values = [found[index] for index in range(len(points))]
    names = measures_of(bundle.detector, explorer.grid.kind, labelled)
    print(f"\n{markdown(points, values, names)}")
    if scan.label is not None:
        print(f"\n{WARNING if scan.label.any() else NO_LESION}")
    if args.csv:
        write_text(args.csv, table_csv(*table_rows(points, values, names)))
    return 0


def base_and_grid(
    bundle: Bundle, methods: Sequence[str], given: Mapping[str, Sequence[Any]], slices: Sequence[Any] | None = None
) -> tuple[Settings, dict[str, Sequence[Any]]]:
    """Split what the user gave into settings with one value and the grid of those with several.

    Raises:
        InputError: a value is not allowed, or a setting changes nothing.
    """
    asks = [dict(settings_of(bundle, method)) for method in methods or [bundle.detector.variants[0]]]
    grid: dict[str, Sequence[Any]] = {}
    if len(asks) > 1:
        if any(len(one) != 1 for one in asks) or len({name for one in asks for name in one}) != 1:
            raise InputError(f"The methods of {bundle.title} differ in several settings; sweep one method at a time.")
        ((name, _),) = asks[0].items()
        grid[name] = [one[name] for one in asks]
    fixed = {name: values[0] for name, values in given.items() if len(values) == 1}
    fixed |= {"slices": tuple(slices)} if slices else {}
    grid |= {name: values for name, values in given.items() if len(values) > 1}
    base = settings_from(asks[0] | fixed)
    bundle.refuse_foreign(base)
    base = bundle.validated(base)
    check_sweepable(bundle, base, grid)
    return base, grid


def command_line(
    bundle: Bundle,
    settings: Settings,
    grid: Mapping[str, Sequence[Any]],
    scan: str,
    mask: str | None = None,
    label: str | None = None,
) -> list[str]:
    """Return the words of the command that sweeps a scan; a setting with its default value is omitted."""
    words = ["napari-vqad", "evaluate", "sweep", bundle_word(bundle), "--scan", scan]
    words += [word for name, path in (("--mask", mask), ("--label", label)) if path for word in (name, path)]
    detector = bundle.detector
    selecting = set(detector.asks_for(detector.variants[0]))
    if selecting & set(grid):
        ((name, values),) = ((n, v) for n, v in grid.items() if n in selecting)
        words += ["--method", *map(str, values)]
    else:
        words += ["--method", detector.variant(settings)]
    idle = frozenset() if selecting & set(grid) else detector.inactive(settings)
    for name, field in detector.Settings.model_fields.items():
        value = getattr(settings, name)
        if name in selecting:
            continue
        if name in grid:
            words += [flag(name), *map(str, grid[name])]
        elif name not in idle and value != field.default:
            words += [flag(name), *map(str, value if isinstance(value, tuple) else (value,))]
    return words
