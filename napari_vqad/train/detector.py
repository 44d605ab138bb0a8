"""`napari-vqad train detector`: the bundle of a detector that needs no training.

It is fitted on healthy slices in one go, or it uses the trained network of another detector's bundle.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

import torch

from napari_vqad.detectors.base import BundleConfig
from napari_vqad.detectors.bundle import read_config
from napari_vqad.detectors.library import find
from napari_vqad.detectors.pca import FILE as LINEAR
from napari_vqad.detectors.protocol import NetworkUser
from napari_vqad.detectors.registry import DETECTORS, detector_class
from napari_vqad.errors import InputError
from napari_vqad.files.atomic import atomic_folder
from napari_vqad.files.jsonfile import short, validated
from napari_vqad.files.shared import has_file, path_of
from napari_vqad.files.space import folder_of
from napari_vqad.imaging.template import FILE as TEMPLATE
from napari_vqad.imaging.template import Template
from napari_vqad.train.build_template import make_template
from napari_vqad.train.data import ixi_scans, load_stack
from napari_vqad.train.fit import alone_in
from napari_vqad.train.recipe import read_toml
from napari_vqad.train.training_log import Trained, read_history, write_history

OUTPUTS = ("config.json", "calibration.json", "README.md")
SLICES = 72  # of a template that is made anew


def add_command(kinds: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command; the caller adds the options for data and device."""
    parser = kinds.add_parser("detector", help="fit a detector that needs no training, such as pca")
    parser.add_argument("--config", required=True, help="recipe: a TOML file, or the name of one that comes along")
    parser.add_argument("--out", required=True, help="folder of the bundle")
    parser.add_argument("--start", metavar="BUNDLE", help="take the template, or the network, from this one")
    parser.set_defaults(func=run)
    return parser


def run(args: argparse.Namespace) -> int:
    """Make the detector of a recipe and write its bundle; `calibrate` completes it."""
    torch.set_num_threads(args.threads)
    config, detector, out = *read_recipe(args.config), folder_of(args.out)
    with alone_in(out, OUTPUTS):
        if hasattr(detector, "network_of"):
            return _use_network(args, config, detector, out)
        template = template_of(args, config, out)
        fitted = detector.fit(config, lambda: load_stack(args.data, "train", config.grid, template).of_brain().slices())
        with atomic_folder(out) as new:
            (new / "config.json").write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8")
            fitted.save(new)
            if template is not None:
                template.save(new)
            write_history(new, {"detector": Trained(command=_command_of(args, out))})
    print(f"wrote {out}; run 'napari-vqad calibrate {out}' next")
    return 0


def _use_network(args: argparse.Namespace, config: BundleConfig, detector: type[NetworkUser], out: Path) -> int:
    """Write a bundle with the network, the template and the linear model of the bundle `--start`.

    The files are copied byte by byte, so that `detectors.publish` stores them once.

    Raises:
        InputError: there is no such bundle, or it has another detector or grid.
    """
    if not args.start:
        raise InputError(
            f"{detector.kind} uses the network of a bundle of {detector.network_of}; name it with --start."
        )
    source = find(args.start)
    if source.resolve() == out.resolve():
        raise InputError(f"{out} cannot begin with itself.")
    theirs = read_config(source)
    if (kind := getattr(theirs, "detector", "")) != detector.network_of:
        raise InputError(f"{source} is a bundle of {kind}; {detector.kind} uses the network of {detector.network_of}.")
    if theirs.grid != config.grid:
        raise InputError(f"{source} has another grid than the recipe asks for.")
    config = detector.Config(**config.model_dump() | {"network": theirs.network})
    note = f"It uses the network of {source.name}."
    with atomic_folder(out) as new:
        (new / "config.json").write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8")
        for name in (*detector.files, TEMPLATE, LINEAR):
            if has_file(source, name):
                shutil.copyfile(path_of(source, name), new / name)
        write_history(new, {**read_history(source), "detector": Trained(command=_command_of(args, out), note=note)})
    print(f"wrote {out}; run 'napari-vqad calibrate {out}' next")
    return 0


def _command_of(args: argparse.Namespace, out: Path) -> str:
    start = f" --start {Path(args.start).name}" if args.start else ""
    return f"napari-vqad train detector --config {Path(args.config).stem} --data DATA --out models/{out.name}{start}"


def read_recipe(name: str | Path) -> tuple[BundleConfig, Any]:
    """The config of a recipe, and the class of its detector.

    Raises:
        InputError: there is no such recipe, it does not fit, or its detector is trained in another way.
    """
    given, path = read_toml(name)
    kind = given.get("detector")
    cls: Any = detector_class(kind) if isinstance(kind, str) and kind in DETECTORS else None
    if not _needs_no_training(cls):
        known = ", ".join(kind for kind in DETECTORS if _needs_no_training(detector_class(kind)))
        raise InputError(f"{path} does not say detector = one of {known}, but '{short(str(kind))}'.")
    return validated(cls.Config, given, path), cls


def _needs_no_training(cls: Any) -> bool:
    return hasattr(cls, "fit") or hasattr(cls, "network_of")


def template_of(args: argparse.Namespace, config: BundleConfig, out: Path) -> Template | None:
    """The template of the bundle, of the one to start with, or of packed data; else made of the training scans."""
    if not config.grid.aligned:
        return None
    start = find(args.start) if args.start else None
    if start is not None and read_config(start).grid != config.grid:
        raise InputError(f"{start} has another grid than the recipe asks for.")
    for folder in (out, *([start] if start else []), args.data):
        if has_file(folder, TEMPLATE):
            return Template.load(folder)
    return make_template(list(ixi_scans(args.data, "train")), config.grid, SLICES)
