"""The MNIST experiment of Vasilev et al. 2018: one digit is novel, the nine others are normal.

80 % of the normal images are for training, a tenth of these for early stopping. The test images are the other 20 % and
all images of the novel digit. The convolutional VAE gives all scores of `scores.novelty`; beside them stand PCA and
kernel PCA. The reconstruction probability of An & Cho 2015 is equation (9) of the same VAE.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tempfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from scipy.stats import rankdata

from napari_vqad.errors import InputError
from napari_vqad.files import limits
from napari_vqad.files.archive import read_npz
from napari_vqad.files.atomic import atomic_write
from napari_vqad.files.jsonfile import where_and_why
from napari_vqad.files.regular import read_regular
from napari_vqad.nets.voxel_vae import DigitVAESizes, VectorVAE, make_vector_vae
from napari_vqad.scores.kernel_pca import KernelSubspace, LinearSubspace
from napari_vqad.scores.novelty.batch import Options, Reference
from napari_vqad.scores.novelty.compute import novelty
from napari_vqad.scores.novelty.elbo import negative_elbo
from napari_vqad.scores.novelty.table import SCORES
from napari_vqad.train.fit import Losses, Schedule, fit

FILES = ("train", "t10k")  # the parts of MNIST; those that a folder has are joined
SIDE = 28
LARGEST = 64 * 2**20  # bytes read of an unpacked file; the largest of MNIST has 47 MB
RIVALS = {"pca": "PCA", "kernel_pca": "kernel PCA, Gaussian"}


class Digits(NamedTuple):
    """MNIST: images (N, 784), 0 to 1, and labels (N,)."""

    images: NDArray[np.float32]
    labels: NDArray[np.uint8]


class MnistOptions(BaseModel):
    """How the experiment is run; results are kept for each combination."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sizes: DigitVAESizes = DigitVAESizes()
    steps: int = Field(500, ge=1)
    batch: int = Field(64, ge=1)
    lr: float = Field(2e-3, gt=0)
    seed: int = Field(0, ge=0, lt=2**31)
    samples: int = Field(8, ge=1)
    candidates: int = Field(32, ge=1)
    search_images: int = Field(200, ge=2)
    search_steps: int = Field(30, ge=1)
    kernel_images: int = Field(1000, ge=2)
    share: float = Field(0.9, gt=0, lt=1)


def options_from(values: Mapping[str, Any]) -> MnistOptions:
    """Make the options from values by name, with the defaults for the others.

    Raises:
        InputError: a value is out of its range.
    """
    try:
        return MnistOptions(**values)
    except ValidationError as error:
        raise InputError(f"The options do not fit {where_and_why(error)}.") from error


class DigitResult(NamedTuple):
    """Scores of the test images with one novel digit.

    Attributes:
        novel: bool (N,), which test images show the novel digit.
        scores: name → (N,); NaN for images that a score was not computed for.
    """

    novel: NDArray[np.bool_]
    scores: Mapping[str, NDArray]


class Auroc(NamedTuple):
    """AUROC of one score, its standard error by DeLong et al. 1988, and the number of images."""

    value: float
    error: float
    images: int


def read_mnist(folder: Path) -> Digits:
    """Read MNIST from gzipped idx files, such as t10k-images-idx3-ubyte.gz.

    Raises:
        InputError: there are no such files, or one is damaged.
    """
    parts = []
    for part in FILES:
        images, labels = (folder / f"{part}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1"))
        if images.exists():
            of_images, of_labels = _read_idx(images, 3), _read_idx(labels, 1)
            if of_images.shape[1:] != (SIDE, SIDE) or len(of_images) != len(of_labels) or of_labels.max(initial=0) > 9:
                raise InputError(f"{images} and {labels.name} are not digits of 28×28 pixels with a label each.")
            parts.append((of_images.reshape(-1, SIDE**2).astype(np.float32) / 255, of_labels))
    if not parts:
        raise InputError(f"{folder} has no t10k-images-idx3-ubyte.gz or train-images-idx3-ubyte.gz.")
    return Digits(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _read_idx(path: Path, ndim: int) -> NDArray[np.uint8]:
    """Read a gzipped idx file of unsigned bytes: 0, 0, 8, ndim, the sizes as big-endian int32, the bytes."""
    packed = read_regular(path, limits.TABLES, "is missing beside the images")
    damaged = InputError(f"{path} is no gzipped idx file of bytes, or it is damaged.")
    try:
        with gzip.open(io.BytesIO(packed)) as unpacked:
            raw = unpacked.read(LARGEST)
    except (OSError, EOFError, zlib.error) as error:
        raise damaged from error
    shape = tuple(int(n) for n in np.frombuffer(raw[4 : 4 + 4 * ndim], ">i4")) if len(raw) >= 4 + 4 * ndim else ()
    if raw[:4] != bytes((0, 0, 8, ndim)) or len(raw) != 4 + 4 * ndim + int(np.prod(shape, dtype=np.int64)):
        raise damaged
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * ndim).reshape(shape)


class Split(NamedTuple):
    """Numbers of images: for training, for early stopping, normal ones for the test, and the novel ones."""

    train: NDArray
    stop: NDArray
    normal: NDArray
    novel: NDArray


def split(labels: NDArray, digit: int, seed: int) -> Split:
    """Split the images for one novel digit: 72, 8 and 20 % of the normal ones, drawn at random.

    Raises:
        InputError: there are too few images, or none of the novel digit.
    """
    normal = np.random.default_rng([seed, digit]).permutation(np.flatnonzero(labels != digit))
    novel = np.flatnonzero(labels == digit)
    if not len(novel) or len(normal) < 30:
        raise InputError(f"The data have {len(novel)} images of the digit {digit} and {len(normal)} others: too few.")
    train = int(0.8 * len(normal))
    stop = max(1, train // 10)
    return Split(normal[: train - stop], normal[train - stop : train], normal[train:], novel)


def run_digit(
    digits: Digits,
    digit: int,
    options: MnistOptions,
    device: torch.device,
    keep: Path | None,
    say: Callable[[str], None],
) -> DigitResult:
    """Train and score with one novel digit; `keep` is a folder with results of earlier runs, or None.

    Raises:
        InputError: see `split`; or `keep` cannot be written to.
    """
    folder = None
    if keep is not None:
        key = hashlib.sha256(options.model_dump_json().encode())
        key.update(digits.images.tobytes())
        key.update(digits.labels.tobytes())
        folder = keep / f"digit-{digit}-{key.hexdigest()[:12]}"
        if (known := _kept(folder / "scores.npz")) is not None:
            say(f"digit {digit}: results of an earlier run")
            return known
    of = split(digits.labels, digit, options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        vae = _trained(digits, of, digit, options, device, folder or Path(temporary) / "training")
    say(f"digit {digit}: trained on {len(of.train)} images")
    result = _scored(digits, of, digit, options, device, vae, say)
    if folder is not None:
        arrays: dict[str, Any] = {"novel": result.novel, **result.scores}
        with atomic_write(folder / "scores.npz") as fresh, open(fresh, "wb") as file:
            np.savez(file, **arrays)
    return result


def _trained(
    digits: Digits, of: Split, digit: int, options: MnistOptions, device: torch.device, folder: Path
) -> VectorVAE:
    torch.manual_seed(10 * options.seed + digit)
    vae = make_vector_vae(options.sizes).to(device)
    train, stop = (torch.from_numpy(digits.images[numbers]).to(device) for numbers in (of.train, of.stop))
    noise = torch.randn(len(stop), vae.latent, generator=torch.Generator().manual_seed(options.seed)).to(device)

    def loss(x: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device.type, enabled=False):  # bfloat16 has too few digits for σ of a tenth
            return negative_elbo(x, vae.encode(x), vae.decode, noise[None]).mean()

    def losses(rng: torch.Generator, step: int) -> Losses:
        drawn = torch.randint(len(train), (options.batch,), generator=rng, device=device)
        return {"loss": loss(train[drawn], torch.randn(options.batch, vae.latent, generator=rng, device=device))}

    schedule = Schedule(
        steps=options.steps,
        batch=options.batch,
        lr=options.lr,
        warm_up=min(100, options.steps),
        clip=0,
        seed=options.seed,
        validate_every=min(200, options.steps),
        patience=3,
    )
    fit(vae, losses, lambda: float(loss(stop, noise)), folder, schedule, device)
    return vae.eval().requires_grad_(False)


def _scored(
    digits: Digits,
    of: Split,
    digit: int,
    options: MnistOptions,
    device: torch.device,
    vae: VectorVAE,
    say: Callable[[str], None],
) -> DigitResult:
    test = np.concatenate([of.normal, of.novel])
    novel = np.arange(len(test)) >= len(of.normal)
    x = torch.from_numpy(digits.images[test]).to(device)
    reference = Reference(vae, torch.from_numpy(digits.images[of.train]).to(device))
    how = Options(options.samples, options.seed, steps=options.search_steps, candidates=options.candidates)
    searched = [name for name, score in SCORES.items() if "search" in score.needs]
    found = novelty([name for name in SCORES if name not in searched], x, vae, reference, how)
    say(f"digit {digit}: scored {len(test)} images")
    drawn = np.random.default_rng([options.seed, digit, 1]).permutation(len(test))[: options.search_images]
    for name, values in novelty(searched, x[drawn], vae, reference, how).items():
        found[name] = np.full(len(test), np.nan, np.float32)
        found[name][drawn] = values
    say(f"digit {digit}: searched for {len(drawn)} images")
    train = digits.images[of.train]
    found["pca"] = LinearSubspace.fit(train, options.share).error(digits.images[test]).astype(np.float32)
    kernel = KernelSubspace.fit(train[: options.kernel_images], options.share)
    found["kernel_pca"] = kernel.error(digits.images[test]).astype(np.float32)
    return DigitResult(novel, found)


def _kept(path: Path) -> DigitResult | None:
    """Results of an earlier run; None if there are none, or they are damaged."""
    try:
        names = (*SCORES, *RIVALS)
        arrays = read_npz(path, ("novel", *names), "result", limits.VOXELS)
        if not all(array.shape == arrays["novel"].shape for array in arrays.values()):
            return None
        return DigitResult(arrays["novel"].astype(bool), {name: arrays[name] for name in names})
    except (InputError, KeyError):
        return None


def auroc(novel: NDArray, scores: NDArray) -> Auroc:
    """Compute the AUROC of the images that have a score, with its standard error (DeLong et al. 1988).

    The share of normal images below a novel one, and of novel images above a normal one, are means of independent
    terms; ties count half. The error is of the test images; it says nothing of another training.
    """
    counted = ~np.isnan(scores)
    novel, scores = novel[counted], scores[counted]
    high, low = scores[novel], scores[~novel]
    if min(len(high), len(low)) < 2:
        return Auroc(np.nan, np.nan, int(counted.sum()))
    ranks = rankdata(np.concatenate([high, low]))
    above = (ranks[: len(high)] - rankdata(high)) / len(low)
    below = 1 - (ranks[len(high) :] - rankdata(low)) / len(high)
    error = np.sqrt(above.var(ddof=1) / len(high) + below.var(ddof=1) / len(low))
    return Auroc(float(above.mean()), float(error), int(counted.sum()))
