"""Only regular files are opened, searches end, and JSON, tensors and zips are refused before they are large."""

import io
import json
import os
import socket
import struct
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_vqad.errors import InputError
from napari_vqad.files import limits
from napari_vqad.files.archive import holds, read_npz
from napari_vqad.files.jsonfile import parse_json, read_json
from napari_vqad.files.regular import is_regular, open_regular, read_regular, read_text
from napari_vqad.files.search import listed, search
from napari_vqad.files.tensors import parse_tensors


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("kind", ["pipe", "folder", "socket", "device"])
def test_what_is_no_regular_file_is_refused_and_nothing_waits(tmp_path, monkeypatch, kind, linked):
    path = tmp_path / "it"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        monkeypatch.chdir(tmp_path)  # the name of a socket is short
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("it")
    if linked:
        path = tmp_path / "link"
        path.symlink_to("it")
    assert not is_regular(path)
    with pytest.raises(InputError, match=f"is not a file but a {kind}"):
        open_regular(path)


def test_a_file_that_is_missing_too_large_or_no_text_is_told(tmp_path):
    with pytest.raises(InputError, match=r"it is missing from the set\.$"):
        open_regular(tmp_path / "it", "is missing from the set")
    for name in ("a\0b", "x" * 300):
        with pytest.raises(InputError, match="cannot be opened"):
            open_regular(tmp_path / name)
    (tmp_path / "it").write_bytes(b"\xff" * 100)
    assert read_regular(tmp_path / "it", 100) == b"\xff" * 100
    with pytest.raises(InputError, match="too large: it has 100 bytes, and at most 99 bytes are read"):
        read_regular(tmp_path / "it", 99)
    with pytest.raises(InputError, match="not text in UTF-8"):
        read_text(tmp_path / "it", 100)


def test_a_search_is_by_name_and_leaves_out_what_is_hidden_or_linked(tmp_path):
    for name in ("b", "a", ".hidden", "z/c", ".secret/d"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "z" / "round").symlink_to(tmp_path)
    found = [p.relative_to(tmp_path).as_posix() for p in search(tmp_path, is_regular)]
    assert found == ["a", "b", "z/c"]
    assert [p.name for p in listed(tmp_path)] == ["a", "b", "z"]
    assert listed(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    ("limit", "value", "word"),
    [("SEARCH_FILES", 5, "more than 5 files"), ("SEARCH_DEPTH", 1, "1 deep"), ("SEARCH_SECONDS", 0.0, "to search")],
)
def test_a_search_ends(tmp_path, monkeypatch, limit, value, word):
    (tmp_path / "a" / "b").mkdir(parents=True)
    for n in range(4):
        (tmp_path / "a" / "b" / str(n)).touch()
    assert len(list(search(tmp_path, is_regular))) == 4
    monkeypatch.setattr(limits, limit, value)
    with pytest.raises(InputError, match=word):
        list(search(tmp_path, is_regular))


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        (b"[" * 100_000, "deep"),
        (b'{"a":' * 500 + b"1" + b"}" * 500, "deep"),
        (b"[NaN]", "not readable"),
        (b"[-Infinity]", "not readable"),
        (b"9" * 5000, "not readable"),
        (b'"\xff"', "not readable"),
        (b"[1,", "not readable"),
        (b" " * (limits.JSON + 1), "too large"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_json_that_is_none_is_refused(raw, word):
    with pytest.raises(InputError, match=word):
        parse_json(raw, "it.json")


def test_json_from_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "it.json")
    with pytest.raises(InputError, match="a pipe"):
        read_json(tmp_path / "it.json")


def test_bfloat16_is_read_as_the_numbers_that_it_is(tmp_path):
    wanted = torch.randn(3, 5).bfloat16()
    save_file({"a": wanted, "b": torch.tensor([True, False]), "c": torch.arange(3)}, tmp_path / "it")
    found = parse_tensors((tmp_path / "it").read_bytes(), "it")
    np.testing.assert_array_equal(found["a"], wanted.float().numpy())
    assert found["b"].tolist() == [True, False]
    assert found["c"].tolist() == [0, 1, 2]


def test_float8_and_what_is_not_finite_are_refused(tmp_path):
    for tensor, word in ((torch.ones(4).to(torch.float8_e4m3fn), "as F8_E4M3"), (torch.tensor([np.inf]), "not finite")):
        save_file({"a": tensor}, tmp_path / "it")
        with pytest.raises(InputError, match=word):
            parse_tensors((tmp_path / "it").read_bytes(), "it")


def headed(header: object, numbers: bytes = bytes(8)) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + numbers


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff" * 8,
        headed(b"[" * 100_000),
        headed([]),
        headed({"a": 1}),
        headed({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}),
        headed({"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}),
        headed({"a": {"dtype": "F32", "shape": [10**30], "data_offsets": [0, 4 * 10**30]}}),
        headed({"a": {"dtype": "F32", "shape": [True, 2], "data_offsets": [0, 8]}}),
        headed({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}),
        headed({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, bytes(9)),
    ],
    ids=range(11),
)
def test_a_header_of_tensors_that_lies_is_refused(raw):
    with pytest.raises(InputError, match="not a readable safetensors file"):
        parse_tensors(raw, "it")


def pack(path, **parts: bytes):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(f"{name}.npy", content)
    return path


def npy(array) -> bytes:
    raw = io.BytesIO()
    np.save(raw, array)
    return raw.getvalue()


def test_arrays_come_back_whatever_their_order(tmp_path):
    wanted = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    pack(tmp_path / "it.npz", c=npy(wanted), f=npy(np.asfortranarray(wanted)), n=npy(np.float64(3)))
    found = read_npz(tmp_path / "it.npz", ("c", "f", "n", "none"), "set", 2**20)
    assert list(found) == ["c", "f", "n"]
    np.testing.assert_array_equal(found["c"], wanted)
    np.testing.assert_array_equal(found["f"], wanted)
    assert found["n"] == 3


def test_an_array_beyond_the_limit_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    path = pack(tmp_path / "bomb.npz", a=npy(np.zeros(2**24, np.uint8)))
    monkeypatch.setattr(zipfile.ZipExtFile, "read", lambda *_: pytest.fail("it was unpacked"))
    with pytest.raises(InputError, match=r"its a\.npy would unpack to 16\.0 MiB, and at most 1\.0 MiB are read"):
        read_npz(path, ("a",), "set", 2**20)


@pytest.mark.parametrize("changed", ["size", "objects", "negative", "deep"])
def test_an_array_that_is_not_as_its_header_says_is_refused(tmp_path, changed):
    raw = npy(np.zeros(8, np.uint8))
    edits = {
        "size": (b"(8,)", b"(9,)"),
        "objects": (b"'|u1'", b"'|O' "),
        "negative": (b"(8,)", b"(-8,"),
        "deep": (b"(8,)", b"(" * 4),
    }
    old, new = edits[changed]
    with pytest.raises(InputError, match="not a readable set"):
        read_npz(pack(tmp_path / "it.npz", a=raw.replace(old, new)), ("a",), "set", 2**20)


def test_a_zip_that_says_too_little_of_its_size_is_refused(tmp_path):
    path = pack(tmp_path / "it.npz", a=npy(np.zeros(2**20, np.uint8)))
    raw = path.read_bytes()
    size = struct.pack("<L", 2**20 + 128)
    assert size in raw
    path.write_bytes(raw.replace(size, struct.pack("<L", 5000)))
    with pytest.raises(InputError, match="not a readable set"):
        read_npz(path, ("a",), "set", 2**20)


def test_a_very_long_list_of_contents_is_not_read(tmp_path, monkeypatch):
    path = pack(tmp_path / "it.npz", **{f"a{n}": b"" for n in range(30)})
    assert holds(path, "a3.npy")
    monkeypatch.setattr(limits, "ZIP_LIST", 1000)
    assert not holds(path, "a3.npy")
