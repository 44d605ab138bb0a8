"""`napari-vqad train import-lpips`: convert the published weights of VGG16 and LPIPS to one safetensors file.

Two networks are needed: VGG16 of torchvision (`vgg16-397923af`, ImageNet) and the weighings of Zhang et al. 2018 (`vgg`
of the package lpips, folder `weights/v0.1`). Their authors publish PyTorch pickles, which can run code when they are
read; models/README.md has the line that turns one into safetensors.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from napari_vqad.errors import InputError
from napari_vqad.files import limits
from napari_vqad.files.atomic import atomic_write
from napari_vqad.files.regular import open_regular
from napari_vqad.files.space import check_file
from napari_vqad.files.tensors import read_tensors
from napari_vqad.nets.blank import blank
from napari_vqad.train.perceptual import VGG16Features


def add_command(kinds: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = kinds.add_parser(
        "import-lpips", help="join the published weights of VGG16 and LPIPS, for the training of a VQ-GAN"
    )
    parser.add_argument("--vgg", type=Path, required=True, help="VGG16 of torchvision, as safetensors")
    parser.add_argument("--lpips", type=Path, required=True, help="weighings of the package lpips, as safetensors")
    parser.add_argument("-o", "--out", type=Path, required=True, help="write the safetensors file here")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Convert both files to one."""
    check_file(args.out)
    raw = save(convert(_read(args.vgg), _read(args.lpips), args.vgg, args.lpips))
    with atomic_write(args.out) as file:
        file.write_bytes(raw)
    print(f"Wrote {args.out}; train a VQ-GAN with 'train tokenizer --lpips {args.out}'")
    return 0


def _read(path: Path) -> dict[str, Tensor]:
    with open_regular(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > limits.WEIGHTS:
            raise InputError(f"{path} is larger than {limits.gib(limits.WEIGHTS)}.")
        return {name: torch.from_numpy(array) for name, array in read_tensors(stream, size, path).items()}


def convert(vgg: dict[str, Tensor], lpips: dict[str, Tensor], vgg_path: Path, lpips_path: Path) -> dict[str, Tensor]:
    """Rename the weights of both to the names of `VGG16Features`, as float32.

    Args:
        vgg: torchvision's names, `features.N.weight` and `.bias`, N counting activations and pooling, too.
        lpips: the names of lpips, `linN.model.1.weight` of shape (1, C, 1, 1), or `linN.weight`.
        vgg_path, lpips_path: the files, for messages.

    Raises:
        InputError: a tensor is missing or of another shape.
    """
    wanted, found = blank(VGG16Features).state_dict(), {}
    place = conv = 0
    for level, stage in enumerate(VGG16Features.stages):
        for _ in stage:
            for kind in ("weight", "bias"):
                found[f"conv.{conv}.{kind}"] = _one_of(vgg, (f"features.{place}.{kind}",), vgg_path)
            conv, place = conv + 1, place + 2  # a convolution and its activation
        place += 1  # pooling
        names = (f"lin{level}.model.1.weight", f"lin{level}.weight")
        found[f"linear.{level}"] = _one_of(lpips, names, lpips_path).flatten()
    for name, tensor in found.items():
        if tensor.shape != wanted[name].shape:
            path = lpips_path if name.startswith("linear") else vgg_path
            raise InputError(f"{path} has weights of shape {tuple(tensor.shape)} where VGG16 has others.")
    return found


def _one_of(tensors: dict[str, Tensor], names: tuple[str, ...], path: Path) -> Tensor:
    name = next((n for n in names if n in tensors), None)
    if name is None:
        raise InputError(f"{path} has no '{names[0]}'.")
    return tensors[name].float().contiguous()
