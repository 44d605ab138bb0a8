"""Train the brain mask network: `python -m napari_vqad.train.brain_mask --data DIR --out models/brainmask-t1`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from napari_vqad.files.atomic import atomic_folder
from napari_vqad.files.space import folder_of
from napari_vqad.imaging.brain_mask import SIDES, SPACING, network_mask, to_network_grid
from napari_vqad.imaging.volume import Volume
from napari_vqad.nets.device import pick_device
from napari_vqad.nets.unet3d import UNet3d
from napari_vqad.nets.weights import save_weights
from napari_vqad.terminal.console import run
from napari_vqad.train.data import Split, ixi_scans
from napari_vqad.train.fit import Losses, Schedule, alone_in, fit

CARD = """# Brain mask of a whole T1 head

A 3D U-Net of {parameters:.2f} M parameters on 4 mm voxels, float16 weights.

Data: 128 healthy adults of the IXI set (https://brain-development.org/ixi-dataset; T1, one 3T scanner, 2 mm); ground
truth is the DLMUSE parcellation (labels > 0, closed by three voxels, holes filled, largest component). By subject,
sorted by file name: index mod 10 = 0 validation, = 1 test, the rest training. The IXI data are CC BY-SA 3.0; so are
these weights.

```
python -m napari_vqad.train.brain_mask --data DATA --out models/brainmask-t1 --steps {steps} --seed {seed}
```

Dice with the ground truth on the scans' own voxels, after largest component and filled holes:

| subjects | mean | lowest |
|---|---|---|
| {n_validation} validation (weights chosen on these) | {validation[0]:.3f} | {validation[1]:.3f} |
| {n_test} test | {test[0]:.3f} | {test[1]:.3f} |

Limits: research use only. Adults' whole heads, T1; other contrasts are not promised. Skull-stripped scans do not go
through it. A nearly black lesion that touches the brain's surface is left out in part: give a mask for such scans.
"""


def main() -> int:
    """Train, measure, write weights, config and card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.out = folder_of(args.out)
    with alone_in(args.out, ["mask.safetensors", "config.json", "README.md"]):
        make(args)
    return 0


def make(args: argparse.Namespace) -> None:
    """The work of `main`."""
    schedule = Schedule(steps=args.steps, batch=2, lr=2e-3, seed=args.seed, validate_every=100)
    network = train(load(args.data, "train"), load(args.data, "validation"), args.out / ".training", schedule)
    config = {"version": 1, "channels": [8, 16, 32, 48], "spacing": SPACING, "sides": SIDES}
    network.cpu()
    scores = {
        s: [dice(network_mask(v, network)[0], m) for v, m in ixi_scans(args.data, s)]
        for s in ("validation", "calibration")
    }
    validation, test = ((float(np.mean(s)), min(s)) for s in scores.values())
    card = CARD.format(
        parameters=sum(p.numel() for p in network.parameters()) / 1e6,
        steps=args.steps,
        seed=args.seed,
        validation=validation,
        test=test,
        n_validation=len(scores["validation"]),
        n_test=len(scores["calibration"]),
    )
    with atomic_folder(args.out) as new:
        save_weights(network, new / "mask.safetensors")
        (new / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        (new / "README.md").write_text(card, encoding="utf-8")
    print(f"Dice: validation {validation[0]:.3f}, lowest {validation[1]:.3f}; test {test[0]:.3f}, lowest {test[1]:.3f}")


def load(data: Path, split: Split) -> tuple[Tensor, Tensor]:
    """Heads (N, 1, X, Y, Z) on the network's grid and their masks, in half precision."""
    heads, masks = [], []
    for volume, mask in ixi_scans(data, split):
        box, offset = to_network_grid(volume)
        heads.append(box)
        masks.append(on_network_grid(mask, volume, offset))
    return torch.from_numpy(np.array(heads)[:, None]).half(), torch.from_numpy(np.array(masks)[:, None]).half()


def on_network_grid(mask: np.ndarray, volume: Volume, offset: np.ndarray) -> np.ndarray:
    """A mask on the network's grid, 0..1."""
    step = SPACING / volume.spacing
    sigma = np.sqrt(np.maximum(step**2 - 1, 0)) / 2.355
    smooth = ndimage.gaussian_filter(mask.astype(np.float32), sigma)
    return ndimage.affine_transform(smooth, step, offset=offset * step, output_shape=SIDES, order=1, cval=0.0)


def train(seen: tuple[Tensor, Tensor], held_out: tuple[Tensor, Tensor], folder: Path, schedule: Schedule) -> UNet3d:
    """Dice + binary cross-entropy; the weights with the best held-out Dice are kept."""
    device = pick_device()
    torch.manual_seed(schedule.seed)
    network = UNet3d().to(device)

    def losses(rng: torch.Generator, _step: int) -> Losses:
        index = torch.randint(len(seen[0]), (schedule.batch,), generator=rng, device=device).cpu()
        head, mask = augment(seen[0][index].float().to(device), seen[1][index].float().to(device), rng)
        logits = network(head).float()
        overlap = 1 - soft_dice(logits.sigmoid(), mask)
        return {"loss": F.binary_cross_entropy_with_logits(logits, mask) + overlap, "1 − Dice": overlap}

    def score() -> float:
        parts = zip(held_out[0].split(1), held_out[1].split(1), strict=True)
        dices = [
            soft_dice((network(h.float().to(device)) > 0).float(), (m.float().to(device) > 0.5).float())
            for h, m in parts
        ]
        return 1 - float(torch.stack(dices).mean())

    fit(network, losses, score, folder, schedule, device)
    return network


def soft_dice(a: Tensor, b: Tensor) -> Tensor:
    """2·Σab / (Σa + Σb)."""
    return 2 * (a * b).sum() / (a.sum() + b.sum()).clamp_min(1)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """2·|A∩B| / (|A| + |B|)."""
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def augment(head: Tensor, mask: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Other heads, positions, scanners and lesions: affine, contrast, bias, blur, noise, blobs, cut-off planes."""
    b = len(head)

    def draw(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(b, *shape, generator=rng, device=head.device)

    turn = torch.eye(3, device=head.device) + draw(-0.15, 0.15, 3, 3)
    theta = torch.cat([turn, draw(-0.12, 0.12, 3, 1)], 2)
    field = F.affine_grid(theta, list(head.shape), align_corners=False)
    coarse = 0.06 * torch.randn(b, 3, 5, 5, 5, generator=rng, device=head.device)
    field = field + F.interpolate(coarse, head.shape[2:], mode="trilinear").movedim(1, -1)
    floor = head.amin((2, 3, 4), keepdim=True)
    head = F.grid_sample(head - floor, field, align_corners=False)
    mask = F.grid_sample(mask, field, align_corners=False)

    # A lesion inside must not be a hole in the mask.
    bumps = torch.randn(b, 1, 9, 11, 10, generator=rng, device=head.device)
    bumps = F.interpolate(bumps, head.shape[2:], mode="trilinear")
    lesion = ((bumps > draw(1.1, 2.5, 1, 1, 1, 1)) & (mask > 0.9)).float()
    top = head.amax((2, 3, 4), keepdim=True)
    head = torch.lerp(head, draw(0, 1, 1, 1, 1, 1) * top, lesion * draw(0, 1, 1, 1, 1, 1))

    # Contrast of another scanner: gamma, and a bias field.
    head = top * (head / top).clamp(0, 1) ** draw(0.6, 1.6, 1, 1, 1, 1)
    bias = 0.25 * torch.randn(b, 1, 3, 3, 3, generator=rng, device=head.device)
    head = head * torch.exp(F.interpolate(bias, head.shape[2:], mode="trilinear"))
    if torch.rand(1, generator=rng, device=head.device) < 0.4:  # thick slices
        head = F.avg_pool3d(F.pad(head, (1, 1, 0, 0, 0, 0), mode="replicate"), (1, 1, 3), stride=1)
    head = head + top * draw(0, 0.05, 1, 1, 1, 1) * torch.randn(head.shape, generator=rng, device=head.device).abs()
    if torch.rand(1, generator=rng, device=head.device) < 0.3:  # a picture that ends below the brain, or in it
        cut = int(torch.randint(5, 30, (1,), generator=rng, device=head.device)) * head.shape[-1] // 64
        head[..., :cut] = 0
        mask[..., :cut] = 0
    mean, sd = head.mean((1, 2, 3, 4), keepdim=True), head.std((1, 2, 3, 4), keepdim=True)
    return (head - mean) / sd, mask.clamp(0, 1)


if __name__ == "__main__":
    raise SystemExit(run(main))
