"""The options of a recipe that decide a training: a checkpoint stores them, and is resumed only with the same ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from napari_vqad.imaging.grid_spec import GridSpec

Options = dict[str, Any]
# The texts of a bundle decide nothing; schedules are compared by `fit`, which knows their defaults of earlier versions.
LEFT_OUT = {"version", "title", "description", "schedule"}


def options_of(**parts: BaseModel | GridSpec) -> Options:
    """Return the options of parts of a recipe by name, as values that JSON can hold.

    A path counts only as present or absent, so that a file may be moved.
    """
    whole = {n: p.model_dump() if isinstance(p, BaseModel) else asdict(p) for n, p in parts.items()}
    return {n: {k: _plain(v) for k, v in part.items() if k not in LEFT_OUT} for n, part in whole.items()}


def difference(stored: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Return the first option that differs, such as "training.w_con is 50, and 1 here"; None if all are the same.

    An option that only one of the two has is no difference: it was added by a later version.
    """
    return next(iter(_differences(stored, now, "")), None)


def _differences(stored: Mapping[str, Any], now: Mapping[str, Any], table: str) -> list[str]:
    found = []
    for name, value in now.items():
        before = stored.get(name, value)
        if isinstance(before, dict) and isinstance(value, dict):
            found += _differences(before, value, f"{table}{name}.")
        elif before != value:
            found.append(f"{table}{name} is {_said(before)}, and {_said(value)} here")
    return found


def _said(value: Any) -> str:
    return "a table" if isinstance(value, dict) else json.dumps(value, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return True if isinstance(value, Path) else value
