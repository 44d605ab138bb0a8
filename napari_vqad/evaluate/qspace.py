"""Novelty scores on simulated lesions in diffusion scans: the AUC of each score, kind of lesion and network.

A scan is cut into slabs along its longest axis. For each slab, a voxel VAE learns the normal voxels of the other slabs;
lesions are then simulated in balls within the slab, and a score has to rank their voxels above all other voxels of the
slab. So no voxel that is judged was learnt. The other voxels are scored in the scan without a lesion.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from napari_vqad.detectors.qspace import reference as stored
from napari_vqad.evaluate.metrics import rank
from napari_vqad.imaging.volume import Volume
from napari_vqad.nets.voxel_vae import Shape, VoxelVAE, VoxelVAESizes
from napari_vqad.scores.novelty.compute import novelty
from napari_vqad.scores.novelty.table import SCORES
from napari_vqad.simulate.diffusion import Lesion, ball, with_lesion
from napari_vqad.train.fit import Schedule
from napari_vqad.train.qspace import train_network
from napari_vqad.train.qspace_data import NormalScan

SLABS = 3
BALLS = 2  # of a slab
HELD_OUT = 5  # every n-th voxel of the other slabs decides when to stop
SCHEDULE = Schedule(
    steps=1000, batch=32768, lr=1e-3, warm_up=1, beta2=0.999, clip=0, decay=False, validate_every=100, patience=2
)
Report = Callable[[str], None]


class Case(NamedTuple):
    """A ball with a lesion in a slab: scan, number of the slab, centre."""

    scan: str
    slab: int
    centre: tuple[int, ...]


@dataclass(frozen=True)
class Results:
    """AUC of all cases.

    Attributes:
        cases: the cases, in the order of the AUCs.
        auc: (shape of the network, kind of lesion, score) → AUC of each case, (cases,).
    """

    cases: tuple[Case, ...]
    auc: Mapping[tuple[str, str, str], NDArray[np.float64]]

    def kinds(self) -> list[str]:
        """Return the kinds of lesions."""
        return list(dict.fromkeys(kind for _, kind, _ in self.auc))

    def over_kinds(self, shape: str, score: str) -> NDArray[np.float64]:
        """Return the mean AUC over the kinds of lesions for each case, (cases,)."""
        return np.mean([self.auc[shape, kind, score] for kind in self.kinds()], 0)


def interval(values: NDArray, rounds: int = 2000, seed: int = 0) -> tuple[float, float, float]:
    """Return the mean of cases and its 95 % bootstrap interval; whole cases are drawn."""
    rng = np.random.default_rng(seed)
    drawn = values[rng.integers(len(values), size=(rounds, len(values)))].mean(1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(values.mean()), float(low), float(high)


def evaluate(
    scans: Sequence[NormalScan],
    lesions: Mapping[str, Lesion],
    radius_mm: float,
    shapes: Sequence[Shape],
    scores: Sequence[str] = tuple(SCORES),
    schedule: Schedule = SCHEDULE,
    seed: int = 0,
    report: Report = print,
) -> Results:
    """Train on all but one slab of each scan, and rank the voxels of lesions in that slab.

    Raises:
        InputError: dipy is not installed, or a scan has no measurements.
    """
    cases: list[Case] = []
    found: dict[tuple[str, str, str], list[float]] = {}
    for scan in scans:
        for number, slab in enumerate(slabs(scan.normal)):
            centres = centres_in(slab, scan.volume.spacing, radius_mm, seed + number)
            cases += [Case(scan.volume.name, number, centre) for centre in centres]
            train, held_out, prepare = _prepared(scan, scan.normal & ~slab)
            balls = [ball(slab.shape, scan.volume.spacing, c, radius_mm) & slab for c in centres]
            ill = [[prepare(with_lesion(scan.volume, b, lesion), b) for b in balls] for lesion in lesions.values()]
            x, places = _joined([prepare(scan.volume, slab), *(part for of_kind in ill for part in of_kind)])
            for shape in shapes:
                values = _scored(shape, schedule, train, held_out, x, scores)
                report(f"{scan.volume.name}: slab {number + 1} of {SLABS}, network {shape}")
                for name, value in values.items():
                    healthy, *others = (value[p] for p in places)
                    for k, kind in enumerate(lesions):
                        for i, b in enumerate(balls):
                            novel, normal = others[k * len(balls) + i], healthy[~b[slab]]
                            labels = np.r_[np.ones(len(novel), bool), np.zeros(len(normal), bool)]
                            auc = rank(np.r_[novel, normal], labels).auroc
                            found.setdefault((shape, kind, name), []).append(auc)
    return Results(tuple(cases), {key: np.array(values) for key, values in found.items()})


def slabs(normal: NDArray[np.bool_], n: int = SLABS) -> list[NDArray[np.bool_]]:
    """Cut normal voxels, bool (R, A, S), into slabs along the longest axis, with about as many slices each."""
    axis = int(np.argmax(normal.shape))
    parts = np.array_split(np.arange(normal.shape[axis]), n)
    found = [np.zeros_like(normal) for _ in parts]
    for slab, part in zip(found, parts, strict=True):
        at = [slice(None)] * 3
        at[axis] = slice(part[0], part[-1] + 1)
        slab[tuple(at)] = normal[tuple(at)]
    return found


def centres_in(
    slab: NDArray[np.bool_], spacing: NDArray, radius_mm: float, seed: int, n: int = BALLS
) -> list[tuple[int, ...]]:
    """Choose voxels whose balls lie in the slab as far as possible: one at random, then the farthest ones from it."""
    places = np.argwhere(slab)
    size = np.array([(ball(slab.shape, spacing, tuple(p), radius_mm) & slab).sum() for p in places])
    good = places[size >= 0.8 * size.max()]
    chosen = [good[np.random.default_rng(seed).integers(len(good))]]
    while len(chosen) < n:
        away = np.min([np.linalg.norm((good - c) * spacing, axis=1) for c in chosen], 0)
        chosen.append(good[away.argmax()])
    return [tuple(int(v) for v in c) for c in chosen]


Prepare = Callable[[Volume, NDArray[np.bool_]], NDArray[np.float32]]


def _prepared(scan: NormalScan, known: NDArray[np.bool_]) -> tuple[NDArray, NDArray, Prepare]:
    """Return training and held-out voxels, and the function that prepares voxels of a scan like them."""

    def scaled(volume: Volume, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        assert volume.measurements is not None
        values = volume.measurements.values
        return values[mask] / np.float32(values[scan.brain].mean(dtype=np.float64))

    normal = scaled(scan.volume, known)
    held = np.arange(len(normal)) % HELD_OUT == 0
    means = normal[~held].mean(0)
    return normal[~held] / means, normal[held] / means, lambda volume, mask: scaled(volume, mask) / means


def _joined(parts: Sequence[NDArray]) -> tuple[torch.Tensor, list[slice]]:
    """Join arrays of voxels, and say where each is."""
    ends = np.cumsum([0, *map(len, parts)])
    places = [slice(int(a), int(b)) for a, b in pairwise(ends)]
    return torch.from_numpy(np.concatenate(parts)), places


def _scored(
    shape: Shape, schedule: Schedule, train: NDArray, held_out: NDArray, x: torch.Tensor, scores: Sequence[str]
) -> dict[str, NDArray]:
    """Train a network, and score voxels with its training voxels as reference."""
    torch.manual_seed(schedule.seed)
    sizes = VoxelVAESizes.of(shape, train.shape[1]).model_copy(update={"least_sd": 0.02})
    network = VoxelVAE(sizes)
    with tempfile.TemporaryDirectory() as folder:
        train_network(network, schedule, train, held_out, Path(folder))
    network.eval()
    arrays = {"voxels": train.astype(np.float16)}
    return novelty(scores, x, network, stored.make_reference(network, arrays, torch.device("cpu")))
