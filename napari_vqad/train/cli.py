"""The commands `napari-vqad train …` and `calibrate`."""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import nn

from napari_vqad.detectors.bundle import SLICES, Bundle, fingerprint, read_config
from napari_vqad.detectors.calibration import Calibration, SliceTables
from napari_vqad.detectors.library import find
from napari_vqad.detectors.pca import FILE as LINEAR
from napari_vqad.detectors.pca import PCA
from napari_vqad.detectors.vq.config import VQConfig
from napari_vqad.errors import InputError
from napari_vqad.files.atomic import atomic_folder, write_text
from napari_vqad.files.shared import has_file, path_of
from napari_vqad.files.space import check_folder, folder_of
from napari_vqad.imaging.template import FILE as TEMPLATE
from napari_vqad.imaging.template import Template
from napari_vqad.nets.device import pick_device
from napari_vqad.nets.vq.monai import MonaiTokenizerConfig
from napari_vqad.nets.vq.protocols import MaskedPrior
from napari_vqad.nets.vq.registry import OwnTokenizer, make_own, make_prior, make_tokenizer
from napari_vqad.nets.weights import load_weights, save_weights
from napari_vqad.train import autoencoder, gan, ganomaly, import_lpips, qspace
from napari_vqad.train.added_tables import with_added_tables
from napari_vqad.train.build_template import make_template
from napari_vqad.train.calibrate import UNCALIBRATED, calibrate, slice_tables
from napari_vqad.train.data import SPLITS, Split, Stack, ixi_scans, load_grids, load_stack
from napari_vqad.train.detector import add_command as add_detector
from napari_vqad.train.facts import facts_of
from napari_vqad.train.fit import CHECKPOINT, alone_in, state_of
from napari_vqad.train.model_card import write_card
from napari_vqad.train.network_command import CHECKPOINTS
from napari_vqad.train.options import add_data_options, add_recipe_options, command_line
from napari_vqad.train.prior import train_prior
from napari_vqad.train.recipe import Recipe
from napari_vqad.train.reuse import add_command as add_reuse
from napari_vqad.train.same_recipe import options_of
from napari_vqad.train.tokenizer import TokenizerTraining, describe, train_tokenizer
from napari_vqad.train.training_log import Trained, read_history, write_history

OUTPUTS = ("tokenizer.safetensors", "config.json", "calibration.json", "README.md")  # files that are written


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add `train` and `calibrate` to the command line."""
    train = commands.add_parser("train", help="train a tokenizer, then a prior, on healthy scans")
    kinds = train.add_subparsers(required=True, metavar="WHAT")
    _command(kinds, "pack", "pack scans into small files, to carry to a GPU", run_pack)
    tokenizer = _command(kinds, "tokenizer", "train the tokenizer of a bundle; resumes", run_tokenizer)
    tokenizer.add_argument("--start", metavar="BUNDLE", help="begin with this one's tokenizer, template, linear model")
    tokenizer.add_argument(
        "--features", metavar="BUNDLE", help="measure a VQ-GAN's perceptual distance with this one's"
    )
    tokenizer.add_argument("--lpips", type=Path, metavar="FILE", help="measure it with LPIPS; see 'import-lpips'")
    prior = _command(kinds, "prior", "train the prior of a bundle that has a tokenizer; resumes", run_prior)
    prior.add_argument("--tokenizer", metavar="BUNDLE", help="take tokenizer, template and linear model from this one")
    prior.add_argument("--start", metavar="BUNDLE", help="begin with this one's prior")
    add_data_options(gan.COMMAND.add_to(kinds))
    add_reuse(kinds)
    add_data_options(add_detector(kinds))
    add_data_options(autoencoder.COMMAND.add_to(kinds))
    add_data_options(ganomaly.COMMAND.add_to(kinds))
    qspace.add_command(kinds)
    import_lpips.add_command(kinds)
    done = commands.add_parser("calibrate", help="write a bundle's healthy quantiles and its card")
    done.add_argument("bundle", help="name or folder of the bundle")
    only = done.add_mutually_exclusive_group()
    only.add_argument("--slices", action="store_true", help="only add healthy slice scores to its calibration")
    only.add_argument(
        "--missing", action="store_true", help="only add tables that its calibration by an earlier version lacks"
    )
    done.add_argument("--method", action="append", default=[], help="with --slices or --missing: this one; repeatable")
    add_data_options(done)
    done.set_defaults(func=run_calibrate)


def _command(kinds: argparse._SubParsersAction, name: str, text: str, func) -> argparse.ArgumentParser:
    parser = kinds.add_parser(name, help=text)
    add_recipe_options(parser, "folder of the bundle (of the packed files, for pack)", changes=True)
    add_data_options(parser)
    parser.set_defaults(func=func)
    return parser


def run_pack(args: argparse.Namespace) -> int:
    """Pack each split of the data into one small file."""
    recipe = Recipe.read(args.config, args.set)
    args.out = folder_of(args.out)
    names = [f"{split}.npz" for split in SPLITS]
    with alone_in(args.out, names):
        template = _template(args, recipe)
        with atomic_folder(args.out) as new:
            for split, name in zip(SPLITS, names, strict=True):
                Stack.of(load_grids(args.data, split, recipe.grid, template), recipe.grid).save(new / name)
                print(f"packed {split}")
    print(f"wrote {', '.join(names)} into {args.out}")
    return 0


def run_tokenizer(args: argparse.Namespace) -> int:
    """Train a tokenizer and write it into the bundle."""
    recipe, device = _prepare(args)
    with alone_in(args.out, OUTPUTS):
        return _train_tokenizer(args, recipe, device)


def _train_tokenizer(args: argparse.Namespace, recipe: Recipe, device: torch.device) -> int:
    work, history = _work_of(args, "tokenizer"), read_history(args.out)
    source = _source(args, args.start, recipe)
    start = load_weights(make_own(recipe.tokenizer), source / "tokenizer.safetensors") if source else None
    judge = _judge(args.features, recipe) if args.features else None
    template = _template(args, recipe, source)
    train, held_out = (_learn(args, split, recipe, template) for split in ("train", "validation"))
    background, training = recipe.grid.background, _with_lpips(recipe.tokenizer_training, args.lpips)
    options = options_of(grid=recipe.grid, tokenizer=recipe.tokenizer, tokenizer_training=training)
    model = train_tokenizer(
        recipe.tokenizer, training, train, held_out, background, work, device, start, judge, options
    )
    command, schedule = command_line("train tokenizer", args, args.out, "start", "features"), training.schedule
    trained = Trained(command=command, schedule=schedule, steps=state_of(work)["step"], loss=describe(training))
    with atomic_folder(args.out) as new:
        if source:
            _share(source, new, (LINEAR,))
        elif template is not None:
            PCA.fit(train.slices()).save(new)
        recipe.bundle_config().save(new)
        save_weights(model, new / "tokenizer.safetensors")
        write_history(new, {**history, "tokenizer": trained})
    print(f"wrote {args.out / 'tokenizer.safetensors'}; loss curves in {work / 'curves.png'}")
    return 0


def run_prior(args: argparse.Namespace) -> int:
    """Train a prior on the codes of the bundle's tokenizer, or of another's, and write it into the bundle."""
    recipe, device = _prepare(args)
    with alone_in(args.out, OUTPUTS):
        return _train_prior(args, recipe, device)


def _train_prior(args: argparse.Namespace, recipe: Recipe, device: torch.device) -> int:
    work, history = _work_of(args, "prior"), read_history(args.out)
    source = _source(args, args.tokenizer, recipe)
    base = source or args.out
    if not (base / "config.json").exists():
        raise InputError(f"{base} has no tokenizer yet; train it first.")
    config = recipe.bundle_config() if source else _with_prior(base, recipe)
    tokenizer = load_weights(make_tokenizer(config.tokenizer), base / "tokenizer.safetensors").to(device)
    start, levels = _begun_prior(args, recipe, config.tokenizer.n_codes), config.levels
    template = _template(args, recipe, source)
    train, held_out = (_learn(args, split, recipe, template) for split in ("train", "validation"))
    background, training = recipe.grid.background, recipe.prior_training
    options = options_of(grid=recipe.grid, tokenizer=config.tokenizer, prior=recipe.prior, prior_training=training)
    model = train_prior(
        recipe.prior, training, tokenizer, train, held_out, background, work, device, levels, start, options
    )
    if source and "tokenizer" in (theirs := read_history(source)):
        history["tokenizer"] = theirs["tokenizer"]
    seen = "hidden codes" if isinstance(model, MaskedPrior) else "codes"
    loss = f"cross-entropy of {seen}, on codes of {training.variants} versions of the training slices"
    command, schedule = command_line("train prior", args, args.out, "tokenizer", "start"), training.schedule
    trained = Trained(command=command, schedule=schedule, steps=state_of(work)["step"], loss=loss)
    with atomic_folder(args.out) as new:
        if source:
            _share(source, new, (LINEAR, "tokenizer.safetensors"))
        config.save(new)
        save_weights(model, new / "prior.safetensors")
        write_history(new, {**history, "prior": trained})
    print(f"wrote {args.out / 'prior.safetensors'}; loss curves in {work / 'curves.png'}")
    return 0


def _work_of(args: argparse.Namespace, network: str) -> Path:
    """Return the folder of a network's checkpoint, and check it before the data are read.

    Raises:
        InputError: it cannot be written to, or its checkpoint is damaged.
    """
    work = args.out / CHECKPOINTS / network
    check_folder(work, [CHECKPOINT])
    if (work / CHECKPOINT).exists():
        state_of(work)
    return work


def _source(args: argparse.Namespace, name: str | None, recipe: Recipe) -> Path | None:
    """Return the bundle to start with; None if none is given.

    Raises:
        InputError: it is the bundle to be trained, or has another tokenizer or grid.
    """
    if not name:
        return None
    source = find(name)
    if source.resolve() == args.out.resolve():
        raise InputError(f"{args.out} cannot begin with itself.")
    config = read_config(source)
    if (config.tokenizer, config.grid) != (recipe.tokenizer, recipe.grid):
        raise InputError(f"{source} has another tokenizer or grid than the recipe asks for.")
    return source


def _with_lpips(training: TokenizerTraining, path: Path | None) -> TokenizerTraining:
    """Return the training with LPIPS as perceptual distance; unchanged if there is no path.

    Raises:
        InputError: the recipe is not of a VQ-GAN.
    """
    if path is None:
        return training
    if training.adversarial is None:
        raise InputError("--lpips is for a VQ-GAN, and the recipe has no [tokenizer_training.adversarial].")
    return training.model_copy(update={"adversarial": training.adversarial.model_copy(update={"lpips": path})})


def _judge(name: str, recipe: Recipe) -> OwnTokenizer:
    """Load the tokenizer whose features measure perceptual distance.

    Raises:
        InputError: it has another grid, or its features cannot be used.
    """
    folder = find(name)
    config = read_config(folder)
    if not isinstance(config, VQConfig) or isinstance(config.tokenizer, MonaiTokenizerConfig):
        raise InputError(f"{folder} has no tokenizer whose features can be used.")
    if config.grid != recipe.grid:
        raise InputError(f"{folder} has another grid than the recipe asks for.")
    return load_weights(make_own(config.tokenizer), folder / "tokenizer.safetensors")


def _with_prior(folder: Path, recipe: Recipe) -> VQConfig:
    """Return the config of a bundle with the recipe's prior.

    Raises:
        InputError: the prior does not fit the codes.
    """
    try:
        return VQConfig(**read_config(folder).model_dump() | {"prior": recipe.prior})
    except ValidationError as error:
        raise InputError(f"{folder} does not fit the recipe: {error.errors()[0]['msg'].lower()}.") from error


def _begun_prior(args: argparse.Namespace, recipe: Recipe, n_codes: int) -> nn.Module | None:
    """Load the prior to start with; None if none is given.

    Raises:
        InputError: it has other sizes, or is of the bundle to be trained.
    """
    if not args.start:
        return None
    source = find(args.start)
    if source.resolve() == args.out.resolve():
        raise InputError(f"{args.out} cannot begin with itself.")
    config = read_config(source)
    if (config.prior, config.tokenizer.n_codes) != (recipe.prior, n_codes):
        raise InputError(f"{source} has another prior than the recipe asks for.")
    return load_weights(make_prior(config.prior, n_codes), source / "prior.safetensors")


def _share(source: Path, out: Path, names: tuple[str, ...]) -> None:
    """Copy files that a bundle takes over from another; only after the training, so that a failure changes nothing."""
    for name in names:
        if has_file(source, name):
            shutil.copyfile(path_of(source, name), out / name)


def run_calibrate(args: argparse.Namespace) -> int:
    """Write calibration.json and the card of a trained bundle."""
    torch.set_num_threads(args.threads)
    folder = find(args.bundle)
    with alone_in(folder, OUTPUTS):
        return _calibrate(args, folder)


def _calibrate(args: argparse.Namespace, folder: Path) -> int:
    read_history(folder)  # a record that the card cannot be written from is told before the work
    bundle = Bundle.load(folder, args.device, calibration=None if args.slices or args.missing else UNCALIBRATED)
    known = bundle.detector.variants
    if unknown := set(args.method).difference(known if args.slices or args.missing else ()):
        raise InputError(
            f"--method {min(unknown)} does not fit: with --slices or --missing, one of {', '.join(known)}."
        )
    spec = bundle.config.grid
    if spec.measurements is not None:
        raise InputError(f"{folder} is calibrated when it is trained: run 'napari-vqad train qspace' again.")
    stack = load_stack(args.data, "calibration", spec, bundle.template)
    if args.slices:
        write_text(folder / SLICES, slice_tables(bundle, stack, _say, args.method).model_dump_json() + "\n")
        print(f"wrote {folder / SLICES}")
        return 0

    def training(scans: int) -> Stack:
        return load_stack(args.data, "train", spec, bundle.template, scans)

    if args.missing:
        found = with_added_tables(bundle, stack, training, _say, args.method)
        with atomic_folder(folder) as new:
            _write_tables(found, bundle, new)
        print(f"wrote {folder / 'calibration.json'}; bundle {fingerprint(folder)[:12]}")
        return 0
    calibration, places = calibrate(bundle, stack, _say)
    calibration = with_added_tables(replace(bundle, calibration=calibration), stack, training, _say)
    held_out = load_stack(args.data, "validation", spec, bundle.template).of_brain()
    facts = facts_of(bundle, held_out)
    with atomic_folder(folder) as new:
        _write_tables(calibration, bundle, new)
        if places is not None:
            places.save(new)
        write_card(bundle, calibration, facts, held_out, new)
    print(f"wrote {folder / 'calibration.json'} and {folder / 'README.md'}; bundle {fingerprint(folder)[:12]}")
    return 0


def _write_tables(calibration: Calibration, bundle: Bundle, folder: Path) -> None:
    of_maps = calibration.model_dump_json(exclude={"slices", "slice_nll"})
    (folder / "calibration.json").write_text(of_maps + "\n", encoding="utf-8")
    tables = SliceTables(weights=bundle.weights, slice_nll=calibration.slice_nll, slices=calibration.slices)
    (folder / SLICES).write_text(tables.model_dump_json() + "\n", encoding="utf-8")


def _say(line: str) -> None:
    print(line, flush=True)


def _learn(args: argparse.Namespace, split: Split, recipe: Recipe, template: Template | None) -> Stack:
    return load_stack(args.data, split, recipe.grid, template).of_brain()


def _template(args: argparse.Namespace, recipe: Recipe, source: Path | None = None) -> Template | None:
    """Load the template of the bundle, of the one to start with, or of the packed data; else make it from scans."""
    if not recipe.grid.aligned:
        return None
    for folder in (args.out, *([source] if source else []), args.data):
        if has_file(folder, TEMPLATE):
            found = Template.load(folder)
            break
    else:
        found = make_template(list(ixi_scans(args.data, "train")), recipe.grid, recipe.slices)
    with atomic_folder(args.out) as new:
        found.save(new)
    return Template.load(args.out)  # with the eight bits that are stored


def _prepare(args: argparse.Namespace) -> tuple[Recipe, torch.device]:
    torch.set_num_threads(args.threads)
    args.out = folder_of(args.out)
    return Recipe.read(args.config, args.set), pick_device(args.device)
