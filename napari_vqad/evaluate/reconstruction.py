"""Error and sharpness of the reconstructions of healthy slices, to compare tokenizers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from napari_vqad.display.colours import INK, PAPER
from napari_vqad.display.orientation import upright
from napari_vqad.display.scales import WINDOW
from napari_vqad.evaluate.metrics import gradient_energy
from napari_vqad.files.atomic import atomic_write
from napari_vqad.nets.vq.vqvae import Tokenizer, reconstruct
from napari_vqad.train.data import Stack

AT_ONCE = 32  # slices per batch
SHOWN = 5


@dataclass(frozen=True)
class Reconstructed:
    """Reconstructions X by a tokenizer of all slices Y of a stack.

    Attributes:
        title: title of the model.
        slices: X, float32 (N, H, W), SD.
        l1: mean |Y − X| within the mask, SD.
        sharpness: gradient energy of X divided by that of Y; 1 is as sharp as the scan, lower values are blurred.
    """

    title: str
    slices: NDArray[np.float32]
    l1: float
    sharpness: float


@torch.inference_mode()
def reconstructed(title: str, tokenizer: Tokenizer, stack: Stack, device: torch.device) -> Reconstructed:
    """Compute decode(encode(Y)) of all slices of a stack, with its error and sharpness."""
    scan, mask = stack.slices(), stack.mask
    parts = []
    for start in range(0, len(stack), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        y = torch.from_numpy(scan[part])[:, None].to(device)
        position = torch.from_numpy(stack.position[part]).to(device)
        parts.append(reconstruct(tokenizer, y, position)[:, 0].float().cpu().numpy())
    again = np.concatenate(parts)
    return Reconstructed(
        title,
        again,
        float(np.abs(again - scan)[mask].mean()),
        gradient_energy(again, mask) / gradient_energy(scan, mask),
    )


def table(found: Iterable[Reconstructed]) -> str:
    """Make a Markdown table with one row per tokenizer."""
    head = "| reconstructions | L1 (SD) | gradient energy, of the scan's |\n|---|---|---|"
    return "\n".join([head, *(f"| {r.title} | {r.l1:.3f} | {r.sharpness:.0%} |" for r in found)])


def draw(stack: Stack, found: list[Reconstructed]) -> Figure:
    """Draw a figure: rows are the scan and each tokenizer, columns are slices across the brain of the first scan."""
    first = np.flatnonzero(stack.scan == stack.scan[0])
    chosen = first[np.rint(np.linspace(0.2, 0.85, SHOWN) * (len(first) - 1)).astype(int)]
    rows = [("Scan", stack.slices(chosen)), *((r.title, r.slices[chosen]) for r in found)]
    tall, wide = upright(stack.mask[0]).shape
    figure = Figure(figsize=(2.3 * SHOWN * wide / tall, 2.55 * len(rows)), facecolor=PAPER)
    axes = figure.subplots(len(rows), SHOWN, squeeze=False)
    figure.subplots_adjust(left=0.005, right=0.995, top=1 - 0.1 / len(rows), bottom=0.01, wspace=0.02, hspace=0.12)
    for row, (title, slices) in zip(axes, rows, strict=True):
        for ax, one, mask in zip(row, slices, stack.mask[chosen], strict=True):
            ax.imshow(upright(np.where(mask, one, WINDOW[0])), cmap="gray", vmin=WINDOW[0], vmax=WINDOW[1])
            ax.set_axis_off()
        row[0].set_title(title, color=INK, fontsize=10, loc="left", pad=3)
    return figure


def write_picture(figure: Figure, path: Path) -> None:
    """Write a figure at screen resolution; if this fails, no partial file is left.

    Raises:
        InputError: the file cannot be written.
    """
    with atomic_write(path) as file:
        figure.savefig(file, dpi=120, facecolor=PAPER)
