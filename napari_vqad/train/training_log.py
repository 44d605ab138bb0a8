"""How the networks of a bundle came about: `training.json`, from which the card is written."""

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
    """One network: its command, its schedule (None where it is fitted in one go), and what else the card says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: str
    schedule: Schedule | None = None
    steps: int = 0  # that were done; fewer than scheduled where the held-out loss had stopped falling
    loss: str = ""
    note: str = ""


_TABLE = TypeAdapter(dict[Network, Trained])


def read_history(folder: Path) -> dict[Network, Trained]:
    """What is known of a bundle's networks; nothing where there is no record.

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
