"""`napari-vqad train detector`: make the bundle of a detector that is fitted to healthy slices in one step."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import cast

import torch
from numpy.typing import NDArray

from napari_vqad.detectors.base import BundleConfig
from napari_vqad.detectors.bundle import read_config
from napari_vqad.detectors.library import find
from napari_vqad.detectors.protocol import FittedDetector, HealthySlices
from napari_vqad.detectors.registry import DETECTORS, detector_class
from napari_vqad.errors import InputError
from napari_vqad.files.atomic import atomic_folder
from napari_vqad.files.jsonfile import validated
from napari_vqad.files.shared import has_file, path_of
from napari_vqad.files.space import folder_of
from napari_vqad.imaging.template import FILE as TEMPLATE
from napari_vqad.imaging.template import Template
from napari_vqad.train.build_template import make_template
from napari_vqad.train.data import ixi_scans, load_stack
from napari_vqad.train.fit import alone_in
from napari_vqad.train.options import add_recipe_options, command_line
from napari_vqad.train.recipe import detector_named, read_toml
from napari_vqad.train.training_log import Trained, write_history

OUTPUTS = ("config.json", "calibration.json", "README.md")
SLICES = 72  # of a new template


def add_command(kinds: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command; the caller adds the options for data and device."""
    parser = kinds.add_parser("detector", help="fit a detector that needs no training, such as pca")
    add_recipe_options(parser)
    parser.add_argument("--start", metavar="BUNDLE", help="take the template from this one")
    parser.add_argument("--features", metavar="BUNDLE", help="take the network of features of dfkde from this one")
    parser.set_defaults(func=run)
    return parser


def run(args: argparse.Namespace) -> int:
    """Fit the detector of a recipe and write its bundle; `calibrate` completes it."""
    torch.set_num_threads(args.threads)
    recipe, detector, out = *read_recipe(args.config), folder_of(args.out)
    source = find(args.features) if args.features else None
    name = source.resolve().name if source else ""
    config, names = detector.prepare(recipe, read_config(source) if source else None, name)
    files = {ours: path_of(source, theirs) for ours, theirs in names.items()} if source else {}
    with alone_in(out, OUTPUTS):
        template = template_of(args, config, out)

        def load() -> tuple[NDArray, NDArray]:
            stack = load_stack(args.data, "train", config.grid, template).of_brain()
            return stack.slices(), stack.position

        fitted = detector.fit(config, HealthySlices(load, files))
        with atomic_folder(out) as new:
            for ours, theirs in files.items():
                shutil.copyfile(theirs, new / ours)
            config.save(new)
            fitted.save(new)
            if template is not None:
                template.save(new)
            write_history(
                new, {"detector": Trained(command=command_line("train detector", args, out, "start", "features"))}
            )
    print(f"wrote {out}; run 'napari-vqad calibrate {out}' next")
    return 0


def read_recipe(name: str | Path) -> tuple[BundleConfig, type[FittedDetector]]:
    """Read a recipe: the bundle's config, and the class of its detector.

    Raises:
        InputError: there is no such recipe, it does not fit, or its detector is trained in another way.
    """
    given, path = read_toml(name)
    cls = detector_named(given, path, [kind for kind in DETECTORS if hasattr(detector_class(kind), "fit")])
    return validated(cls.Config, given, path), cast(type[FittedDetector], cls)


def template_of(args: argparse.Namespace, config: BundleConfig, out: Path) -> Template | None:
    """Load the template of the bundle, of the one to start with, or of packed data; else make it."""
    if not config.grid.aligned:
        return None
    start = find(args.start) if args.start else None
    if start is not None and read_config(start).grid != config.grid:
        raise InputError(f"{start} has another grid than the recipe asks for.")
    for folder in (out, *([start] if start else []), args.data):
        if has_file(folder, TEMPLATE):
            return Template.load(folder)
    return make_template(list(ixi_scans(args.data, "train")), config.grid, SLICES)
