"""Networks without values: the size of a network that a config describes is known before memory is allocated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

# Results of these functions have the shape of the first argument.
SAME = (torch.Tensor.uniform_, torch.Tensor.normal_, torch.Tensor.mul, torch.Tensor.__mul__, torch.Tensor.__rmul__)
Network = TypeVar("Network", bound=nn.Module)


def blank(make: Callable[[], Network]) -> Network:
    """Call `make` on torch's meta device: the network has its shapes and dtypes, but no values."""
    with torch.device("meta"), _NoNumbers():
        return make()


def bytes_of(network: nn.Module) -> int:
    """Return the size of a network's parameters and buffers as float32, in bytes."""
    return 4 * sum(tensor.numel() for tensor in network.state_dict().values())


class _NoNumbers(TorchFunctionMode):
    """Skips the initialisation of weights, which on the meta device would import torch's compiler (seconds)."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        if func in SAME:
            return args[0]
        if func is torch.arange:  # short tensors, which may have values
            return func(*args, **kwargs | {"device": "cpu"})
        if func is torch.randn:
            return torch.empty(*args)
        return func(*args, **kwargs)
