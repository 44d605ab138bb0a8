"""The card of a bundle: what it was made from, what was measured, and what it must not be used for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from napari_vqad.bundle import Bundle
from napari_vqad.calibration import Calibration
from napari_vqad.detectors.vq import VQDetector
from napari_vqad.nets.codebook import perplexity
from napari_vqad.settings import Settings
from napari_vqad.train.data import Stack
from napari_vqad.train.history import read_history
from napari_vqad.train.tokenizer import reconstruction_l1


@dataclass(frozen=True)
class Measured:
    """Numbers on healthy scans that were not trained on.

    Attributes:
        l1: mean |Y − reconstruction| within the mask, SD.
        perplexity: of code use.
        nll: mean per code over the whole grid, nats.
        scans, slices: how many.
    """

    l1: float
    perplexity: float
    nll: float
    scans: int
    slices: int


def measure(bundle: Bundle, stack: Stack) -> Measured:
    """Measure a bundle on held-out scans."""
    detector, codes, nll = VQDetector(bundle), [], []
    for start in range(0, len(stack), 32):
        part = slice(start, start + 32)
        codes.append(detector.encode(stack.slices(part), stack.position[part]))
        nll.append(detector.nll(codes[-1], stack.position[part]))
    real = bundle.levels.real.numpy()
    used = torch.from_numpy(np.concatenate(codes)[:, real].astype(np.int64))
    return Measured(
        l1=reconstruction_l1(bundle.tokenizer, stack, bundle.device),
        perplexity=perplexity(used, bundle.tokenizer.n_codes),
        nll=float(np.concatenate(nll)[:, real].mean()),
        scans=int(stack.scan.max()) + 1,
        slices=len(stack),
    )


def write_card(bundle: Bundle, calibration: Calibration, measured: Measured) -> None:
    """Write README.md beside the weights."""
    config, folder = bundle.config, bundle.folder
    tokenizer, prior = (_millions(folder / f"{name}.safetensors") for name in ("tokenizer", "prior"))
    codes = " and ".join(f"{h}×{w}" for h, w in bundle.levels.shapes)
    one_finding = _threshold_of_one_finding(bundle, calibration)
    (folder / "README.md").write_text(
        f"""# {config.title}

{config.description}

| | |
|---|---|
| tokenizer | {_tokenizer(bundle)}, {tokenizer:.2f} M parameters, {config.grid.shape[0]}×{config.grid.shape[1]} pixels of {config.grid.spacing:g} mm → {codes} codes, K = {config.tokenizer.n_codes}, D = {config.tokenizer.code_dim} |
| prior | {_kind(bundle)}, {prior:.2f} M parameters, conditioned on slice position |
| weights | float16, safetensors |

## Data

128 healthy adults of the [IXI set](https://brain-development.org/ixi-dataset/) (T1, one 3T scanner, 2 mm), skull-stripped by
the DLMUSE parcellation (labels > 0, closed by three voxels, holes filled, largest component). By subject, sorted by file
name: index mod 10 = 0 validation, = 1 calibration, the rest training. The IXI data are CC BY-SA 3.0; so are these weights.

## Training

{_training(bundle)}

## Measured

On {measured.scans} validation subjects ({measured.slices} slices), none of them trained on; the held-out loss of the
training was measured on the same subjects:

| | |
|---|---|
| reconstruction L1 within the mask | {measured.l1:.3f} SD |
| codebook perplexity | {measured.perplexity:.0f} of {config.tokenizer.n_codes} |
| NLL per code | {measured.nll:.2f} nats |

Calibrated on {calibration.n_scans} further subjects ({calibration.n_slices} slices). One false finding (at least
{calibration.finding_voxels} voxels of 2 mm) per healthy scan is to be expected at these pixel scores:
{one_finding}.

## Limits of use

Research use only, not a medical device. Healthy adults of one scanner and one contrast (T1, no contrast agent): on other
scanners, contrasts, ages or after surgery the scores rise for reasons that are no lesion. {_alignment(bundle)}
""",
        encoding="utf-8",
    )


def _threshold_of_one_finding(bundle: Bundle, calibration: Calibration) -> str:
    parts = []
    for method in bundle.methods:
        kind = calibration.pixel_kind(Settings(method=method))
        parts.append(f"{kind} {calibration.threshold_of_findings(kind):.2f}")
    return ", ".join(parts)


def _alignment(bundle: Bundle) -> str:
    if bundle.template is None:
        return "Heads are not aligned to a\ntemplate; a strongly tilted head is unlike what was learnt."
    return (
        "Heads are aligned to a\ntemplate by an affine; what is normal at a place was learnt from the calibration "
        "subjects alone, and widened\nventricles and sulci count as abnormal."
    )


def _millions(path: Path) -> float:
    return sum(t.numel() for t in load_file(path).values()) / 1e6


def _training(bundle: Bundle) -> str:
    history = read_history(bundle.folder)
    if not history:
        return "Not recorded."
    lines = []
    for network, t in history.items():
        s = t.schedule
        lines.append(
            f"The {network}: {t.loss}; {t.steps} steps of {s.batch} slices, Adam at {s.lr:g}"
            f"{' with cosine decay' if s.decay else ''}, seed {s.seed}, the {s.keep} weights kept{' by held-out loss' if s.keep == 'best' else ''}. {t.note}"
        )
    commands = [*(t.command for t in history.values()), f"napari-vqad calibrate models/{bundle.name} --data DATA"]
    return "\n\n".join(line.strip() for line in lines) + "\n\n```\n" + "\n".join(commands) + "\n```"


def _tokenizer(bundle: Bundle) -> str:
    if bundle.config.tokenizer.kind == "monai":
        return "VQVAE of MONAI"
    if bundle.config.tokenizer.kind == "vqvae2":
        return "VQ-VAE-2"
    trained = read_history(bundle.folder).get("tokenizer")
    return "VQ-GAN" if trained and "discriminator" in trained.loss else "VQ-VAE"


def _kind(bundle: Bundle) -> str:
    return {
        "pixelsnail": "PixelSNAIL",
        "two-level": "a PixelSNAIL for each level",
        "gpt2": "GPT-2",
        "masked": "masked transformer",
        "monai": "transformer of MONAI",
    }[bundle.config.prior.kind]
