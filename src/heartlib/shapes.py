"""Modules that have shapes and no numbers yet."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

_DRAWN = {torch.Tensor.normal_, torch.Tensor.uniform_}
_DRAWN |= {nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_}


class _Undrawn(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _DRAWN:
            return args[0] if args else kwargs["tensor"]
        if func is torch.randn:
            return torch.empty(*args, **kwargs)
        if func is torch.norm_except_dim:  # weight norm measures what it begins with
            weight, _, kept = args
            return weight.new_empty([n if i == kept else 1 for i, n in enumerate(weight.shape)])
        return func(*args, **kwargs)


@contextmanager
def shapes_alone() -> Iterator[None]:
    """Modules made here have shapes and no numbers, to be loaded.

    Drawing first weights on torch's "meta" device imports its compiler, which takes seconds: none are drawn.
    """
    with torch.device("meta"), _Undrawn():
        yield
