import csv
import gzip

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from napari_vqad.cli import main
from napari_vqad.errors import InputError
from napari_vqad.evaluate import mnist
from napari_vqad.evaluate.mnist_report import rows_of
from napari_vqad.scores.novelty.table import SCORES

QUICK = {
    "steps": 2,
    "batch": 8,
    "samples": 2,
    "search_images": 40,
    "search_steps": 2,
    "kernel_images": 20,
    "sizes": {"channels": (2, 2), "latent": 2},
}


def idx(array):
    sizes = b"".join(int(n).to_bytes(4, "big") for n in array.shape)
    return gzip.compress(bytes((0, 0, 8, array.ndim)) + sizes + array.tobytes(), mtime=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """150 images: digits are bars at heights of their own, with noise."""
    rng, where = np.random.default_rng(0), tmp_path_factory.mktemp("mnist")
    labels = np.arange(150, dtype=np.uint8) % 10
    images = rng.integers(0, 60, (150, 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[2 * label + 4 : 2 * label + 7, 5:23] = 250
    (where / "t10k-images-idx3-ubyte.gz").write_bytes(idx(images))
    (where / "t10k-labels-idx1-ubyte.gz").write_bytes(idx(labels))
    return where


@pytest.fixture(scope="module")
def digits(folder):
    return mnist.read_mnist(folder)


def test_images_and_labels_are_read(digits):
    assert digits.images.shape == (150, 784)
    assert digits.labels.tolist() == [n % 10 for n in range(150)]
    assert (digits.images[3].reshape(28, 28)[10:13, 5:23] == np.float32(250 / 255)).all()


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"no gzip", "is no gzipped idx file"),
        (gzip.compress(b"\0\0\x08\x01", mtime=0), "is no gzipped idx file"),
        (idx(np.zeros(150, np.uint8))[:-12], "is no gzipped idx file"),
        (idx(np.zeros(149, np.uint8)), "with a label each"),
        (idx(np.full(150, 10, np.uint8)), "with a label each"),
        (None, "is missing beside the images"),
    ],
    # Names of its own for each file: two processes that collect the tests must agree on them.
    ids=["no gzip", "no header", "cut off", "too few", "no digit", "missing"],
)
def test_files_that_are_no_mnist_are_refused(folder, tmp_path, raw, message):
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes((folder / "t10k-images-idx3-ubyte.gz").read_bytes())
    if raw is not None:
        (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(raw)
    with pytest.raises(InputError, match=message):
        mnist.read_mnist(tmp_path)


def test_a_folder_without_mnist_is_refused(tmp_path):
    with pytest.raises(InputError, match="has no t10k-images"):
        mnist.read_mnist(tmp_path)


def test_the_novel_digit_is_in_the_test_alone(digits):
    of = mnist.split(digits.labels, 3, 0)
    assert (digits.labels[of.novel] == 3).all()
    assert len(of.novel) == 15
    normal = np.concatenate([of.train, of.stop, of.normal])
    assert sorted(normal.tolist()) == np.flatnonzero(digits.labels != 3).tolist()
    assert (len(of.train), len(of.stop), len(of.normal)) == (98, 10, 27)
    assert not np.array_equal(of.train, mnist.split(digits.labels, 3, 1).train)


def test_too_few_images_are_refused(digits):
    with pytest.raises(InputError, match="0 images of the digit 3"):
        mnist.split(digits.labels[digits.labels != 3], 3, 0)


def test_auroc_and_its_error():
    rng = np.random.default_rng(0)
    novel = np.arange(300) < 100
    scores = np.round(rng.normal(novel * 1.0, 1), 1)  # with ties
    found = mnist.auroc(novel, scores)
    assert found.value == pytest.approx(roc_auc_score(novel, scores), abs=1e-12)
    drawn = [
        roc_auc_score(novel, scores[np.concatenate([rng.integers(0, 100, 100), rng.integers(100, 300, 200)])])
        for _ in range(400)
    ]
    assert found.error == pytest.approx(np.std(drawn), rel=0.15)
    scores[::2] = np.nan
    assert mnist.auroc(novel, scores).images == 150
    assert np.isnan(mnist.auroc(novel[:101], scores[:101]).value)


def test_all_scores_of_a_digit_are_computed_once(digits, tmp_path):
    options, said = mnist.options_from(QUICK), []
    device = torch.device("cpu")
    first = mnist.run_digit(digits, 3, options, device, tmp_path, said.append)
    assert set(first.scores) == {*SCORES, *mnist.RIVALS}
    for name, values in first.scores.items():
        searched = name in SCORES and "search" in SCORES[name].needs
        assert np.isfinite(values).sum() == (40 if searched else 42), name
    again = mnist.run_digit(digits, 3, options, device, tmp_path, said.append)
    assert said[-1] == "digit 3: results of an earlier run"
    assert all(np.array_equal(first.scores[n], again.scores[n], equal_nan=True) for n in first.scores)
    (file,) = tmp_path.glob("digit-3-*/scores.npz")
    file.write_bytes(file.read_bytes()[:100])  # damaged: computed again
    mended = mnist.run_digit(digits, 3, options, device, tmp_path, said.append)
    assert np.array_equal(mended.scores["pca"], first.scores["pca"])
    assert len(rows_of({3: first})) == len(SCORES) + 2
    # A bar at a height without normal bars is far from all normal images.
    assert mnist.auroc(first.novel, first.scores["input_distance"]).value > 0.95


def test_the_command_writes_its_tables(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(mnist, "options_from", lambda given: mnist.MnistOptions(**{**given, **QUICK}))
    out = tmp_path / "out"
    command = ["evaluate", "mnist", "--data", str(folder), "-o", str(out), "--digits", "7", "3", "--threads", "1"]
    assert main([*command, "--device", "cpu"]) == 0
    text = (out / "mnist.md").read_text(encoding="utf-8")
    assert text in capsys.readouterr().out
    assert "the data have 150 digits" in text
    assert "| equation | score | symbol | 3 | 7 | mean | largest ± | images |" in text
    with open(out / "mnist.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * (len(SCORES) + 2)
    assert {row["digit"] for row in rows} == {"3", "7"}
    assert all(float(row["low"]) <= float(row["auroc"]) <= float(row["high"]) for row in rows)


def test_options_beyond_their_range_are_refused(folder, tmp_path, capsys):
    command = ["evaluate", "mnist", "--data", str(folder), "-o", str(tmp_path), "--steps", "0", "--threads", "1"]
    assert main(command) != 0
    assert "do not fit at 'steps'" in capsys.readouterr().err
