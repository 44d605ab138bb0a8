"""Diffusion scans of a simulated head, and lesions in measured or simulated scans, by tensor models.

    S(b, g) = S_0 Σ_i f_i exp(−b gᵀ D_i g)          multi-tensor model; one tensor for each bundle of fibres

A lesion changes the tensors within a ball: it scales their mean diffusivity and the distance of their eigenvalues from
it, which fractional anisotropy follows. A simulated head is made of the changed tensors. In a measured scan the signal
is multiplied by the ratio of the signals of the changed and of the fitted tensor, so that its noise and all that a
tensor does not explain stay as they were. dipy (https://dipy.org) computes the signals, the noise and the fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_vqad.errors import InputError
from napari_vqad.imaging.measurements import GradientTable, Measurements
from napari_vqad.imaging.volume import Volume

FITTED_TO = 1500.0  # s/mm²; a single tensor describes the signal up to about this b-value
SHORTEST, LONGEST = 1e-5, 4e-3  # mm²/s, eigenvalues of a changed tensor; free water at 37 °C has 3e-3


@dataclass(frozen=True)
class Lesion:
    """A change of the tensors.

    Attributes:
        diffusivity: factor on the mean diffusivity.
        anisotropy: factor on the distance of the eigenvalues from their mean.
        signal: factor on the signal without diffusion weighting.
    """

    diffusivity: float = 1.0
    anisotropy: float = 1.0
    signal: float = 1.0

    def change(self, eigenvalues: NDArray) -> NDArray:
        """Change eigenvalues (…, 3), mm²/s."""
        mean = eigenvalues.mean(-1, keepdims=True)
        changed = self.diffusivity * (mean + self.anisotropy * (eigenvalues - mean))
        return np.clip(changed, SHORTEST, LONGEST)


# Multiple sclerosis raises mean diffusivity in lesions by about a third and lowers anisotropy by about as much;
# an infarct of a few hours has about half of the mean diffusivity.
LESIONS: Mapping[str, Lesion] = {
    "diffusivity": Lesion(diffusivity=1.4),
    "anisotropy": Lesion(anisotropy=0.5),
    "both": Lesion(diffusivity=1.4, anisotropy=0.5),
    "restricted": Lesion(diffusivity=0.6),
}


def scheme(zeros: int, directions: int, b_value: float) -> GradientTable:
    """Make a gradient table: measurements at b = 0, then directions spread over the half sphere by the golden angle."""
    i = np.arange(directions)
    z = (i + 0.5) / directions
    phi, r = i * np.pi * (3 - np.sqrt(5)), np.sqrt(1 - z**2)
    unit = np.stack([r * np.cos(phi), r * np.sin(phi), z], 1)
    return GradientTable.of(np.r_[np.zeros(zeros), np.full(directions, b_value)], np.r_[np.zeros((zeros, 3)), unit])


# ---- lesions in a measured scan -------------------------------------------------------------------------------------


def with_lesion(volume: Volume, ball: NDArray[np.bool_], lesion: Lesion) -> Volume:
    """Return a diffusion scan with a lesion in some voxels, bool (R, A, S).

    Raises:
        InputError: it is no diffusion scan, or dipy is not installed.
    """
    measured = volume.measurements
    if measured is None:
        raise InputError(f"{volume.name} is no diffusion scan; lesions change its diffusion measurements.")
    values = measured.values.copy()
    values[ball] *= _ratio(values[ball], measured.gradients, lesion)
    changed = Measurements(values, measured.gradients)
    return replace(volume, voxels=changed.anatomy(), measurements=changed)


def _ratio(signals: NDArray, gradients: GradientTable, lesion: Lesion) -> NDArray[np.float32]:
    """Return the signal of the changed tensor by that of the fitted one, (M, N), for measured signals (M, N)."""
    dti = dipy("reconst.dti")
    low = gradients.b <= FITTED_TO
    fitted = dti.TensorModel(_dipy_table(gradients, low), min_signal=1.0).fit(signals[:, low].astype(float))
    values, vectors = np.clip(fitted.evals, SHORTEST, LONGEST), fitted.evecs
    old, new = (_predicted(each, vectors, gradients, np.ones(len(signals))) for each in (values, lesion.change(values)))
    return (lesion.signal * new / old).astype(np.float32)


def _predicted(values: NDArray, vectors: NDArray, gradients: GradientTable, s_zero: NDArray) -> NDArray:
    """Return the signals of tensors, (M, N), of eigenvalues (M, 3), eigenvectors in columns (M, 3, 3) and S_0 (M,)."""
    parameters = np.concatenate([values, vectors.reshape(len(values), 9)], 1)
    return dipy("reconst.dti").tensor_prediction(parameters, _dipy_table(gradients), S0=s_zero)


def ball(shape: tuple[int, ...], spacing: NDArray, centre: tuple[int, ...], radius_mm: float) -> NDArray[np.bool_]:
    """Return the voxels within a radius of a voxel, bool (R, A, S)."""
    away = (np.indices(shape) - np.reshape(centre, (3, 1, 1, 1))) * np.reshape(spacing, (3, 1, 1, 1))
    return (away**2).sum(0) <= radius_mm**2


# ---- a simulated head -----------------------------------------------------------------------------------------------

CSF, GREY, WHITE = 1, 2, 3
EIGENVALUES = {  # mm²/s
    CSF: (3.0e-3, 3.0e-3, 3.0e-3),
    GREY: (0.9e-3, 0.8e-3, 0.75e-3),
    WHITE: (1.7e-3, 0.35e-3, 0.3e-3),
}
S_ZERO = {CSF: 1.6, GREY: 1.0, WHITE: 0.8}  # relative to grey matter
SPREAD = 0.08  # SD of eigenvalues and of S_0 from voxel to voxel, as a share


@dataclass(frozen=True)
class SimulatedHead:
    """A simulated diffusion scan.

    Attributes:
        volume: the scan.
        brain: bool (R, A, S), its brain mask.
        lesions: int16 (R, A, S), number of the lesion, from 1; zero elsewhere.
    """

    volume: Volume
    brain: NDArray[np.bool_]
    lesions: NDArray[np.int16]


def simulated_head(
    gradients: GradientTable,
    shape: tuple[int, int, int] = (36, 44, 28),
    spacing: float = 4.0,
    lesions: Mapping[tuple[int, int, int], tuple[Lesion, float]] | None = None,
    snr: float = 30.0,
    seed: int = 0,
) -> SimulatedHead:
    """Simulate a head: ventricles, a rim of grey matter, and white matter of one or two bundles of fibres.

    Args:
        gradients: the measurements.
        shape: voxels along R, A, S.
        spacing: mm.
        lesions: voxel of the centre → the change, and the radius in mm.
        snr: of grey matter without diffusion weighting; the noise is Rician.
        seed: of variation and noise.

    Raises:
        InputError: dipy is not installed.
    """
    rng = np.random.default_rng(seed)
    tissue, along, across, share = _anatomy(shape, rng)
    number = np.zeros(shape, np.int16)
    changes: list[Lesion] = [Lesion()]
    for centre, (lesion, radius) in (lesions or {}).items():
        inside = ball(shape, np.full(3, spacing), centre, radius) & (tissue > 0)
        number[inside] = len(changes)
        changes.append(lesion)
    voxels = np.flatnonzero(tissue)
    kind, of = tissue.flat[voxels], number.flat[voxels]
    vary = rng.normal(1, SPREAD, (len(voxels), 4)).clip(0.7, 1.3)
    values = np.array([EIGENVALUES[k] for k in kind]) * vary[:, :3]
    s_zero = np.array([S_ZERO[k] for k in kind]) * vary[:, 3]
    for n, lesion in enumerate(changes):
        values[of == n] = lesion.change(values[of == n])
        s_zero[of == n] *= lesion.signal
    second = np.where(kind == WHITE, share.flat[voxels], 0.0)
    signals = np.zeros((tissue.size, len(gradients)))
    for directions, fraction in ((along, 1 - second), (across, second)):
        frames = _frames(directions.reshape(-1, 3)[voxels])
        signals[voxels] += fraction[:, None] * _predicted(values, frames, gradients, s_zero)
    noise = rng.normal(0, 1 / snr, (2, *signals.shape))
    noisy = np.hypot(signals + noise[0], noise[1]).reshape(*shape, len(gradients))
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = -(np.array(shape) - 1) * spacing / 2
    measured = Measurements((1000 * noisy).astype(np.float32), gradients)
    volume = Volume(measured.anatomy(), affine, affine, name="simulated diffusion head", measurements=measured)
    return SimulatedHead(volume, tissue > 0, number)


def _anatomy(shape: tuple[int, int, int], rng: np.random.Generator) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Return the tissue (R, A, S), directions of the first and second bundle (R, A, S, 3), and the second's share.

    The first bundle runs around the ventricles, as the callosum does; the second up and down.
    """
    x, y, z = (np.linspace(-1, 1, n) for n in shape)
    place = np.stack(np.meshgrid(x, y, z, indexing="ij"), -1) + rng.normal(0, 0.01, 3)
    fold = ndimage.gaussian_filter(rng.normal(0, 1, shape), 1.2)
    radius = np.linalg.norm(place / (0.92, 0.92, 0.9), axis=-1) + 0.12 * fold / fold.std() * 0.5
    tissue = np.zeros(shape, np.int16)
    tissue[radius < 1] = GREY
    tissue[radius < 0.8] = WHITE
    ventricles = np.linalg.norm((np.abs(place) - (0.14, 0.0, 0.05)) / (0.1, 0.42, 0.2), axis=-1)
    tissue[(ventricles < 1) & (tissue > 0)] = CSF
    deep = np.linalg.norm((np.abs(place) - (0.3, 0.0, 0.15)) / (0.14, 0.3, 0.2), axis=-1)
    tissue[(deep < 1) & (tissue == WHITE)] = GREY
    around = np.stack([place[..., 2] + 0.3, 0.3 * place[..., 1], -place[..., 0]], -1)
    around += 0.15 * np.stack([ndimage.gaussian_filter(rng.normal(0, 1, shape), 3) * 8 for _ in range(3)], -1)
    across = np.broadcast_to((0.1, 0.2, 1.0), around.shape) + 0.05 * rng.normal(0, 1, around.shape)
    share = np.clip(1.2 * np.exp(-((np.abs(place[..., 0]) - 0.5) ** 2) / 0.03) - 0.6, 0, 0.5)
    return tissue, _unit(around), _unit(across), share


def _frames(first: NDArray) -> NDArray:
    """Return an orthonormal frame for each unit vector (M, 3), which is its first column: (M, 3, 3)."""
    least = np.eye(3)[np.abs(first).argmin(1)]
    second = _unit(np.cross(first, least))
    return np.stack([first, second, np.cross(first, second)], -1)


def _unit(vectors: NDArray) -> NDArray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


# ---- dipy -----------------------------------------------------------------------------------------------------------


def dipy(module: str) -> Any:
    """Import a module of dipy.

    Raises:
        InputError: dipy is not installed.
    """
    from importlib import import_module

    try:
        return import_module(f"dipy.{module}")
    except ModuleNotFoundError as error:
        raise InputError("This needs dipy: pip install 'napari-vqad[diffusion]'.") from error


def _dipy_table(gradients: GradientTable, chosen: NDArray | slice = slice(None)) -> Any:
    core = dipy("core.gradients")
    return core.gradient_table(np.where(gradients.zero, 0, gradients.b)[chosen], bvecs=gradients.g[chosen])
