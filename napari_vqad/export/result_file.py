"""Read a result.json, of this version or an earlier one."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from napari_vqad.errors import InputError
from napari_vqad.export.result_schema import ResultDict
from napari_vqad.files.regular import read_regular

LONGEST = 50_000_000  # bytes; a real file has a few kilobytes


def read_result(path: str | Path) -> ResultDict:
    """Read a result.json, as returned by `Result.as_dict`; keys of earlier versions are renamed.

    Raises:
        InputError: the file cannot be read, or is not a result.json.
    """
    path = Path(path)
    try:
        content = json.loads(read_regular(path, LONGEST))
        return _schema().validate_json(json.dumps([_renamed(content)]))[0]
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"][1:])) or "the file"
        raise InputError(f"{path} is not a result of this program: {where}: {first['msg']}.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a result of this program: it is not JSON.") from error


@cache
def _schema() -> TypeAdapter[list[ResultDict]]:
    # In a list, since pydantic accepts no configuration for a TypedDict itself.
    return TypeAdapter(list[ResultDict], config=ConfigDict(extra="forbid", strict=True))


def _renamed(content: Any) -> Any:
    """Rename the key `nll_peak_nats` of version 0.1.0 to `evidence_peaks`, and add its unit."""
    if not isinstance(content, dict) or not isinstance(content.get("findings"), list):
        return content
    units = content.get("units")
    if not isinstance(units, dict) or "evidence_peaks" in units:
        return content
    findings = [
        {k: v for k, v in f.items() if k != "nll_peak_nats"} | {"evidence_peaks": {"nll": f["nll_peak_nats"]}}
        if isinstance(f, dict) and "nll_peak_nats" in f
        else f
        for f in content["findings"]
    ]
    return content | {"findings": findings, "units": units | {"evidence_peaks": {"nll": "nats"}}}
