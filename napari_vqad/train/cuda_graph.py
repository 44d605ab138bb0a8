"""CUDA graphs for training: the forward and the backward pass of a network are one launch each.

The networks are small, so a GPU computes a step faster than Python can launch its kernels one by one. A CUDA graph
records the kernels once and then launches them together.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_vqad.nets.device import device_of, has_bf16


def capture(network: nn.Module, *examples: Tensor) -> None:
    """Record the passes of `network(*examples)` in training mode; without CUDA, do nothing.

    Later calls in training mode replay the record, and inputs must have the examples' shapes. Calls in evaluation mode
    run as before. The network must not read a value back from the GPU in its forward pass, must be called once per
    backward pass, and its other methods are not recorded.

    Args:
        network: on its device; a step of its training calls the network itself.
        examples: one tensor per argument, on the same device; their values do not matter.
    """
    device = device_of(network)
    if device.type != "cuda":
        return
    network.train()
    # Without a cache, each replay casts the weights again; cached casts would stay as recorded.
    with torch.autocast("cuda", torch.bfloat16, enabled=has_bf16(device), cache_enabled=False):
        torch.cuda.make_graphed_callables(network, examples, allow_unused_input=True)  # type: ignore[no-untyped-call]
