"""`napari-vqad train reuse`: make the bundle of a detector that uses the trained network of another bundle."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import cast

from napari_vqad.detectors.base import BundleConfig
from napari_vqad.detectors.bundle import read_config
from napari_vqad.detectors.library import find
from napari_vqad.detectors.pca import FILE as LINEAR
from napari_vqad.detectors.protocol import NetworkUser
from napari_vqad.detectors.registry import DEFAULT, DETECTORS, detector_class
from napari_vqad.errors import InputError
from napari_vqad.files.atomic import atomic_folder
from napari_vqad.files.jsonfile import validated
from napari_vqad.files.shared import has_file, path_of
from napari_vqad.files.space import folder_of
from napari_vqad.imaging.template import FILE as TEMPLATE
from napari_vqad.train.fit import alone_in
from napari_vqad.train.options import add_recipe_options, command_line
from napari_vqad.train.recipe import detector_named, read_toml
from napari_vqad.train.training_log import Trained, read_history, write_history

OUTPUTS = ("config.json", "README.md")


def add_command(kinds: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = kinds.add_parser("reuse", help="make a detector with the trained network of another bundle")
    add_recipe_options(parser)
    parser.add_argument("--start", metavar="BUNDLE", required=True, help="take network and template from this one")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Write a bundle with network, template and linear model of another bundle; `calibrate` completes it.

    The copied files have the same bytes, so `detectors.publish` stores them only once.
    """
    (recipe, detector), source, out = read_recipe(args.config), find(args.start), folder_of(args.out)
    if source.resolve() == out.resolve():
        raise InputError(f"{out} cannot begin with itself.")
    config = _with_network(recipe, detector, source)
    with alone_in(out, OUTPUTS), atomic_folder(out) as new:
        config.save(new)
        for name in (*detector.files, TEMPLATE, LINEAR):
            if has_file(source, name):
                shutil.copyfile(path_of(source, name), new / name)
        command = command_line("train reuse", args, out, "start")
        trained = Trained(command=command, note=f"It uses the network of {source.name}.")
        write_history(new, {**read_history(source), "detector": trained})
    print(f"wrote {out}; run 'napari-vqad calibrate {out}' next")
    return 0


def read_recipe(name: str | Path) -> tuple[BundleConfig, type[NetworkUser]]:
    """Read a recipe: the bundle's config, and the class of its detector.

    Raises:
        InputError: there is no such recipe, it does not fit, or its detector has a network of its own.
    """
    given, path = read_toml(name)
    cls = detector_named(given, path, [kind for kind in DETECTORS if hasattr(detector_class(kind), "network_of")])
    return validated(cls.Config, given, path), cast(type[NetworkUser], cls)


def _with_network(recipe: BundleConfig, detector: type[NetworkUser], source: Path) -> BundleConfig:
    """Return the config of the bundle: the recipe's, with the network of another bundle.

    Raises:
        InputError: the other bundle has another detector or grid.
    """
    theirs = read_config(source)
    if (kind := getattr(theirs, "detector", DEFAULT)) != detector.network_of:
        raise InputError(f"{source} is a bundle of {kind}; {detector.kind} uses the network of {detector.network_of}.")
    if theirs.grid != recipe.grid:
        raise InputError(f"{source} has another grid than the recipe asks for.")
    return recipe.model_copy(update={"network": theirs.network})
