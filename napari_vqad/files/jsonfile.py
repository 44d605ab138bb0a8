"""JSON of unknown origin: bounded in size and depth, numbers finite, checked as a whole against a model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from napari_vqad.errors import InputError
from napari_vqad.files import limits
from napari_vqad.files.regular import check_size, read_regular

T = TypeVar("T")
Model = TypeVar("Model", bound=BaseModel)
WORDS = 100  # characters of what a file says that go into a sentence


def read_json(path: Path, missing: str = "does not exist") -> Any:
    """What a JSON file says.

    Raises:
        InputError: as `read_regular` and `parse_json`.
    """
    return parse_json(read_regular(path, limits.JSON, missing), path)


def parse_json(raw: bytes, path: str | Path) -> Any:
    """What JSON in UTF-8 says; `path` names it in the sentence.

    Raises:
        InputError: it is too large, no JSON, holds NaN or infinity, or is nested too deeply.
    """
    check_size(len(raw), limits.JSON, path)
    try:
        found = json.loads(raw.decode("utf-8-sig"), parse_constant=_no_number)
    except RecursionError as error:
        raise _too_deep(path) from error
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError are such
        raise InputError(f"{path} is not readable JSON.") from error
    # Level by level, not by recursion: that is what a file made to harm is after.
    level = [found]
    for _ in range(limits.DEPTH):
        level = [inner for outer in level for inner in _within(outer)]
        if not level:
            return found
    raise _too_deep(path)


def validated(kind: type[Model], data: Any, path: str | Path) -> Model:
    """Data as a model of pydantic.

    Raises:
        InputError: they do not fit; the sentence says where.
    """
    return validated_as(TypeAdapter(kind), data, path)


def validated_as(adapter: TypeAdapter[T], data: Any, path: str | Path) -> T:
    """Data as what an adapter of pydantic makes of them.

    Raises:
        InputError: as `validated`.
    """
    try:
        return adapter.validate_python(data)
    except ValidationError as error:
        raise InputError(f"{path} does not fit {where_and_why(error)}.") from error
    except (RecursionError, OverflowError) as error:
        raise InputError(f"{path} does not fit.") from error


def where_and_why(error: ValidationError) -> str:
    """The first thing that does not fit: "at 'grid.spacing': input should be greater than 0"."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = short(".".join(str(part) for part in first["loc"]))
    why = short(first["msg"].removeprefix("Value error, ").lower().rstrip("."))
    return f"at '{where}': {why}" if where else f": {why}"


def short(text: object) -> str:
    """What a file says, as one line of at most `WORDS` characters for a sentence."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)[: 10 * WORDS]).split())
    return line if len(line) <= WORDS else line[: WORDS - 1] + "…"


def _within(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        return iter(value.values())
    return iter(value if isinstance(value, list) else ())


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _too_deep(path: str | Path) -> InputError:
    return InputError(f"{path} is nested too deeply: at most {limits.DEPTH} levels are read.")
