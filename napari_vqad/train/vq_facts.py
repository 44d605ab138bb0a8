"""Facts for the model card of a vector-quantised bundle: its networks, and how well they work."""

from __future__ import annotations

import os
from math import prod
from pathlib import Path

import numpy as np
import torch

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.vq.detector import vq_of
from napari_vqad.files.regular import open_regular
from napari_vqad.files.shared import path_of
from napari_vqad.files.tensors import read_entries
from napari_vqad.nets.vq.codebook import perplexity
from napari_vqad.train.data import Stack
from napari_vqad.train.facts import Facts, Row
from napari_vqad.train.tokenizer import reconstruction_error
from napari_vqad.train.training_log import read_history


def vq_facts(bundle: Bundle, stack: Stack) -> Facts:
    """Describe the networks of a bundle, and measure them on held-out slices."""
    return Facts(about(bundle), measured(bundle, stack))


def about(bundle: Bundle) -> list[Row]:
    """Describe tokenizer, prior and weights."""
    config, folder = vq_of(bundle).config, bundle.folder
    tokenizer, prior = (_millions(path_of(folder, f"{name}.safetensors")) for name in ("tokenizer", "prior"))
    codes = " and ".join(f"{h}×{w}" for h, w in vq_of(bundle).levels.shapes)
    (height, width), clip = config.grid.shape, config.grid.kind == "clip"
    sizes = f"{height}×{width} pixels{'' if clip else f' of {config.grid.spacing:g} mm'} → {codes} codes"
    codebook = f"K = {config.tokenizer.n_codes}, D = {config.tokenizer.code_dim}"
    conditioned = "which knows no time" if clip else "conditioned on slice position"
    return [
        ("tokenizer", f"{_tokenizer(bundle)}, {tokenizer:.2f} M parameters, {sizes}, {codebook}"),
        ("prior", f"{_kind(bundle)}, {prior:.2f} M parameters, {conditioned}"),
        ("weights", "float16, safetensors"),
    ]


def measured(bundle: Bundle, stack: Stack) -> list[Row]:
    """Measure the reconstruction error, the use of the codebook and the NLL."""
    detector, codes, nll = vq_of(bundle), [], []
    for start in range(0, len(stack), 32):
        part = slice(start, start + 32)
        codes.append(detector.encode(stack.slices(part), stack.position[part]))
        nll.append(detector.nll(codes[-1], stack.position[part]))
    used, unlikely = (detector.levels.split(torch.from_numpy(np.concatenate(found))) for found in (codes, nll))
    n_codes = detector.tokenizer.n_codes
    use = [float(perplexity(c.long(), n_codes)) for c in used]
    l1 = reconstruction_error(detector.tokenizer, stack, bundle.device)
    return [
        ("reconstruction L1 within the mask", f"{l1:.3f} SD"),
        ("codebook perplexity", f"{_by_level(bundle, use, '.0f')} of {n_codes}"),
        ("NLL per code", f"{_by_level(bundle, [float(n.mean()) for n in unlikely], '.2f')} nats"),
    ]


def _by_level(bundle: Bundle, numbers: list[float], form: str) -> str:
    """Format one number for each level, with the names of the levels if there are several."""
    names = vq_of(bundle).levels.names or ("",)
    return ", ".join(f"{name} {number:{form}}".strip() for name, number in zip(names, numbers, strict=True))


def _millions(path: Path) -> float:
    with open_regular(path) as file:
        entries = read_entries(file, os.fstat(file.fileno()).st_size, path)
    return sum(prod(entry.shape) for entry in entries.values()) / 1e6


def _tokenizer(bundle: Bundle) -> str:
    if vq_of(bundle).config.tokenizer.kind == "monai":
        return "VQVAE of MONAI"
    trained = read_history(bundle.folder).get("tokenizer")
    judged = trained is not None and "discriminator" in trained.loss
    if vq_of(bundle).config.tokenizer.kind == "vqvae2":
        return "VQ-GAN of two levels" if judged else "VQ-VAE-2"
    if vq_of(bundle).config.tokenizer.kind == "vqvae-esser":
        return f"{'VQ-GAN' if judged else 'VQ-VAE'} with the layers of Esser et al. 2021"
    return "VQ-GAN" if judged else "VQ-VAE"


def _kind(bundle: Bundle) -> str:
    return {
        "pixelsnail": "PixelSNAIL",
        "pixelsnail-paper": "PixelSNAIL in its own wiring",
        "two-level": "a PixelSNAIL for each level",
        "gpt2": "GPT-2",
        "masked": "masked transformer",
        "monai": "transformer of MONAI",
    }[vq_of(bundle).config.prior.kind]
