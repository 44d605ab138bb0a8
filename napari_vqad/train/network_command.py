"""What the commands share that train the networks of one detector: options, recipe, training, and the new bundle."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from pydantic import BaseModel, ConfigDict

from napari_vqad.detectors.pca import FILE as LINEAR
from napari_vqad.detectors.pca import PCA
from napari_vqad.detectors.registry import detector_class
from napari_vqad.files.atomic import atomic_folder
from napari_vqad.files.jsonfile import validated
from napari_vqad.files.space import check_folder, folder_of
from napari_vqad.nets.device import pick_device
from napari_vqad.train.data import Stack, load_stack
from napari_vqad.train.detector import template_of
from napari_vqad.train.fit import CHECKPOINT, Schedule, alone_in, state_of
from napari_vqad.train.options import add_recipe_options, command_line
from napari_vqad.train.recipe import detector_named, read_toml
from napari_vqad.train.same_recipe import Options, options_of
from napari_vqad.train.training_log import Trained, write_history

CHECKPOINTS = ".training"  # hidden folder of a bundle, so that the same command resumes an interrupted training


class NetworkTraining(BaseModel):
    """The recipe's table [training]: what the networks learn from and how. Each command adds its own fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schedule: Schedule


Training = TypeVar("Training", bound=NetworkTraining)


@dataclass(frozen=True)
class TrainingRun(Generic[Training]):
    """One training.

    Attributes:
        config: config.json of the bundle.
        training: how to train.
        train, held_out: slices of the training and the validation split.
        folder: folder of the checkpoint and the loss curves.
        device: where the networks are trained.
    """

    config: Any
    training: Training
    train: Stack
    held_out: Stack
    folder: Path
    device: torch.device

    @property
    def recipe(self) -> Options:
        """The options that decide the training; its checkpoint is resumed only with the same ones."""
        return options_of(bundle=self.config, training=self.training)


class Savable(Protocol):
    """A detector with trained networks."""

    def save(self, folder: Path) -> None:
        """Write its files into the folder of a bundle."""


@dataclass(frozen=True)
class NetworkCommand(Generic[Training]):
    """A command that trains the networks of a detector.

    Attributes:
        name, help: name of the command and a line about it.
        kinds: the detectors that it trains, by their names in config.json.
        training: model of the recipe's table [training].
        train: trains the networks of a run and returns the detector.
        describe: config and training → the loss and a further note in words, for the model card.
        checkpoints: name of the folder of the checkpoint.
    """

    name: str
    help: str
    kinds: tuple[str, ...]
    training: type[Training]
    train: Callable[[TrainingRun[Training]], Savable]
    describe: Callable[[Any, Training], tuple[str, str]]
    checkpoints: str = "network"

    def add_to(self, kinds: argparse._SubParsersAction) -> argparse.ArgumentParser:
        """Add the command to `napari-vqad train`; the caller adds the options for data and device."""
        parser = kinds.add_parser(self.name, help=self.help)
        add_recipe_options(parser, changes=True)
        parser.add_argument("--start", metavar="BUNDLE", help="take the template from this one")
        parser.set_defaults(func=self.run)
        return parser

    def read_recipe(self, name: str | Path, changes: Sequence[str] = ()) -> tuple[Any, Training]:
        """Read a recipe: the bundle's config, and the training.

        Raises:
            InputError: there is no such recipe, it does not fit, or its detector is trained by another command.
        """
        given, path = read_toml(name, changes)
        detector = detector_named(given, path, self.kinds)
        training = validated(self.training, given.pop("training", {}), path)
        return validated(detector.Config, given, path), training

    def run(self, args: argparse.Namespace) -> int:
        """Train the networks of a recipe and write their bundle; `calibrate` completes it."""
        torch.set_num_threads(args.threads)
        (config, training), out = self.read_recipe(args.config, args.set), folder_of(args.out)
        device, work = pick_device(args.device), out / CHECKPOINTS / self.checkpoints
        with alone_in(out, (*detector_class(config.detector).files, "config.json", "README.md")):
            check_folder(work, [CHECKPOINT])
            template = template_of(args, config, out)
            train, held_out = (
                load_stack(args.data, split, config.grid, template).of_brain() for split in ("train", "validation")
            )
            detector = self.train(TrainingRun(config, training, train, held_out, work, device))
            loss, note = self.describe(config, training)
            trained = Trained(
                command=command_line(f"train {self.name}", args, out, "start"),
                schedule=training.schedule,
                steps=state_of(work)["step"],
                loss=loss,
                note=note,
            )
            with atomic_folder(out) as new:
                config.save(new)
                detector.save(new)
                if template is not None:
                    template.save(new)
                    PCA.fit(train.slices()).save(new, LINEAR)
                write_history(new, {"network": trained})
        print(f"wrote {out}; loss curves in {work / 'curves.png'}; run 'napari-vqad calibrate {out}' next")
        return 0
