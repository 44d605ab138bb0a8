"""Reads JSON of unknown origin: size and depth are limited, numbers must be finite; pydantic validates the content."""

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
WORDS = 100  # most characters of a file's content quoted in a message


def read_json(path: Path, missing: str = "does not exist") -> Any:
    """Read a JSON file.

    Raises:
        InputError: as in `read_regular` and `parse_json`.
    """
    return parse_json(read_regular(path, limits.JSON, missing), path)


def parse_json(raw: bytes, path: str | Path) -> Any:
    """Parse JSON in UTF-8; `path` is named in messages.

    Raises:
        InputError: it is too large, not JSON, contains NaN or infinity, or is nested too deeply.
    """
    check_size(len(raw), limits.JSON, path)
    try:
        found = json.loads(raw.decode("utf-8-sig"), parse_constant=_no_number)
    except RecursionError as error:
        raise _too_deep(path) from error
    except ValueError as error:  # includes UnicodeDecodeError and JSONDecodeError
        raise InputError(f"{path} is not readable JSON.") from error
    # Level by level, since a malicious file could exhaust a recursion.
    level = [found]
    for _ in range(limits.DEPTH):
        level = [inner for outer in level for inner in _within(outer)]
        if not level:
            return found
    raise _too_deep(path)


def validated(kind: type[Model], data: Any, path: str | Path) -> Model:
    """Validate data with a pydantic model.

    Raises:
        InputError: the data do not fit; the message says where.
    """
    return validated_as(TypeAdapter(kind), data, path)


def validated_as(adapter: TypeAdapter[T], data: Any, path: str | Path) -> T:
    """Validate data with a pydantic type adapter.

    Raises:
        InputError: as in `validated`.
    """
    try:
        return adapter.validate_python(data)
    except ValidationError as error:
        raise InputError(f"{path} does not fit {where_and_why(error)}.") from error
    except (RecursionError, OverflowError) as error:
        raise InputError(f"{path} does not fit.") from error


def where_and_why(error: ValidationError) -> str:
    """Describe the first error: "at 'grid.spacing': input should be greater than 0"."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = short(".".join(str(part) for part in first["loc"]))
    why = short(first["msg"].removeprefix("Value error, ").lower().rstrip("."))
    return f"at '{where}': {why}" if where else f": {why}"


def short(text: object) -> str:
    """Shorten a file's content to one line of at most `WORDS` characters, for messages."""
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
