"""Studies that are cut short, damaged, of another version, or made to do harm: each is refused by a sentence."""

import json
import os
import zipfile

import numpy as np
import pytest
from safetensors.numpy import load, save
from saved_study import edit

from napari_vqad.errors import InputError
from napari_vqad.export.study import find_scan, open_study, save_study
from napari_vqad.files import limits


def test_a_broken_file_is_refused_whatever_is_missing(saved, bundle):
    whole = saved.read_bytes()
    middle = len(whole) // 2
    for content in (b"", b"no study", whole[:-30], whole[:middle], whole[:middle] + b"\0\1\2\3" + whole[middle + 4 :]):
        saved.write_bytes(content)
        with pytest.raises(InputError, match=r"reading\.vqad is (cut short or )?damaged"):
            open_study(saved, bundle=bundle)
    with pytest.raises(InputError, match=r"nowhere\.vqad does not exist"):
        open_study(saved.parent / "nowhere.vqad", bundle=bundle)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"format": 7}, "is a study of format 7; this version of napari-vqad reads formats 1 and 2"),
        ({"which": "x"}, "damaged: it does not fit at 'which'"),
        ({"settings__surprise": 1}, "damaged: it does not fit at 'settings.surprise'"),
        ({"scan__shape": [400, 400, 400]}, "damaged: its arrays"),
        ({"format": [[]]}, "is a study of format"),
        ({"scan__shape": [10**9, 10**9, 10**9]}, "damaged: it does not fit at 'scan.shape.0'"),
        ({"scan__shape": [30000, 30000, 30000]}, "damaged: it does not fit at 'scan'"),
        ({"scan__affine": [[0.0] * 4] * 4}, "damaged: it does not fit at 'scan'"),
        ({"grid__scale": 0}, "damaged: it does not fit at 'grid.scale'"),
        ({"grid__axis": 3}, "damaged: it does not fit at 'grid.axis'"),
        ({"grid__axis": 1}, "damaged: its slices lie along another axis"),
        ({"grid__aligned": True}, "damaged: its slices do not fit Tiny"),
        ({"grid__view": [[0, 0, 0], [0, 4, 4], [9, 9, 9]]}, "damaged: it does not fit at 'grid'"),
    ],
)
def test_another_version_and_what_does_not_fit(saved, bundle, change, sentence):
    edit(saved, **change)
    with pytest.raises(InputError, match=sentence):
        open_study(saved, bundle=bundle)


def spoil(path, change):
    """Change the arrays of a study."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    arrays = load(parts["arrays.safetensors"])
    change(arrays)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("study.json", parts["study.json"])
        archive.writestr("arrays.safetensors", save({k: np.ascontiguousarray(v) for k, v in arrays.items()}))


ARRAYS = {
    "a code that there is not": (lambda a: a["nll/codes"].__setitem__((0, 0, 0), 16), "codes do not fit Tiny"),
    "a restored code that there is not": (
        lambda a: a["restoration/codes"].__setitem__((0, 0, 0), 999),
        "codes do not fit Tiny",
    ),
    "a code below zero": (lambda a: a["nll/codes"].__setitem__((0, 0, 0), -1), "codes do not fit Tiny"),
    "NaN": (lambda a: a["slices"].__setitem__((0, 0, 0), np.nan), "its arrays"),
    "no brain": (lambda a: a["grid_mask"].fill(0), "its arrays"),
    "one too many": (lambda a: a["count/restoration"].__setitem__(3, 4), "its arrays"),
    "fewer than none": (lambda a: a["count/restoration"].__setitem__(slice(3, 5), (-1, 7)), "its arrays"),
    "another kind": (lambda a: a.update({"nll/nll": a["nll/nll"].astype(np.int32)}), "codes do not fit Tiny"),
    "unknown": (lambda a: a.update(more=np.zeros(3)), "its arrays"),
    "missing": (lambda a: a.pop("position"), "its arrays"),
    "nowhere": (lambda a: a["placement"].fill(0), "its arrays"),
    "a falling curve": (lambda a: a.update(levels=a["levels"][::-1].copy()), "its arrays"),
    "very large": (lambda a: a.update({"decode/difference": np.zeros((10**6, 32, 40), np.float16)}), "its arrays"),
}


@pytest.mark.parametrize("what", ARRAYS)
def test_arrays_that_do_not_make_a_study_are_refused(saved, bundle, what):
    change, sentence = ARRAYS[what]
    if what == "very large":  # by its header: what it packs is not even looked at
        with zipfile.ZipFile(saved) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        n = int.from_bytes(parts["arrays.safetensors"][:8], "little")
        header = json.loads(parts["arrays.safetensors"][8 : 8 + n])
        header["decode/difference"]["shape"][0] = 10**9
        raw = json.dumps(header).encode()
        with zipfile.ZipFile(saved, "w") as archive:
            archive.writestr("study.json", parts["study.json"])
            archive.writestr("arrays.safetensors", len(raw).to_bytes(8, "little") + raw + bytes(1000))
    else:
        spoil(saved, change)
    with pytest.raises(InputError, match=rf"reading\.vqad is damaged: .*{sentence}"):
        open_study(saved, bundle=bundle)


def test_a_study_that_unpacks_beyond_the_limit_is_refused(saved, bundle, monkeypatch):
    with zipfile.ZipFile(saved, "a", zipfile.ZIP_DEFLATED) as archive:
        size = archive.getinfo("arrays.safetensors").file_size
    monkeypatch.setattr(limits, "STUDY", size - 1)
    with pytest.raises(InputError, match=r"reading\.vqad is too large: its arrays\.safetensors would unpack to"):
        open_study(saved, bundle=bundle)
    with pytest.raises(InputError, match="are read again"):
        save_study(saved, open_explorer(saved, bundle, monkeypatch), np.ones((30, 32, 28), bool))


def open_explorer(path, bundle, monkeypatch):
    monkeypatch.undo()
    explorer = open_study(path, bundle=bundle).explorer
    monkeypatch.setattr(limits, "STUDY", limits.TENSOR_HEADER + 1000)
    return explorer


def test_json_nested_without_end_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "deep.vqad", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("study.json", "[" * 100_000)
    assert (tmp_path / "deep.vqad").stat().st_size < 446
    with pytest.raises(InputError, match=r"deep\.vqad is damaged"):
        find_scan(tmp_path / "deep.vqad")


@pytest.mark.parametrize("what", ["study", "scan"])
def test_a_pipe_for_a_study_or_behind_one_is_refused(saved, scan, bundle, what):
    of_pipe = saved if what == "study" else scan
    of_pipe.unlink()
    os.mkfifo(of_pipe)
    with pytest.raises(InputError, match="is not a file but a pipe" if what == "study" else "is not there"):
        open_study(saved, bundle=bundle)
