"""Make a bundle from networks that were trained with MONAI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from napari_vqad.detectors.vq.config import VQConfig
from napari_vqad.errors import InputError
from napari_vqad.files.atomic import atomic_folder
from napari_vqad.files.space import folder_of
from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.nets.vq.monai import MonaiPrior, MonaiPriorConfig, MonaiTokenizer, MonaiTokenizerConfig
from napari_vqad.nets.weights import save_weights


def pack(
    folder: str | Path,
    vqvae: Any,
    transformer: Any,
    ordering: Any,
    *,
    title: str,
    grid: GridSpec,
    tokenizer: MonaiTokenizerConfig,
    prior: MonaiPriorConfig,
    description: str = "",
) -> Path:
    """Write a VQVAE, a DecoderOnlyTransformer and an Ordering as a bundle; then run `napari-vqad calibrate`.

    Args:
        folder: folder of the bundle, which is created if needed.
        vqvae, transformer: networks trained on slices of `grid`, in SD within the brain (see `napari-vqad train pack`).
        ordering: order of the codes that the transformer was trained with; its sequence has all codes of a slice.
        title, description: texts for the list of models.
        grid: size and spacing of the slices.
        tokenizer, prior: the arguments that the networks were made with, which MONAI does not store.

    Raises:
        InputError: networks, arguments and grid do not fit together; or the folder cannot be written to.
    """
    order = torch.as_tensor(ordering.get_sequence_ordering().copy()).long()
    codes = (grid.shape[0] // tokenizer.stride) * (grid.shape[1] // tokenizer.stride)
    if len(order) != codes or prior.max_seq_len != codes:
        raise InputError(
            f"A slice of {grid.shape[0]}×{grid.shape[1]} pixels has {codes} codes, the ordering {len(order)} and the "
            f"transformer a sequence of {prior.max_seq_len}; they must agree."
        )
    config = VQConfig(title=title, description=description, grid=grid, tokenizer=tokenizer, prior=prior)
    coder, chain = MonaiTokenizer(tokenizer), MonaiPrior(prior, tokenizer.n_codes)
    chain.order.copy_(order)
    for ours, theirs in ((coder, vqvae), (chain, transformer)):
        try:
            ours.network.load_state_dict(theirs.state_dict())
        except RuntimeError as error:
            raise InputError(f"{type(theirs).__name__} was not made with these arguments.") from error
    folder = folder_of(folder)
    with atomic_folder(folder) as new:
        config.save(new)
        save_weights(coder, new / "tokenizer.safetensors")
        save_weights(chain, new / "prior.safetensors")
    return folder
