"""The card of a bundle: what it was made from, what was measured, and what it must not be used for."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.calibration import Calibration
from napari_vqad.detectors.settings import Settings
from napari_vqad.detectors.vq.detector import vq_of
from napari_vqad.files.atomic import write_text
from napari_vqad.files.regular import open_regular
from napari_vqad.files.tensors import read_entries
from napari_vqad.nets.vq.codebook import perplexity
from napari_vqad.train.data import Stack
from napari_vqad.train.tokenizer import reconstruction_l1
from napari_vqad.train.training_log import read_history


@dataclass(frozen=True)
class Measured:
    """Numbers on healthy scans that were not trained on.

    Attributes:
        l1: mean |Y − reconstruction| within the mask, SD.
        perplexity: of code use, level by level.
        nll: mean per code over whole slices, nats, level by level.
        scans, slices: how many.
    """

    l1: float
    perplexity: list[float]
    nll: list[float]
    scans: int
    slices: int


def measure(bundle: Bundle, stack: Stack) -> Measured:
    """Measure a bundle on held-out scans."""
    detector, codes, nll = vq_of(bundle), [], []
    for start in range(0, len(stack), 32):
        part = slice(start, start + 32)
        codes.append(detector.encode(stack.slices(part), stack.position[part]))
        nll.append(detector.nll(codes[-1], stack.position[part]))
    used, said = (vq_of(bundle).levels.split(torch.from_numpy(np.concatenate(found))) for found in (codes, nll))
    return Measured(
        l1=reconstruction_l1(vq_of(bundle).tokenizer, stack, bundle.device),
        perplexity=[perplexity(c.long(), vq_of(bundle).tokenizer.n_codes) for c in used],
        nll=[float(n.mean()) for n in said],
        scans=int(stack.scan.max()) + 1,
        slices=len(stack),
    )


def write_card(bundle: Bundle, calibration: Calibration, measured: Measured, into: Path | None = None) -> None:
    """Write README.md beside the weights, or into another folder.

    Raises:
        InputError: it cannot be written.
    """
    config, folder = vq_of(bundle).config, bundle.folder
    tokenizer, prior = (_millions(folder / f"{name}.safetensors") for name in ("tokenizer", "prior"))
    codes = " and ".join(f"{h}×{w}" for h, w in vq_of(bundle).levels.shapes)
    one_finding = _threshold_of_one_finding(bundle, calibration)
    describe = _of_clips if config.grid.kind == "clip" else _of_heads
    words = describe(bundle, measured, calibration)
    card = f"""# {config.title}

{config.description}

| | |
|---|---|
| tokenizer | {_tokenizer(bundle)}, {tokenizer:.2f} M parameters, {words.pixels} → {codes} codes, K = {config.tokenizer.n_codes}, D = {config.tokenizer.code_dim} |
| prior | {_kind(bundle)}, {prior:.2f} M parameters, {words.conditioned} |
| weights | float16, safetensors |

## Data

{words.data}

## Training

{_training(bundle)}

## Measured

{words.held_out}

| | |
|---|---|
| reconstruction L1 within the mask | {measured.l1:.3f} SD |
| codebook perplexity | {_by_level(bundle, measured.perplexity, ".0f")} of {config.tokenizer.n_codes} |
| NLL per code | {_by_level(bundle, measured.nll, ".2f")} nats |

{words.calibrated}
{one_finding}.

## Limits of use

Research use only, not a medical device. {words.limits}
"""
    write_text((into or folder) / "README.md", card)


def _by_level(bundle: Bundle, numbers: list[float], form: str) -> str:
    """A number of each level, by its name where there are several."""
    names = vq_of(bundle).levels.names or ("",)
    return ", ".join(f"{name} {number:{form}}".strip() for name, number in zip(names, numbers, strict=True))


def _threshold_of_one_finding(bundle: Bundle, calibration: Calibration) -> str:
    parts = []
    for method in bundle.detector.variants:
        settings = Settings(**bundle.detector.asks_for(method))
        kind = replace(bundle, calibration=calibration).pixel_kind(settings)
        parts.append(f"{kind} {calibration.threshold_for_rate(kind):.2f}")
    return ", ".join(parts)


class Words(NamedTuple):
    """What a card says of heads in other words than of clips."""

    pixels: str
    conditioned: str
    data: str
    held_out: str
    calibrated: str
    limits: str


def _of_heads(bundle: Bundle, measured: Measured, calibration: Calibration) -> Words:
    grid = bundle.config.grid
    return Words(
        pixels=f"{grid.shape[0]}×{grid.shape[1]} pixels of {grid.spacing:g} mm",
        conditioned="conditioned on slice position",
        data="""128 healthy adults of the [IXI set](https://brain-development.org/ixi-dataset/) (T1, one 3T scanner, 2 mm), skull-stripped by
the DLMUSE parcellation (labels > 0, closed by three voxels, holes filled, largest component). By subject, sorted by file
name: index mod 10 = 0 validation, = 1 calibration, the rest training. The IXI data are CC BY-SA 3.0; so are these weights.""",
        held_out=f"""On {measured.scans} validation subjects ({measured.slices} slices), none of them trained on; the held-out loss of the
training was measured on the same subjects:""",
        calibrated=f"""Calibrated on {calibration.n_scans} further subjects ({calibration.n_slices} slices). One false finding (at least
{calibration.finding_voxels} voxels of 2 mm) per healthy scan is to be expected at these pixel scores:""",
        limits=f"""Healthy adults of one scanner and one contrast (T1, no contrast agent): on other
scanners, contrasts, ages or after surgery the scores rise for reasons that are no lesion. {_alignment(bundle)}""",
    )


def _of_clips(bundle: Bundle, measured: Measured, calibration: Calibration) -> Words:
    grid = bundle.config.grid
    assert grid.grey is not None
    mean, sd = grid.grey
    return Words(
        pixels=f"{grid.shape[0]}×{grid.shape[1]} pixels",
        conditioned="which knows no time",
        data=f"""UCSD Ped2 (Mahadevan et al., CVPR 2010, to be cited by who uses it), frames of {grid.shape[0]}×{grid.shape[1]}, split as in Ishii 2023: of
the normal frames, those of the test clips among them, 80 % train, 10 % validate, 10 % test; of the abnormal ones 10 % validate,
90 % test. Each run of normal or abnormal frames of a clip is cut into consecutive pieces in this order: neighbours are nearly the
same picture, and a random split would test on twins of what was trained on. Grey values v become (v − {mean:g}) / {sd:g}, which is the
SD that scores are measured in.""",
        held_out=f"""On the normal frames of the validation part ({measured.slices} frames in {measured.scans} pieces), none of them trained on; the held-out
loss of the training was measured on the same frames:""",
        calibrated=f"""Calibrated on these very frames ({calibration.n_slices} in {calibration.n_scans} pieces), since the split has no others to spare: healthy percentiles are a little
low for it. One false finding (at least {calibration.finding_voxels} pixels, over neighbouring frames) per piece is to be expected at these pixel scores:""",
        limits="""One fixed camera over one walkway: before any other picture, and when light or
camera change, all scores rise. Each frame is judged alone; what is abnormal by its speed alone is not seen.""",
    )


def _alignment(bundle: Bundle) -> str:
    if bundle.template is None:
        return "Heads are not aligned to a\ntemplate; a strongly tilted head is unlike what was learnt."
    return (
        "Heads are aligned to a\ntemplate by an affine; what is normal at a place was learnt from the calibration "
        "subjects alone, and widened\nventricles and sulci count as abnormal."
    )


def _millions(path: Path) -> float:
    with open_regular(path) as file:
        entries = read_entries(file, os.fstat(file.fileno()).st_size, path)
    return sum(prod(entry.shape) for entry in entries.values()) / 1e6


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
    if vq_of(bundle).config.tokenizer.kind == "monai":
        return "VQVAE of MONAI"
    trained = read_history(bundle.folder).get("tokenizer")
    judged = trained is not None and "discriminator" in trained.loss
    if vq_of(bundle).config.tokenizer.kind == "vqvae2":
        return "VQ-GAN of two levels" if judged else "VQ-VAE-2"
    return "VQ-GAN" if judged else "VQ-VAE"


def _kind(bundle: Bundle) -> str:
    return {
        "pixelsnail": "PixelSNAIL",
        "two-level": "a PixelSNAIL for each level",
        "gpt2": "GPT-2",
        "masked": "masked transformer",
        "monai": "transformer of MONAI",
    }[vq_of(bundle).config.prior.kind]
