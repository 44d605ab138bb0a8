"""The record of a bundle's training, `training.json`, from which the model card is written."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter

from napari_vqad.errors import InputError
from napari_vqad.files.jsonfile import read_json, validated_as
from napari_vqad.train.fit import Schedule

FILE = "training.json"
Network = Literal["tokenizer", "prior", "detector", "network"]


class Trained(BaseModel):
    """The training of one network: command, schedule (None if it was fitted in one step), and text for the card."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: str
    schedule: Schedule | None = None
    steps: int = 0  # steps taken; fewer than scheduled if the training stopped early
    loss: str = ""
    note: str = ""


_TABLE = TypeAdapter(dict[Network, Trained])


def read_history(folder: Path) -> dict[Network, Trained]:
    """Read the record of a bundle; empty if there is none.

    Raises:
        InputError: the record is damaged.
    """
    path = folder / FILE
    try:
        return validated_as(_TABLE, read_json(path), path) if path.exists() else {}
    except InputError as error:
        raise InputError(f"{error} Remove it, and the card will say 'Not recorded'.") from error


def write_history(folder: Path, history: dict[Network, Trained]) -> None:
    """Write `training.json`.

    Raises:
        OSError: it cannot be written.
    """
    (folder / FILE).write_bytes(_TABLE.dump_json(history, indent=1) + b"\n")
