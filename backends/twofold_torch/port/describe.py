"""What a PyTorch module is made of: its modules, parameters and buffers in plain values."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from twofold.errors import BadInput
from twofold.port.side import Array, Module, Tensor

COMPILED = "_orig_mod."


def plain_name(name: str) -> str:
    """A name without the part that `torch.compile` puts into it."""
    return f"{name}.".replace(COMPILED, "").removesuffix(".")


def is_compiled(module: nn.Module) -> bool:
    """Whether `torch.compile` made the module or one inside it."""
    return any(hasattr(item, "_orig_mod") for item in module.modules())


def kind(module: nn.Module) -> str:
    """Such as "torch.nn.Linear", also for subclasses of it; a person's own class by its name."""
    for base in type(module).__mro__:
        public = getattr(nn, base.__name__, None)
        if public is base and base is not nn.Module:
            return f"torch.nn.{base.__name__}"
    return f"{type(module).__module__}.{type(module).__qualname__}"


def attributes(module: nn.Module) -> Mapping[str, object]:
    """The plain values that a module holds: sizes, eps, momentum, padding and so on."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and name != "training" and _is_plain(value)
    }


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, bool | int | float | str)


def modules_of(module: nn.Module) -> tuple[Module, ...]:
    """Every module, outermost first, once."""
    found: dict[str, Module] = {}
    for full, item in module.named_modules():
        name = plain_name(full)
        if not hasattr(item, "_orig_mod"):
            found.setdefault(name, Module(name, kind(item), attributes(item)))
    return tuple(found.values())


def tensors_of(module: nn.Module) -> tuple[Tensor, ...]:
    """Every parameter and buffer in the order of definition. Raises BadInput."""
    owners = {plain_name(name): item for name, item in module.named_modules()}
    first: dict[int, str] = {}
    found = []
    named: list[tuple[str, torch.Tensor, str]]
    named = [(n, p, "parameter") for n, p in module.named_parameters(remove_duplicate=False)]
    named += [(n, b, "buffer") for n, b in module.named_buffers(remove_duplicate=False)]
    for full, value, role in named:
        name = plain_name(full)
        _require_judgeable(name, value)
        owner = owners[name.rpartition(".")[0]]
        earlier = first.setdefault(id(value), name)
        found.append(
            Tensor(
                name=name,
                value=array(value),
                role="parameter" if role == "parameter" else "buffer",
                trainable=value.requires_grad,
                owner=kind(owner),
                attributes=attributes(owner),
                tied_to=None if earlier == name else earlier,
            )
        )
    return tuple(found)


def _require_judgeable(name: str, value: torch.Tensor) -> None:
    if value.device.type != "cpu":
        raise BadInput(
            f"{name}: on {value.device}; models are judged on the CPU, in float64; "
            "move the model with .cpu()"
        )
    if value.is_complex() or value.is_quantized or value.layout is not torch.strided:
        raise BadInput(f"{name}: {value.dtype}, {value.layout}; allowed are dense real tensors")
    if isinstance(value, nn.UninitializedParameter | nn.UninitializedBuffer):
        raise BadInput(f"{name}: has no shape yet; run the lazy module once before")


def array(value: torch.Tensor) -> Array:
    """A tensor as NumPy, without a copy where NumPy has its type; bfloat16 as float32."""
    plain = value.detach()
    if plain.dtype is torch.bfloat16:
        plain = plain.float()
    return np.asarray(plain.numpy())
