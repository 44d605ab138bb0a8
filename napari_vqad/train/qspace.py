"""`napari-vqad train qspace`: train and calibrate a voxel VAE on normal voxels of diffusion scans."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from napari_vqad.detectors.bundle import SLICES, Bundle
from napari_vqad.detectors.calibration import Calibration, SliceTables
from napari_vqad.detectors.qspace import reference as stored
from napari_vqad.detectors.qspace.config import QSpaceConfig
from napari_vqad.detectors.qspace.detector import FILE, QSpaceDetector
from napari_vqad.detectors.qspace.settings import NoveltyName
from napari_vqad.files.atomic import atomic_folder
from napari_vqad.files.jsonfile import validated
from napari_vqad.files.space import folder_of
from napari_vqad.nets.device import device_of, exact, pick_device
from napari_vqad.nets.voxel_vae import Shape, VoxelVAE, VoxelVAESizes
from napari_vqad.scores.novelty.batch import Reference
from napari_vqad.scores.novelty.compute import novelty
from napari_vqad.scores.novelty.elbo import negative_elbo
from napari_vqad.train.calibrate import UNCALIBRATED, calibrate
from napari_vqad.train.facts import Facts
from napari_vqad.train.fit import Losses, Schedule, alone_in, fit
from napari_vqad.train.model_card import Words, card_of
from napari_vqad.train.network_command import CHECKPOINTS
from napari_vqad.train.options import add_data_options, add_recipe_options, command_line
from napari_vqad.train.qspace_data import NormalVoxels, normal_voxels, read_scans
from napari_vqad.train.recipe import read_toml
from napari_vqad.train.same_recipe import Options, options_of
from napari_vqad.train.training_log import Trained, write_history

WORK = Path(CHECKPOINTS) / "network"
OUTPUTS = (FILE, stored.FILE, "config.json", "calibration.json", "README.md")
LOOKED_AT = 2000  # voxels that the healthy medians of the scores are computed on


class QSpaceRecipe(BaseModel):
    """What decides a q-space bundle before its data.

    Attributes:
        data: the scans, in a sentence for the card, with their licence.
        shape: one of the paper's three networks, by the numbers of z.
        least_sd: lower bound of the decoder's σ.
        reference: what the bundle keeps of its normal voxels.
        most: largest number of normal voxels that it keeps, drawn at random.
        scores: those that the bundle offers, the default first; all that it can compute if empty.
        training: how the network is trained.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    detector: str = Field(pattern="^qspace$")
    title: str
    description: str
    data: str
    shape: Shape = "8"
    least_sd: float = Field(0.01, gt=0, le=1)
    reference: str = Field("codes", pattern="^(codes|voxels)$")
    most: int = Field(4000, ge=50, le=10**7)
    scores: tuple[NoveltyName, ...] = ()
    training: Schedule = Schedule()


def add_command(kinds: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command."""
    parser = kinds.add_parser("qspace", help="train and calibrate a voxel VAE on normal voxels of diffusion scans")
    add_recipe_options(parser, changes=True)
    add_data_options(
        parser,
        "folder of diffusion scans NAME.nii.gz with gradients; reads NAME_mask and NAME_doubtful beside them. "
        "Fewer than three scans are divided by slice",
    )
    parser.set_defaults(func=run)
    return parser


def read_recipe(name: str | Path, changes: Sequence[str] = ()) -> QSpaceRecipe:
    """Read a recipe.

    Raises:
        InputError: there is none, or it does not fit.
    """
    given, path = read_toml(name, changes)
    return validated(QSpaceRecipe, given, path)


def run(args: argparse.Namespace) -> int:
    """Train the network of a recipe, and write its calibrated bundle."""
    torch.set_num_threads(args.threads)
    recipe, out, device = read_recipe(args.config, args.set), folder_of(args.out), pick_device(args.device)
    with alone_in(out, OUTPUTS):
        data = normal_voxels(read_scans(args.data))
        make_bundle(recipe, data, out, device, command_line("train qspace", args, out))
    print(f"wrote {out}")
    return 0


def make_bundle(recipe: QSpaceRecipe, data: NormalVoxels, out: Path, device: torch.device, command: str) -> Bundle:
    """Train on normal voxels, calibrate, and write the bundle with its card."""
    sizes = VoxelVAESizes.of(recipe.shape, data.train.shape[1]).model_copy(update={"least_sd": recipe.least_sd})
    network = VoxelVAE(sizes).to(device)
    decides = options_of(network=sizes, voxels=data.spec)
    held_out = train_network(network, recipe.training, data.train, data.validation, out / WORK, decides)
    detector = detector_of(recipe, data, network)
    with atomic_folder(out) as new:
        (new / "config.json").write_text(detector.config.model_dump_json(indent=1) + "\n", encoding="utf-8")
        detector.save(new)
        write_history(new, {"network": Trained(command=command, note=_words(recipe, data))})
    bundle = Bundle.load(out, str(device), calibration=UNCALIBRATED)
    calibration = _short(calibrate(bundle, data, lambda line: print(line, flush=True))[0])
    about = [("−ELBO of the validation voxels", f"{held_out:.2f} nats")]
    card = card_of(bundle, calibration, Facts(detector.about(), about), _card_words(recipe, data), calibrate=False)
    with atomic_folder(out) as new:
        of_maps = calibration.model_dump_json(exclude={"slices", "slice_nll"})
        (new / "calibration.json").write_text(of_maps + "\n", encoding="utf-8")
        tables = SliceTables(weights=bundle.weights, slice_nll=None, slices=calibration.slices)
        (new / SLICES).write_text(tables.model_dump_json() + "\n", encoding="utf-8")
        (new / "README.md").write_text(card, encoding="utf-8")
    return Bundle.load(out, str(device))


def train_network(
    network: VoxelVAE,
    schedule: Schedule,
    train: NDArray,
    validation: NDArray,
    folder: Path,
    recipe: Options | None = None,
) -> float:
    """Train in place by equation (1) of Vasilev et al. 2018; the weights with the lowest held-out loss are kept.

    Args:
        network: on its device.
        schedule: steps, voxels of a batch, rate and so on.
        train, validation: prepared voxels (M, N).
        folder: for the checkpoint.
        recipe: see `fit`.

    Returns:
        The loss of the validation voxels, −ELBO in nats.
    """
    torch.manual_seed(schedule.seed)
    device = device_of(network)
    voxels, held_out = (torch.from_numpy(np.ascontiguousarray(a)).to(device) for a in (train, validation))

    def loss(x: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        noise = torch.randn(1, len(x), network.latent, generator=rng, device=device)
        return negative_elbo(x, network.encode(x), network.decode, noise).mean()

    def losses(rng: torch.Generator, _step: int) -> Losses:
        with torch.autocast(device.type, enabled=False):  # the decoder's σ is small against bfloat16's steps
            if len(voxels) <= schedule.batch:
                return {"loss": loss(voxels, rng)}
            chosen = torch.randint(len(voxels), (schedule.batch,), generator=rng, device=device)
            return {"loss": loss(voxels[chosen], rng)}

    def score() -> float:
        return float(loss(held_out, torch.Generator(device).manual_seed(0)))

    fit(network, losses, score, folder, schedule, device, recipe=recipe)
    network.requires_grad_(False)
    return score()


def detector_of(recipe: QSpaceRecipe, data: NormalVoxels, network: VoxelVAE) -> QSpaceDetector:
    """Make the detector of a trained network: choose the normal voxels to keep, and find the middle of each score."""
    rng, network = np.random.default_rng(recipe.training.seed), network.cpu().eval()
    kept = data.train[np.sort(rng.permutation(len(data.train))[: recipe.most])]
    arrays = stored.arrays_of(network, kept, recipe.reference)
    possible = [n for n in get_args(NoveltyName) if recipe.reference == "voxels" or n not in stored.OF_VOXELS]
    reference = stored.make_reference(network, arrays, torch.device("cpu"))
    looked_at = data.validation[np.sort(rng.permutation(len(data.validation))[:LOOKED_AT])]
    config = QSpaceConfig(
        title=recipe.title,
        description=recipe.description,
        grid=data.spec,
        network=VoxelVAESizes(
            measurements=network.measurements,
            hidden=VoxelVAESizes.of(recipe.shape, 1).hidden,
            latent=network.latent,
            least_sd=recipe.least_sd,
        ),
        channel_means=tuple(data.channel_means.tolist()),
        reference=recipe.reference,  # type: ignore[arg-type]
        scores=middles(recipe.scores or tuple(possible), looked_at, network, reference),  # type: ignore[arg-type]
    )
    return QSpaceDetector(network, config, arrays)


def middles(
    names: Sequence[str], voxels: NDArray, network: VoxelVAE, reference: Reference
) -> dict[str, tuple[float, float]]:
    """Compute median and 84th percentile of scores over prepared voxels (M, N); equal ones are set apart a little."""
    x = torch.from_numpy(np.ascontiguousarray(voxels))
    with exact(x.device):
        found = novelty(names, x, network, reference)
    middle = {name: np.percentile(values.astype(float), [50, 84]) for name, values in found.items()}
    return {name: (float(m), float(max(h, m + 1e-6 * max(1.0, abs(m))))) for name, (m, h) in middle.items()}


def _short(calibration: Calibration) -> Calibration:
    """Round the quantiles to six digits: a table for each of 27 scores and five poolings makes a long file."""
    tables = {
        table: {kind: [float(f"{v:.6g}") for v in values] for kind, values in getattr(calibration, table).items()}
        for table in ("residual", "pixel_score", "findings", "slices")
    }
    return calibration.model_copy(update=tables)


def _words(recipe: QSpaceRecipe, data: NormalVoxels) -> str:
    s = recipe.training
    return (
        f"The network: −ELBO, equation (1) of the paper, on {len(data.train)} normal voxels; at most {s.steps} steps "
        f"of {s.batch} voxels, Adam at {s.lr:g}, seed {s.seed}; early stopping and the weights by the loss of "
        f"{len(data.validation)} validation voxels."
    )


def _card_words(recipe: QSpaceRecipe, data: NormalVoxels) -> Words:
    n = int(sum(grid.mask.sum() for grid in data.calibration))
    return Words(
        data=f"{recipe.data} {data.split}.",
        held_out=f"On {len(data.validation)} voxels that the network was not trained on; they chose when to stop:",
        calibrated=f"Calibrated on {n} further voxels. One false finding per scan, or per part of a scan that was kept "
        "for this,\nis to be expected at these pixel scores:",
        limits="The model knows one set of measurements (b-values and directions), one scanner and one protocol;\n"
        "another set is refused. Each voxel is judged alone. Movement, distortion and partial volume raise the scores\n"
        "for reasons that are no lesion.",
    )
