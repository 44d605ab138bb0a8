"""Simulate T1 heads from the ICBM152 tissue maps, as sample data that may be distributed.

    python -m napari_vqad.simulate.head sample_data

needs nilearn, which contains the maps (extra `simulate`). A head is a smooth random deformation of the average brain
with its own cortical folds, in a skull, scalp, face and neck of simple shapes, with a bias field and Rician noise.
Intensities follow 3T MPRAGE heads: white matter 1, cortex 0.67, CSF 0.25.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from napari_vqad.errors import InputError
from napari_vqad.simulate.neck import fill_head

SPACING = 1.5  # mm
ORIGIN = np.array([-93.0, -129.0, -124.5])  # mm (R, A, S), MNI
SHAPE = (125, 163, 150)
WHITE, CORTEX, CSF = 1.0, 0.67, 0.25
NOISE = 0.018  # SD, as a fraction of the signal of white matter
GREY_LEVEL = 140  # uint8 value of white matter


@dataclass(frozen=True)
class Lesion:
    """A lesion, in MNI mm: centre and half-axes of its ellipsoid, intensity at rim and core, displacement `push`."""

    centre: tuple[float, float, float]
    axes: tuple[float, float, float]
    rim: float
    core: float
    push: float = 0.0
    roughness: float = 0.12


LESIONS = (
    Lesion((28, 14, 26), (16, 18, 15), rim=0.5, core=0.3, push=5.0, roughness=0.2),  # a glioma-like mass
    Lesion((-27, -34, 26), (5, 8, 5), rim=0.56, core=0.48),
    Lesion((-24, 22, 18), (4, 5, 6), rim=0.58, core=0.5),
    Lesion((29, -48, 24), (4.5, 6, 4.5), rim=0.56, core=0.48),
    Lesion((-40, -58, -6), (8, 9, 7), rim=1.25, core=1.45, push=1.5),  # bright, as subacute blood is
)


@dataclass(frozen=True)
class Head:
    """A simulated head: uint8 voxels (R, A, S), the brain mask, and labels: 0, or the lesion's index + 1."""

    voxels: np.ndarray
    brain: np.ndarray
    label: np.ndarray

    affine = np.array(np.diag([SPACING, SPACING, SPACING, 1.0]))
    affine[:3, 3] = ORIGIN


def simulate(seed: int, lesions: tuple[Lesion, ...] = ()) -> Head:
    """Simulate one head. The same seed gives the same head."""
    rng = np.random.default_rng(seed)
    where = np.stack(np.meshgrid(*(ORIGIN[a] + SPACING * np.arange(SHAPE[a]) for a in range(3)), indexing="ij"))
    where = where.astype(np.float32)
    there = _new_person(_make_room(where, lesions), rng)
    grey, white, brain, deep = _tissues(there, rng)
    inside = brain > 0.5
    csf = np.clip(1 - grey - white, 0, 1)
    signal = WHITE * white + (CORTEX + deep) * grey + CSF * csf
    signal += 0.02 * _smooth_noise(rng, 3.0) * inside  # tissue is not uniform
    head = fill_head(there, inside, SPACING, lambda mm: _smooth_noise(rng, mm))
    signal = brain * signal + (1 - brain) * head
    signal, label = _add_lesions(signal, where, inside, lesions, rng)
    signal = ndimage.gaussian_filter(signal, 0.45)
    signal *= np.exp(0.12 * _smooth_noise(rng, 55.0)) * _coil(where)
    real, imaginary = rng.normal(scale=NOISE, size=(2, *SHAPE)).astype(np.float32)
    voxels = GREY_LEVEL * np.hypot(signal + real, imaginary)
    return Head(np.clip(np.rint(voxels), 0, 255).astype(np.uint8), inside, label)


def _new_person(where: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The point in the average head that each voxel comes from: scaling, rotation, smooth deformation of ~3 mm."""
    centre = np.array([0.0, -18.0, 0.0]).reshape(3, 1, 1, 1)
    scale = 1 / rng.uniform(0.90, 0.96, 3)  # the average head is larger than most heads
    turn = np.radians(rng.uniform(-4, 4, 3))
    (ca, cb, cc), (sa, sb, sc) = np.cos(turn), np.sin(turn)
    rotation = (
        np.array([[1, 0, 0], [0, ca, -sa], [0, sa, ca]])
        @ np.array([[cb, 0, sb], [0, 1, 0], [-sb, 0, cb]])
        @ np.array([[cc, -sc, 0], [sc, cc, 0], [0, 0, 1]])
    )
    there = np.tensordot(rotation * scale, where - centre, 1) + centre
    for sigma, amplitude in ((30.0, 1.9), (8.0, 1.3)):
        there += amplitude * np.stack([_smooth_noise(rng, sigma) for _ in range(3)])
    return there.astype(np.float32)


def _make_room(where: np.ndarray, lesions: tuple[Lesion, ...]) -> np.ndarray:
    """Mass effect: lesions push tissue away from their centre, by `push` mm at the rim and less further out."""
    for lesion in lesions:
        offset = where - np.reshape(lesion.centre, (3, 1, 1, 1))
        r = np.sqrt((offset**2).sum(0)) + 1e-3
        rim = float(np.mean(lesion.axes))
        pull = lesion.push * np.minimum(r / rim, 1.0) * np.exp(-np.maximum(r - rim, 0) / 18.0)
        where = where - offset / r * pull
    return where


def _tissues(there: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Grey matter, white matter and brain, 0 to 1, and the extra intensity of grey matter over cortex.

    The average of 152 brains is blurred. Powers of the maps, multiplied by exponentials of smooth noise and divided by
    their sum, have sharp borders and new folds.
    """
    grey, white, csf, brain, deep = (_sample(m, there) for m in _average_head())
    white *= np.exp(0.45 * _smooth_noise(rng, 2.2))
    csf *= np.exp(0.45 * _smooth_noise(rng, 2.2))
    total = grey + white + csf + 1e-6
    return grey / total, white / total, brain, 1.3 * deep


@lru_cache(maxsize=1)
def _average_head() -> tuple[np.ndarray, ...]:
    """Powers of the grey, white and CSF maps, the brain, and the extra intensity of deep grey matter; 1 mm."""
    grey, white, t1 = (_icbm152(name) for name in ("gm", "wm", "t1"))
    brain = ndimage.binary_fill_holes(t1 > 0).astype(np.float32)
    csf = np.clip(brain - grey - white, 0, 1)
    # Deep grey matter is brighter than cortex; the T1 average gives the difference.
    weight = ndimage.gaussian_filter((grey > 0.6).astype(np.float32), 2) + 1e-3
    level = ndimage.gaussian_filter(np.where(grey > 0.6, t1 / 222.0, 0), 2) / weight
    # Averaging closes thin sulci most, then thin white matter; the factors compensate for this.
    return grey**3, (1.1 * white) ** 3, (1.7 * csf) ** 2.2, brain, np.clip(level - 0.76, 0, 0.25)


def _add_lesions(
    signal: np.ndarray, where: np.ndarray, inside: np.ndarray, lesions: tuple[Lesion, ...], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    label = np.zeros(SHAPE, np.uint8)
    deep_enough = ndimage.gaussian_filter(inside.astype(np.float32), 1.0)
    for number, lesion in enumerate(lesions, 1):
        offset = (where - np.reshape(lesion.centre, (3, 1, 1, 1))) / np.reshape(lesion.axes, (3, 1, 1, 1))
        depth = 1 - np.sqrt((offset**2).sum(0)) + lesion.roughness * _smooth_noise(rng, 4.0)
        weight = deep_enough / (1 + np.exp(-depth / 0.07))
        core = 1 / (1 + np.exp(-(depth - 0.35) / 0.1))
        level = lesion.rim + (lesion.core - lesion.rim) * core + 0.03 * _smooth_noise(rng, 2.0)
        signal = signal + weight * (level - signal)
        label[(weight > 0.5) & inside] = number
    return signal, label


def _coil(where: np.ndarray) -> np.ndarray:
    """The bias field: brighter in the middle of the head, and fading at the neck, which lies outside the coil."""
    r2 = ((where / np.array([120, 140, 120]).reshape(3, 1, 1, 1)) ** 2).sum(0)
    return (1.1 * np.exp(-0.3 * r2)) / (1 + np.exp(-(where[2] + 118) / 12))


def _smooth_noise(rng: np.random.Generator, mm: float) -> np.ndarray:
    """Gaussian noise of unit SD, smoothed with a sigma in mm. A large sigma is computed on a coarser grid."""
    step = max(1, int(mm / SPACING / 2))
    coarse = rng.normal(size=[n // step + 3 for n in SHAPE]).astype(np.float32)
    coarse = ndimage.gaussian_filter(coarse, mm / SPACING / step, mode="wrap")
    fine = coarse if step == 1 else ndimage.zoom(coarse, step, order=1)
    fine = fine[tuple(slice(0, n) for n in SHAPE)]
    return (fine - fine.mean()) / fine.std()


def _icbm152(tissue: str) -> np.ndarray:
    """Read one of nilearn's maps, 1 mm, 0 to 1 (t1: 0 to 255)."""
    try:
        import nilearn.datasets
    except ImportError as error:
        raise InputError(
            "Simulating heads needs the ICBM152 maps of nilearn: pip install 'napari-vqad[simulate]'."
        ) from error
    folder = Path(nilearn.datasets.__file__).parent / "data"
    image = nib.Nifti1Image.from_filename(folder / f"mni_icbm152_{tissue}_tal_nlin_sym_09a_converted.nii.gz")
    values = np.asarray(image.dataobj, np.float32)
    return values if tissue == "t1" else values / 255


def _sample(template: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Sample a 1 mm template at coordinates in mm."""
    index = there + np.array([98, 134, 72], np.float32).reshape(3, 1, 1, 1)
    return ndimage.map_coordinates(template.astype(np.float32), index, order=1)


def main(folder: Path) -> None:
    """Write the sample data."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, head in (("healthy", simulate(152)), ("lesions", simulate(2009, LESIONS))):
        _write(folder / f"{name}_t1.nii.gz", head.voxels, head.affine)
        _write(folder / f"{name}_brain.nii.gz", head.brain.astype(np.uint8), head.affine)
        if head.label.any():
            _write(folder / f"{name}_label.nii.gz", head.label, head.affine)


def _write(path: Path, voxels: np.ndarray, affine: np.ndarray) -> None:
    image = nib.Nifti1Image(voxels, affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    print(f"{path}  {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "sample_data"))
