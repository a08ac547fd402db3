"""A person's module lent to the judge: filled with its numbers, then given back as it was."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from twofold.port.side import Array, Precision
from twofold_torch.port.describe import plain_name

DTYPES: Final[Mapping[Precision, torch.dtype]] = {
    "float64": torch.float64,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
}
SEED: Final = 20260401


@contextmanager
def lent(
    module: nn.Module, tensors: Mapping[str, Array], precision: Precision, training: bool
) -> Iterator[None]:
    """The module itself with other numbers; on the way out it is as it was, also after an error.

    The parameters stay the same objects, so that a person's own functions and optimizers, which
    hold them, see the judge's numbers. Given back are data, gradients, buffers, attributes, modes,
    the default type and the state of all generators of random numbers.
    """
    give_back = _snapshot(module)
    try:
        dtype = DTYPES[precision]
        torch.set_default_dtype(dtype if dtype is not torch.bfloat16 else torch.float32)
        torch.manual_seed(SEED)
        _fill(module, tensors, dtype)
        module.train(training)
        yield
    finally:
        give_back()


def _snapshot(module: nn.Module) -> Callable[[], None]:
    parameters = [(p, p.data, p.grad, p.requires_grad) for p in module.parameters()]
    inside = [(m, dict(vars(m)), dict(m._buffers), dict(m._parameters)) for m in module.modules()]
    default = torch.get_default_dtype()
    generators = torch.get_rng_state(), np.random.get_state(), random.getstate()

    def give_back() -> None:
        for owner, values, buffers, own in inside:
            vars(owner).clear()
            vars(owner).update(values)
            for target, kept in ((owner._buffers, buffers), (owner._parameters, own)):
                target.clear()
                target.update(kept)  # type: ignore[arg-type]
        for parameter, data, gradient, requires in parameters:
            parameter.grad = None
            parameter.data = data
            parameter.grad = gradient
            parameter.requires_grad_(requires)
        torch.set_default_dtype(default)
        torch.set_rng_state(generators[0])
        np.random.set_state(generators[1])
        random.setstate(generators[2])

    return give_back


def _fill(module: nn.Module, tensors: Mapping[str, Array], dtype: torch.dtype) -> None:
    """Copies everywhere: what the model writes in place must not reach the judge or the person."""
    with torch.no_grad():
        for full, parameter in module.named_parameters():
            name = plain_name(full)
            parameter.grad = None
            parameter.data = _taken(tensors, name, parameter.data, dtype)
        copies: dict[int, torch.Tensor] = {}
        for path, owner in module.named_modules():
            for leaf, buffer in owner._buffers.items():
                if buffer is None:
                    continue
                name = plain_name(f"{path}.{leaf}" if path else leaf)
                if id(buffer) not in copies:
                    copies[id(buffer)] = _taken(tensors, name, buffer, dtype)
                owner._buffers[leaf] = copies[id(buffer)]


def _taken(
    tensors: Mapping[str, Array], name: str, own: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    target = dtype if own.is_floating_point() else own.dtype
    if name in tensors:
        return torch.from_numpy(np.array(tensors[name], order="C")).to(target).reshape(own.shape)
    return own.detach().to(target, copy=True)


def tensors_from(array: Any, dtype: torch.dtype) -> Any:
    """An array of a batch as a tensor of its own; integers of 32 bits as PyTorch's 64."""
    value = torch.from_numpy(np.array(array))
    if value.is_floating_point():
        return value.to(dtype)
    return value.long() if value.dtype in (torch.int32, torch.int16) else value
