"""Tables of a PyTorch run: found where they meet what is judged, and given other numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from twofold.port.calling import own_line
from twofold.port.side import Array, Call
from twofold.port.where.tables import Replacement, Tables
from twofold_torch.port.describe import plain_name
from twofold_torch.port.wide import NARROW


@final
class Exchanged(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode that gives tables other numbers, in the backward pass too."""

    def __init__(self, replacements: Sequence[Replacement]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._replacements = replacements
        self._shapes = {replacement.old.shape for replacement in replacements}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return func(*tree_map(self._operand, args), **(kwargs or {}))

    def _operand(self, value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or tuple(value.shape) not in self._shapes:
            return value
        numbers = _numbers(value)
        if numbers is None:
            return value
        new = (replacement.of(numbers) for replacement in self._replacements)
        found = next((item for item in new if item is not None), None)
        return value if found is None else torch.from_numpy(np.array(found))


@final
class Collected(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode that finds the tables of a module that is lent and filled."""

    def __init__(self, module: nn.Module, narrow: set[str], call: Call, batch: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tables = Tables()
        for value in tree_leaves(batch):
            if torch.is_tensor(value) and value.is_floating_point():
                self.tables.judged(value)
        named = [*module.named_parameters(), *module.named_buffers()]
        for full, value in named:
            name = plain_name(full)
            if name in call.tensors or value.requires_grad:
                self.tables.judged(value)
            elif name in narrow:
                self.tables.narrow(value, name)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        inputs = [v for v in tree_leaves((args, kwargs)) if isinstance(v, torch.Tensor)]
        self.tables.ran(
            [(value, _name(value)) for value in inputs],
            [value for value in tree_leaves(out) if isinstance(value, torch.Tensor)],
            line=own_line,
            numbers=_numbers,
        )
        return out


def _name(value: torch.Tensor) -> str:
    """The line at which a constant of float32 is used; "" for what is none."""
    return own_line() if value.dtype in NARROW else ""


def _numbers(value: torch.Tensor) -> Array | None:
    plain = value.detach()
    return np.asarray(plain.double().numpy()) if plain.is_floating_point() else None
