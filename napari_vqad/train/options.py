"""The options that training commands share, and how a model card shows the command that was given."""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def add_recipe_options(
    parser: argparse.ArgumentParser, out: str = "folder of the bundle", *, changes: bool = False
) -> None:
    """Add the options for the recipe and the folder to write; with `changes`, also the one that changes the recipe."""
    parser.add_argument("--config", required=True, help="recipe: a TOML file, or the name of one that comes along")
    parser.add_argument("--out", required=True, help=out)
    if changes:
        parser.add_argument(
            "--set", action="append", default=[], metavar="KEY=VALUE", help="change a value of the recipe"
        )


def add_data_options(
    parser: argparse.ArgumentParser, data: str = "folder with t1/ and dlmuse_seg/, of clips, or packed"
) -> None:
    """Add the options for the data, the device and the number of threads; `data` says what the folder holds."""
    parser.add_argument("--data", type=Path, required=True, help=data)
    parser.add_argument("--device", default="auto", help="auto, cuda, mps or cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="CPU threads")


def command_line(command: str, args: argparse.Namespace, out: Path, *bundles: str) -> str:
    """Return the command that the user gave, with the names of bundles and recipe instead of their paths.

    Args:
        command: such as "train gan".
        args: the parsed options.
        out: folder of the bundle.
        bundles: names of the options that name other bundles, in the order to show.
    """
    given = f" --config {Path(args.config).stem}"
    given += " --data DATA" if hasattr(args, "data") else ""
    given += f" --out models/{out.name}"
    given += "".join(f" --{name} {Path(getattr(args, name)).name}" for name in bundles if getattr(args, name))
    given += "".join(f" --set {change}" for change in getattr(args, "set", ()))
    return f"napari-vqad {command}{given}"
