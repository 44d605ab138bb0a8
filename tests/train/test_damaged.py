"""Recipes, packed stacks, records of training and tables of cases that are damaged: refused by a sentence."""

import numpy as np
import pytest

from napari_vqad.errors import InputError
from napari_vqad.evaluate.cases import read_table
from napari_vqad.files import limits
from napari_vqad.train import autoencoder, gan, ganomaly, qspace
from napari_vqad.train.data import Stack
from napari_vqad.train.detector import read_recipe
from napari_vqad.train.recipe import FOLDER, Recipe, read_toml
from napari_vqad.train.reuse import read_recipe as read_recipe_of_user
from napari_vqad.train.training_log import read_history

RECIPE = (FOLDER / "ixi-aligned.toml").read_text(encoding="utf-8")


READERS = {kind: c.COMMAND.read_recipe for c in (autoencoder, gan, ganomaly) for kind in c.COMMAND.kinds}
READERS |= {"vae-restoration": read_recipe_of_user, None: lambda path: (Recipe.read(path),)}
READERS["qspace"] = lambda path: (qspace.read_recipe(path, ()),)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda p: p.stem)
def test_every_recipe_that_comes_along_is_read(path):
    kind = read_toml(path)[0].get("detector")
    assert READERS.get(kind, read_recipe)(path)[0].title  # the others are fitted in one go


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        (b"title = '\xff'", "not text in UTF-8"),
        (".".join(["a"] * 50_000).encode() + b" = 1", "too large|dots"),
        (".".join(["a"] * 5000).encode() + b" = 1", "more than 200 dots"),
        (b"a = " + b"[" * 20_000, "not readable TOML"),
        (b"a = " + b"9" * 5000, "not readable TOML"),
        (RECIPE.replace("aligned = true", "aligned = true\nspacing = nan").encode(), r"does not fit at 'grid'"),
        (
            RECIPE.replace("aligned = true", "aligned = true\nspacing = 1979-05-27").encode(),
            r"does not fit at 'grid.spacing'",
        ),
    ],
    ids=["latin", "many dots", "some dots", "deep", "long", "nan", "date"],
)
def test_a_recipe_that_is_none_is_refused(tmp_path, raw, word):
    path = tmp_path / "recipe.toml"
    path.write_bytes(raw)
    with pytest.raises(InputError, match=word) as caught:
        Recipe.read(path)
    assert "\n" not in str(caught.value)


def arrays(**changed):
    good = {
        "levels": np.zeros((3, 4, 10), np.uint8),
        "mask": np.zeros((3, 4, 2), np.uint8),
        "position": np.zeros(3, np.float32),
        "scan": np.zeros(3, np.int64),
        "clip": np.array([-3.0, 4.0]),
    }
    return {name: array for name, array in (good | changed).items() if array is not None}


def test_a_packed_stack_comes_back(tmp_path):
    np.savez_compressed(tmp_path / "it.npz", **arrays())
    assert Stack.load(tmp_path / "it.npz").levels.shape == (3, 4, 10)


@pytest.mark.parametrize(
    "changed",
    [
        {"levels": np.zeros((3, 4, 10))},
        {"levels": np.zeros((0, 4, 10), np.uint8)},
        {"levels": np.zeros(3, np.uint8)},
        {"mask": np.zeros((3, 4, 3), np.uint8)},
        {"mask": np.zeros((3, 4, 2))},
        {"position": np.zeros(2, np.float32)},
        {"position": np.full(3, np.nan)},
        {"scan": np.zeros(3)},
        {"scan": np.full(3, -1)},
        {"clip": np.array([4.0, -3.0])},
        {"clip": np.array([-np.inf, 4.0])},
        {"clip": np.array([-1e300, 4.0])},
        {"clip": None},
        {"scan": np.array([{}, 1, 2], dtype=object)},
    ],
    ids=range(14),
)
def test_a_stack_that_does_not_fit_is_refused(tmp_path, changed):
    np.savez(tmp_path / "it.npz", **arrays(**changed))
    with pytest.raises(InputError, match=r"it\.npz is not a stack packed by 'napari-vqad train pack'"):
        Stack.load(tmp_path / "it.npz")


def test_a_stack_that_unpacks_beyond_the_limit_is_refused(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "it.npz", **arrays(levels=np.zeros((300, 100, 100), np.uint8)))
    monkeypatch.setattr(limits, "VOXELS", 2**20)
    with pytest.raises(InputError, match=r"its levels\.npy would unpack to 2\.9 MiB"):
        Stack.load(tmp_path / "it.npz")


@pytest.mark.parametrize("raw", [b"", b"[]", b"[" * 100_000, b'{"tokenizer": {"steps": NaN}}', b'{"tokenizer": 1}'])
def test_a_damaged_record_of_training_is_refused(tmp_path, raw):
    (tmp_path / "training.json").write_bytes(raw)
    with pytest.raises(InputError, match=r"training\.json"):
        read_history(tmp_path)


def test_a_table_of_cases_is_read(tmp_path):
    (tmp_path / "cases.csv").write_bytes("\ufeffcase,kind,note\ncase00,normal,ä\n".encode())
    assert read_table(tmp_path / "cases.csv") == [{"case": "case00", "kind": "normal", "note": "ä"}]


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        (b"name,kind\ncase00,normal\n", "line 2"),
        (b"case,kind\ncase00\n", "line 2"),
        (b"case,kind\ncase00,normal\n../../other,cube\n", "line 3"),
        (b"case,kind\ncase\0,normal\n", "line 2|readable"),
        (b"case,kind\n\xff,normal\n", "UTF-8"),
        (b'case,kind\n"' + b"a" * 200_000, "not a readable table"),
        (b"case,kind\n" + b"a,b\n" * 300_000, "too large"),
    ],
    ids=["no case", "short", "elsewhere", "NUL", "latin", "long field", "large"],
)
def test_a_table_that_is_none_is_refused(tmp_path, raw, word):
    (tmp_path / "cases.csv").write_bytes(raw)
    with pytest.raises(InputError, match=word):
        read_table(tmp_path / "cases.csv")
