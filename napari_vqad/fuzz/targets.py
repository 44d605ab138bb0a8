"""The targets of fuzzing: small files of every format that the package reads, and the functions that read them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import torch

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.bundle_checks import MADE_WITH
from napari_vqad.detectors.calibration import LAMBDA_LEVELS, LEVELS, Calibration
from napari_vqad.detectors.library import find, list_bundles
from napari_vqad.detectors.pca import PCA
from napari_vqad.detectors.settings import Settings, settings_from
from napari_vqad.detectors.tuned import FILE as TUNED_FILE
from napari_vqad.detectors.tuned import TunedThresholds
from napari_vqad.detectors.vq.config import VQConfig
from napari_vqad.detectors.vq.detector import vq_of
from napari_vqad.engine.explorer import Explorer
from napari_vqad.evaluate.cases import read_table
from napari_vqad.export.study import find_scan, open_study, save_study
from napari_vqad.files.jsonfile import read_json
from napari_vqad.fuzz import mutate as ways
from napari_vqad.fuzz.dicom import dicom_bytes, write_series
from napari_vqad.imaging.brain_mask import SIDES, SPACING, load_network
from napari_vqad.imaging.grid import Grid
from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.imaging.template import Template
from napari_vqad.imaging.volume import Volume
from napari_vqad.io.clips import is_clip, read_clip
from napari_vqad.io.load import load_scan
from napari_vqad.io.nifti import read_labels, read_mask, read_scan, write_map
from napari_vqad.nets.unet3d import UNet3d
from napari_vqad.nets.vq.pixelsnail import PixelSnailConfig
from napari_vqad.nets.vq.registry import make_prior, make_tokenizer
from napari_vqad.nets.vq.vqvae import TokenizerConfig
from napari_vqad.nets.weights import save_weights
from napari_vqad.scores.fusion import LINEAR
from napari_vqad.scores.normative import NormativeMaps
from napari_vqad.settings import Pooling
from napari_vqad.train.data import Stack
from napari_vqad.train.recipe import FOLDER, Recipe
from napari_vqad.train.training_log import read_history

SPEC = GridSpec(shape=(16, 24), spacing=8.0, aligned=True)
SLICES = 6


@dataclass(frozen=True)
class Target:
    """A file format to test.

    Attributes:
        name: the name of the format.
        make: writes good files into an empty folder.
        load: reads the folder's files; may raise only `InputError`.
        spoil: pattern of file names → the function that damages such a file.
    """

    name: str
    make: Callable[[Path], object]
    load: Callable[[Path], object]
    spoil: Mapping[str, ways.Spoil]


def targets(seeds: Path) -> list[Target]:
    """All targets. Files that loading needs in addition are written into `seeds`."""
    seeds.mkdir(parents=True, exist_ok=True)
    tiny = seeds / "beside" / "tiny"
    make_bundle(tiny)
    bundle, volume = Bundle.load(tiny, "cpu"), head()
    study = ways.in_zip({"study.json": ways.json_text, "arrays.safetensors": ways.safetensors})
    networks = {"*.safetensors": ways.safetensors, "*.json": ways.json_text}
    return [
        Target("nifti", _make_nifti, partial(_load_nifti, volume), {"*.nii": _either(ways.nifti_header)}),
        Target("gzip", _make_gzip, partial(_load_nifti, volume), {"*.gz": ways.in_gzip(_either(ways.nifti_header))}),
        Target("dicom", write_series, load_scan, {"*": _either(dicom_bytes)}),
        Target("clip", _make_clip, _load_clip, {"*.npz": ways.in_zip({})}),
        Target("study", partial(_make_study, bundle), partial(_load_study, bundle, volume), {"*.vqad": study}),
        Target("bundle", make_bundle, _load_bundle, networks),
        Target("brainmask", _make_network, load_network, networks),
        Target("recipe", _make_recipe, lambda folder: Recipe.read(folder / "recipe.toml"), {"*.toml": ways.text}),
        Target("stack", _make_stack, _load_stack, {"*.npz": ways.in_zip({})}),
        Target("history", _make_history, read_history, {"*.json": ways.json_text}),
        Target("cases", _make_cases, lambda folder: read_table(folder / "cases.csv"), {"*.csv": ways.text}),
        Target("settings", _make_settings, _load_settings, {"*.json": ways.json_text}),
    ]


def head() -> Volume:
    """A scan with an ellipsoid as the brain, voxels of 8 mm."""
    r, a, s = np.meshgrid(*(np.linspace(-1, 1, n) for n in (16, 24, 10)), indexing="ij")
    voxels = np.where(r**2 + a**2 + s**2 < 0.8, 100 + 30 * np.sin(4 * r) + 10 * np.cos(9 * a), 0.0)
    return Volume.from_array(voxels.astype(np.float32), np.diag([8.0, 8, 8, 1]), name="head")


def make_bundle(folder: Path) -> None:
    """Write a bundle with every optional part and tiny random networks on a 16×24 grid."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    config = VQConfig(
        title="Tiny",
        description="Random weights.",
        grid=SPEC,
        tokenizer=TokenizerConfig(channels=(4, 4), blocks=(1, 1), n_codes=8, code_dim=4, condition=4),
        prior=PixelSnailConfig(channels=8, blocks=1, res_blocks=1, heads=2, condition=4, max_side=8),
    )
    (folder / "config.json").write_text(config.model_dump_json(), encoding="utf-8")
    save_weights(make_tokenizer(config.tokenizer), folder / "tokenizer.safetensors")
    save_weights(make_prior(config.prior, 8), folder / "prior.safetensors")
    brain = head().voxels[:, :, 2 : 2 + SLICES]
    Template(brain / brain.max(), (brain > 0).astype(np.float32), 8.0, np.linspace(0.1, 0.9, 5), 0.5, 0.2).save(folder)
    PCA(np.zeros(16 * 24, np.float32), np.eye(3, 16 * 24, dtype=np.float32)).save(folder)
    ramp = np.linspace(0, 1, len(LEVELS))
    methods = ("anchored", "sequential", "light", "regenerative")
    named = [f"{m} {p}" for m in methods for p in get_args(Pooling)]
    kinds = [f"{name} {scale}" for name in named for scale in ("plain", "place", "fused")]
    healthy = np.ones((2, SLICES // 2, 8, 12), np.float32)
    NormativeMaps(dict.fromkeys(("nll", LINEAR, *(f"{n} place" for n in named)), healthy), (SLICES, 16, 24)).save(
        folder
    )
    calibration = Calibration(
        n_scans=1,
        n_slices=SLICES,
        levels=list(LEVELS),
        nll=(6 * ramp).tolist(),
        slice_score={f"{level:g}": (90 * ramp).tolist() for level in LAMBDA_LEVELS},
        residual={m: (3 * ramp).tolist() for m in methods},
        pixel_score={k: (1.5 * ramp).tolist() for k in kinds},
        findings={k: (40 * (1 - ramp)).tolist() for k in kinds},
        fused=MADE_WITH,
    )
    (folder / "calibration.json").write_text(calibration.model_dump_json(), encoding="utf-8")
    weights = Bundle.load(folder, "cpu").weights
    tuned = TunedThresholds(weights=weights, on="the validation part", slices={"lambda_s": 1.0})
    (folder / TUNED_FILE).write_text(tuned.model_dump_json(), encoding="utf-8")


def _either(spoil: ways.Spoil) -> ways.Spoil:
    """Damage fields of the format, or arbitrary bytes."""
    return lambda raw, rng: (spoil if rng.random() < 0.6 else ways.any_bytes)(raw, rng)


def _make_nifti(folder: Path, ending: str = ".nii") -> None:
    volume = head()
    write_map(folder / f"scan{ending}", volume.voxels.astype(np.int16), volume)
    write_map(folder / f"mask{ending}", volume.voxels > 0, volume)


def _make_gzip(folder: Path) -> None:
    _make_nifti(folder, ".nii.gz")


def _load_nifti(volume: Volume, folder: Path) -> None:
    for file in sorted(folder.iterdir()):
        if "scan" in file.name:
            read_scan(file)
        else:
            read_mask(file, volume)
            read_labels(file, volume)


def _make_clip(folder: Path) -> None:
    label = np.zeros((5, 6, 11), bool)
    label[2, 3] = True
    frames = np.random.default_rng(0).integers(0, 256, label.shape).astype(np.uint8)
    packed = np.packbits(label, axis=-1)
    np.savez(folder / "clip.npz", frames=frames, frame_label=label.any((1, 2)), pixel_label=packed)


def _load_clip(folder: Path) -> None:
    is_clip(folder / "clip.npz")
    read_clip(folder / "clip.npz").volume()


def _make_study(bundle: Bundle, folder: Path) -> None:
    volume = head()
    explorer = Explorer(bundle, Settings(n_restorations=2))
    explorer.load_scan(volume, volume.voxels > 0)
    for _ in explorer.work():
        pass
    save_study(folder / "one.vqad", explorer, volume.voxels > 0, "Made here.", {})


def _load_study(bundle: Bundle, volume: Volume, folder: Path) -> None:
    find_scan(folder / "one.vqad")
    study = open_study(folder / "one.vqad", volume, bundle=bundle)
    study.explorer.ready("nll")
    study.explorer.map("pixel_score")


def _load_bundle(folder: Path) -> None:
    list_bundles(folder.parent)
    bundle = Bundle.load(find(folder), "cpu")
    bundle.thresholds(bundle.coerce(Settings()))
    # A bundle that loads must also compute.
    detector, slices = vq_of(bundle), np.zeros((1, *bundle.config.grid.shape), np.float32)
    if slices.size > 2**16:  # the damaged grid is too large to compute quickly
        return
    position = np.zeros(1, np.float32)
    detector.nll(detector.encode(slices, position), position)


def _make_network(folder: Path) -> None:
    config = {"version": 1, "channels": [4, 4], "spacing": SPACING, "sides": SIDES}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_weights(UNet3d((4, 4)), folder / "mask.safetensors")


def _make_recipe(folder: Path) -> None:
    (folder / "recipe.toml").write_bytes((FOLDER / "ixi-aligned.toml").read_bytes())


def _make_stack(folder: Path) -> None:
    volume = head()
    slices = np.moveaxis(volume.voxels, 2, 0) / 50 - 2
    grid = Grid.of_slices(slices, slices > -2, np.linspace(-0.5, 0.5, len(slices), dtype=np.float32), 8.0)
    Stack.of([grid, grid], SPEC).save(folder / "train.npz")


def _load_stack(folder: Path) -> None:
    stack = Stack.load(folder / "train.npz")
    if len(np.unique(stack.scan)) < 100:
        list(stack.of_brain().grids(SPEC))


def _make_history(folder: Path) -> None:
    source = find("ixi-aligned") / "training.json"
    (folder / "training.json").write_bytes(source.read_bytes())


def _make_cases(folder: Path) -> None:
    (folder / "cases.csv").write_text("case,kind\ncase00,normal\ncase01,cube\n", encoding="utf-8")


def _make_settings(folder: Path) -> None:
    (folder / "settings.json").write_text(Settings().model_dump_json(), encoding="utf-8")


def _load_settings(folder: Path) -> None:
    given = read_json(folder / "settings.json")
    if isinstance(given, dict):
        settings_from(given)
