"""Ways to damage a file: change arbitrary bytes, or fields of its format."""

from __future__ import annotations

import gzip
import io
import json
import os
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Rng = np.random.Generator
Spoil = Callable[[bytes, Rng], bytes]

NUMBERS: tuple[int, ...] = (0, 1, 2, 3, 7, 8, 64, 127, 128, 255, 256, 1000, 2**15 - 1, 2**15, 2**16 - 1, 2**16, 2**24)
NUMBERS += (2**31 - 1, 2**31, 2**32 - 1)
ODD = (0.0, -0.0, -1.0, -4.0, 1e-30, 1e-6, 1e6, 1e30, 1e38, 3.4e38, float("inf"), float("-inf"), float("nan"))
# Byte offsets in a NIfTI-1 header, by the type of number.
SHORTS = (0, 40, 42, 44, 46, 48, 50, 52, 54, 68, 70, 72, 74, 120, 252, 254, 344)
FLOATS = (76, 80, 84, 88, 92, 108, 112, 116, 124, 128, *range(256, 328, 4))
DEEP = 100_000
# Values for the header of an npy file.
SHAPES = ("()", "(0,)", "(-1,)", "(2, -3, -4)", "(99999999999, 9)", "(1.5,)", "None", "(" * 500 + ")" * 500)
DTYPES = ("|O", "<f8", "<f4", "<i8", "|V0", "<U9", "|S3", "M8[s]", "<c16", "|b1", "nonsense", "<f2")
# Values for a recipe.
TOML = (b"nan", b"-1", b"0", b"inf", b'""', b"[]", b"true", b"9" * 5000, b"[" * 3000 + b"]" * 3000, b"1e400", b"{}")


def any_bytes(raw: bytes, rng: Rng) -> bytes:
    """Make one to four changes at random positions."""
    for _ in range(int(rng.integers(1, 5))):
        raw = _BYTES[int(rng.integers(len(_BYTES)))](raw, rng)
    return raw


def in_gzip(spoil: Spoil) -> Spoil:
    """Damage the content of a gzip file and compress it again, or damage the compressed bytes."""

    def spoilt(raw: bytes, rng: Rng) -> bytes:
        way = int(rng.integers(8))
        if way == 0:
            return any_bytes(raw, rng)
        if way == 1:
            return raw + bytes(rng.integers(0, 256, int(rng.integers(1, 2000)), dtype=np.uint8))
        if way == 2:
            return raw + gzip.compress(bytes(int(rng.integers(1, 2**26))), 1)  # a second gzip member
        return gzip.compress(spoil(gzip.decompress(raw), rng), 1)

    return spoilt


def nifti_header(raw: bytes, rng: Rng) -> bytes:
    """Set fields of a NIfTI header to unusual numbers."""
    spoilt = bytearray(raw)
    for _ in range(int(rng.integers(1, 4))):
        if rng.random() < 0.5:
            value = int(rng.choice(NUMBERS)) * int(rng.choice((1, -1)))
            struct.pack_into("<H", spoilt, int(rng.choice(SHORTS)), value & 0xFFFF)
        else:
            struct.pack_into("<f", spoilt, int(rng.choice(FLOATS)), _single(rng))
    return bytes(spoilt)


def json_text(raw: bytes, rng: Rng) -> bytes:
    """Change one to three values of a JSON text, or its bytes."""
    if rng.random() < 0.15:
        return any_bytes(raw, rng)
    if rng.random() < 0.05:
        return b"[" * DEEP if rng.random() < 0.5 else b'{"a":' * DEEP
    tree = json.loads(raw)
    for _ in range(int(rng.integers(1, 4))):
        tree = _changed(tree, rng)
    text = json.dumps(tree).encode()
    # Placeholders for what json.dumps cannot write.
    return (
        text.replace(b'"<deep>"', b"[" * DEEP + b"]" * DEEP)
        .replace(b'"<huge>"', b"9" * 5000)
        .replace(b'"<inf>"', b"1e999")
    )


def safetensors(raw: bytes, rng: Rng) -> bytes:
    """Change the header, the numbers or arbitrary bytes of a safetensors file."""
    n = int.from_bytes(raw[:8], "little")
    header, numbers = raw[8 : 8 + n], bytearray(raw[8 + n :])
    way = int(rng.integers(6))
    if way == 0:
        return any_bytes(raw, rng)
    if way == 1:
        return int(rng.choice((0, 1, n + 1, 2**20, 2**31, 2**63))).to_bytes(8, "little") + raw[8:]
    if way == 2:  # NaN, infinity and other numbers
        for _ in range(int(rng.integers(1, 4))):
            at = int(rng.integers(0, max(len(numbers) - 8, 1)))
            numbers[at : at + 4] = rng.choice((b"\0\x7e\0\x7e", b"\xff\xff\xff\xff", b"\0\0\x80\x7f", b"\0\xfc\0\xfc"))
    elif way == 3:  # another number type, of the same size except F8
        old, new = ((b'"F16"', b'"BF16"'), (b'"F16"', b'"I16"'), (b'"F32"', b'"I32"'), (b'"F16"', b'"F8_E4M3"'))[
            int(rng.integers(4))
        ]
        header = header.replace(old, new, int(rng.integers(1, 50)))
    else:
        header = json_text(header, rng)
    return len(header).to_bytes(8, "little") + header + bytes(numbers)


def in_zip(spoil: Mapping[str, Spoil]) -> Spoil:
    """Damage, remove or enlarge a file in a zip archive, or damage the archive."""

    def spoilt(raw: bytes, rng: Rng) -> bytes:
        if rng.random() < 0.2:
            return any_bytes(raw, rng)
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        name = str(rng.choice(sorted(parts)))
        way = rng.random()
        if way < 0.05:
            del parts[name]
        elif way < 0.1:
            parts[name] = parts[name] + bytes(2**26)
        else:
            parts[name] = spoil.get(name, npy)(parts[name], rng)
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for name, content in parts.items():
                archive.writestr(name, content)
        return packed.getvalue()

    return spoilt


def npy(raw: bytes, rng: Rng) -> bytes:
    """Change shape, dtype or order in the header of an npy file, or its numbers, or arbitrary bytes."""
    n = int.from_bytes(raw[8:10], "little")
    header, numbers = raw[10 : 10 + n].decode("latin1"), raw[10 + n :]
    way = int(rng.integers(5))
    if way == 0:
        return any_bytes(raw, rng)
    if way == 1:
        numbers = any_bytes(numbers, rng)
    elif way == 2:
        shape = str(rng.choice(SHAPES))
        at = header.index("'shape':") + 8
        header = header[:at] + shape + ", }"
    elif way == 3:
        dtype = str(rng.choice(DTYPES))
        at = header.index("'descr':") + 8
        header = header[:at] + f"'{dtype}'" + header[header.index(",", at) :]
    else:
        header = header.replace("False", str(rng.choice(("True", "None", "1", "[]"))))
    packed = header.encode("latin1")
    return raw[:8] + (len(packed) & 0xFFFF).to_bytes(2, "little") + packed + numbers


def text(raw: bytes, rng: Rng) -> bytes:
    """Change or repeat a line of a text file, or change arbitrary bytes."""
    if rng.random() < 0.3:
        return any_bytes(raw, rng)
    lines = raw.split(b"\n")
    at = int(rng.integers(len(lines)))
    way = int(rng.integers(8))
    key, _, value = lines[at].partition(b"=")
    lines[at] = (
        key + b"= " + TOML[int(rng.integers(len(TOML)))],
        b"",
        lines[at] * 50,
        b"\xff\xfe" + lines[at],
        b".".join([b"a"] * int(rng.integers(2, 20000))) + b" = 1",
        b"\0" + lines[at],
        b'"' + lines[at],
        value + b"," + key,
    )[way]
    return b"\n".join(lines)


def instead(path: Path, rng: Rng) -> None:
    """Replace a file by a pipe, a device, a folder, a link to itself, zeros, nothing, or a very large file."""
    size = path.stat().st_size
    way = int(rng.integers(7))
    if way == 6:  # 6 GiB without disk space used; the old content stays at the start
        os.truncate(path, 6 * 2**30)
        return
    path.unlink()
    if way == 0:
        os.mkfifo(path)
    elif way == 1:
        path.symlink_to("/dev/zero")
    elif way == 2:
        path.mkdir()
    elif way == 3:
        path.symlink_to(path)
    elif way == 4:
        path.write_bytes(bytes(size))


def _changed(tree: Any, rng: Rng) -> Any:
    """Change one value at a random position."""
    if isinstance(tree, dict | list) and tree and rng.random() < 0.9:
        keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        key = keys[int(rng.integers(len(keys)))]
        way = rng.random()
        if way < 0.06:
            del tree[key]
        elif way < 0.1 and isinstance(tree, dict):
            tree[f"{key}x"] = tree[key]
        elif way < 0.14:
            tree[key] = tree[keys[int(rng.integers(len(keys)))]]
        else:
            tree[key] = _changed(tree[key], rng)
        return tree
    if isinstance(tree, list) and rng.random() < 0.4:
        return tree[::-1] if rng.random() < 0.5 else tree * 2
    if isinstance(tree, int | float) and not isinstance(tree, bool) and rng.random() < 0.5:
        factor = (-1, 0, 2, 1000, 10**9, 0.5)[int(rng.integers(6))]
        return type(tree)(tree * factor)
    values: tuple[Any, ...] = (
        *(None, True, False, "", "x" * 5000, "\0\n\ud800", [], {}, [[[]]], {"a": {"a": {}}}, -1, 0, 10**30, -(10**30)),
        *(float("nan"), float("inf"), 1e308, -1e-300, "<deep>", "<huge>", "<inf>", "../../../etc/passwd", [1] * 5000),
    )
    return values[int(rng.integers(len(values)))]


def _single(rng: Rng) -> float:
    value = float(rng.choice(ODD)) if rng.random() < 0.7 else float(rng.normal() * 10.0 ** rng.integers(-5, 6))
    return float(np.float32(value))


def _somewhere(raw: bytes, rng: Rng, most: int = 64) -> tuple[int, int]:
    at = int(rng.integers(len(raw) + 1))
    return at, min(at + int(rng.integers(1, most)), len(raw))


def _flip(raw: bytes, rng: Rng) -> bytes:
    if not raw:
        return raw
    at = int(rng.integers(len(raw)))
    return raw[:at] + bytes([raw[at] ^ (1 << int(rng.integers(8)))]) + raw[at + 1 :]


def _fill(raw: bytes, rng: Rng) -> bytes:
    a, b = _somewhere(raw, rng)
    return raw[:a] + (b"\0", b"\xff", b"\x80", b"[")[int(rng.integers(4))] * (b - a) + raw[b:]


def _noise(raw: bytes, rng: Rng) -> bytes:
    a, b = _somewhere(raw, rng)
    return raw[:a] + bytes(rng.integers(0, 256, b - a, dtype=np.uint8)) + raw[b:]


def _cut(raw: bytes, rng: Rng) -> bytes:
    return raw[: int(rng.integers(len(raw) + 1))]


def _take_out(raw: bytes, rng: Rng) -> bytes:
    a, b = _somewhere(raw, rng, 1000)
    return raw[:a] + raw[b:]


def _repeat(raw: bytes, rng: Rng) -> bytes:
    a, b = _somewhere(raw, rng, 300)
    return raw[:b] + raw[a:b] * int(rng.integers(1, 5)) + raw[b:]


def _number(raw: bytes, rng: Rng) -> bytes:
    a, _ = _somewhere(raw, rng)
    size = int(rng.choice((1, 2, 4, 8)))
    value = int(rng.choice(NUMBERS)) % 256**size
    return raw[:a] + value.to_bytes(size, "little" if rng.random() < 0.7 else "big") + raw[a + size :]


_BYTES: tuple[Spoil, ...] = (_flip, _flip, _fill, _noise, _cut, _take_out, _repeat, _number, _number)
