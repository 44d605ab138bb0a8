"""The experiments of Meissen et al. 2022: which anomalies can the distance from a healthy image find?

    a_i = |x_i − x̂_i|, x an image with an anomaly in a disc

1       x has the intensity I in the disc, x̂ is the healthy image, blurred with a Gaussian of width σ
2       x has other texture in the disc (sink, source, shuffle), x̂ as in 1
3.1     x as in 1, x̂ is what a model makes of the healthy image
3.2     x as in 1 or 2, x̂ is what a model makes of x

Of each image the average precision (AP) over all its pixels, then the mean over images. Intensities are 0 to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_vqad.evaluate.metrics import rank
from napari_vqad.simulate.discs import EXPONENT, TEXTURES, Disc, constant, random_disc

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Images:
    """Healthy slices, each with the disc where its anomaly will be.

    Attributes:
        healthy: float32 (N, H, W), 0 to 1.
        mask: bool (N, H, W), the brain.
        position: float32 (N,), of the slice in the head.
        subject: int (N,), whose head each slice is of.
        discs: one for each image.
        inside: bool (N, H, W), the pixels of the disc that lie within the brain.
    """

    healthy: Floats
    mask: NDArray[np.bool_]
    position: Floats
    subject: NDArray
    discs: tuple[Disc, ...]
    inside: NDArray[np.bool_]

    @classmethod
    def with_discs(
        cls, healthy: Floats, mask: NDArray[np.bool_], position: Floats, subject: NDArray, radius: float, seed: int = 0
    ) -> Images:
        """Place a disc of a radius in pixels at random within the brain of each image."""
        rng = np.random.default_rng(seed)
        discs = tuple(random_disc(m, radius, rng) for m in mask)
        inside = np.stack([disc.pixels(m) for disc, m in zip(discs, mask, strict=True)])
        return cls(healthy, mask, position, subject, discs, inside)

    def __len__(self) -> int:
        return len(self.healthy)

    def with_intensity(self, intensity: float) -> Floats:
        """Return the images with one intensity in the disc, (N, H, W)."""
        return np.stack([constant(y, d, intensity) for y, d in zip(self.healthy, self.inside, strict=True)])

    def with_texture(self, kind: str, exponent: float = EXPONENT, seed: int = 1) -> Floats:
        """Return the images with a changed texture in the disc, a kind of `TEXTURES`, (N, H, W)."""
        change, rng = TEXTURES[kind], np.random.default_rng(seed)
        parts = zip(self.healthy, self.discs, self.inside, strict=True)
        return np.stack([change(y, disc, inside, exponent, rng) for y, disc, inside in parts])

    def blurred(self, sigma: float) -> Floats:
        """Return the healthy images blurred with a Gaussian of width σ in pixels, (N, H, W)."""
        return ndimage.gaussian_filter(self.healthy, (0, sigma, sigma)) if sigma else self.healthy

    def equalised(self) -> Images:
        """Equalise the histogram of each image within the brain: the share of brain pixels as dark or darker."""
        found = np.zeros_like(self.healthy)
        for image, mask, out in zip(self.healthy, self.mask, found, strict=True):
            inside = image[mask]
            out[mask] = np.searchsorted(np.sort(inside), inside, side="right") / len(inside)
        return replace(self, healthy=found)

    def average_precision(self, scores: NDArray) -> NDArray:
        """Return the AP of each image over all its pixels, (N,), of scores (N, H, W)."""
        return np.array([rank(score, inside).ap for score, inside in zip(scores, self.inside, strict=True)])


def landscape(images: Images, intensities: Sequence[float], sigmas: Sequence[float]) -> NDArray:
    """Experiment 1: AP of each intensity, blur and image, (I, σ, N)."""
    blurred = [images.blurred(sigma) for sigma in sigmas]
    return np.stack(
        [
            [images.average_precision(np.abs(x - y)) for y in blurred]
            for x in (images.with_intensity(i) for i in intensities)
        ]
    )


def textures(images: Images, sigmas: Sequence[float], exponent: float = EXPONENT) -> dict[str, NDArray]:
    """Experiment 2: kind → AP of each blur and image, (σ, N)."""
    changed = {kind: images.with_texture(kind, exponent) for kind in TEXTURES}
    return {
        kind: np.stack([images.average_precision(np.abs(x - images.blurred(sigma))) for sigma in sigmas])
        for kind, x in changed.items()
    }


Model = Callable[[Floats], Mapping[str, NDArray]]
"""Images (N, H, W), 0 to 1 → maps (N, H, W) by name; "restoration", 0 to 1, is what the model makes of the images."""


@dataclass(frozen=True)
class ModelCurves:
    """Experiments 3.1 and 3.2 with one model.

    Attributes:
        healthy_error: mean |x − x̂| of each healthy image within the brain, (N,).
        healthy_input: experiment 3.1, AP of each intensity and image, (I, N).
        anomalous_input: experiment 3.2, map → AP of each intensity and image, (I, N).
        texture: experiment 3.2, map → kind → AP of each image, (N,).
    """

    healthy_error: NDArray
    healthy_input: NDArray
    anomalous_input: Mapping[str, NDArray]
    texture: Mapping[str, Mapping[str, NDArray]]


def model_curves(
    images: Images,
    model: Model,
    intensities: Sequence[float],
    exponent: float = EXPONENT,
    report: Callable[[str], None] = lambda _: None,
) -> ModelCurves:
    """Run experiments 3.1 and 3.2; maps other than the restoration are scores, the higher the more abnormal.

    Args:
        images: healthy slices with discs.
        model: what is examined.
        intensities: I, 0 to 1.
        exponent: p of sink and source.
        report: called with a line of text for each part.
    """
    again = np.asarray(model(images.healthy)["restoration"])
    error = (np.abs(images.healthy - again) * images.mask).sum((1, 2)) / images.mask.sum((1, 2))
    anomalous = [images.with_intensity(i) for i in intensities]
    healthy_input = np.stack([images.average_precision(np.abs(x - again)) for x in anomalous])

    def scored(x: Floats) -> dict[str, NDArray]:
        maps = dict(model(x))
        maps.pop("restoration")
        return {name: images.average_precision(scores) for name, scores in maps.items()}

    found = []
    for intensity, x in zip(intensities, anomalous, strict=True):
        found.append(scored(x))
        report(f"intensity {intensity:.2f}")
    kinds = {kind: scored(images.with_texture(kind, exponent)) for kind in TEXTURES}
    names = list(found[0])
    return ModelCurves(
        error,
        healthy_input,
        {name: np.stack([one[name] for one in found]) for name in names},
        {name: {kind: ap[name] for kind, ap in kinds.items()} for name in names},
    )


def best_matching_blur(curve: NDArray, of_blur: NDArray) -> int:
    """Find the σ whose curve is nearest to a model's: least mean absolute difference of the mean AP over intensities.

    Args:
        curve: AP of a model, (I, N).
        of_blur: landscape of the same images, (I, σ, N).

    Returns:
        the index of σ.
    """
    apart = np.abs(of_blur.mean(2) - curve.mean(1)[:, None])
    return int(apart.mean(0).argmin())


@dataclass(frozen=True)
class BlindSpot:
    """Where the mean AP over intensities is low.

    Attributes:
        lowest: intensity of the lowest mean AP.
        ap: AP there.
        low, high: ends of the range around it in which the mean AP is below one half.
    """

    lowest: float
    ap: float
    low: float
    high: float


def blind_spot(curve: NDArray, intensities: Sequence[float]) -> BlindSpot:
    """Describe the dip of a curve (I, N); `low` and `high` are NaN if the AP is never below one half."""
    mean = curve.mean(1)
    at = int(mean.argmin())
    below = mean < 0.5
    if not below[at]:
        return BlindSpot(intensities[at], float(mean[at]), np.nan, np.nan)
    start, stop = at, at
    while start > 0 and below[start - 1]:
        start -= 1
    while stop < len(mean) - 1 and below[stop + 1]:
        stop += 1
    return BlindSpot(intensities[at], float(mean[at]), intensities[start], intensities[stop])
