"""Outputs of a module's modules: kept, or exchanged for given ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, final

import numpy as np
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from twofold.port.side import Array, Call
from twofold.port.trees import mapped
from twofold.port.where.operations import Recorder
from twofold_torch.port.describe import plain_name


@final
class Places:
    """Forward hooks while the module runs. A module's second call is named "path@2", and so on."""

    def __init__(self, module: nn.Module, call: Call) -> None:
        self.found: dict[str, Array] = {}
        self.inputs: dict[str, Array] = {}
        self.recorder: Recorder | None = None
        self.running: list[str] = []
        self.busy = False
        """Whether an operation is of the hooks' own."""
        self._module = module
        self._call = call
        self._calls: Counter[str] = Counter()
        self._handles: list[Any] = []

    @property
    def current(self) -> str:
        """The place of the innermost module that runs; "" for the model itself."""
        return self.running[-1] if self.running else ""

    def __enter__(self) -> Places:
        seen = set()
        for full, item in self._module.named_modules():
            name = plain_name(full)
            if name and name not in seen:
                seen.add(name)
                self._handles.append(
                    item.register_forward_pre_hook(self._begin(name), with_kwargs=True)
                )
                self._handles.append(item.register_forward_hook(self._end()))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    @contextmanager
    def _own(self) -> Iterator[None]:
        self.busy = True
        try:
            yield
        finally:
            self.busy = False

    def _begin(self, name: str) -> Any:
        def before(_module: nn.Module, inputs: Any, keywords: Any) -> None:
            self._calls[name] += 1
            count = self._calls[name]
            place = name if count == 1 else f"{name}@{count}"
            self.running.append(place)
            first = next((v for v in tree_leaves((inputs, keywords)) if torch.is_tensor(v)), None)
            if first is not None and "modules" in self._call.want:
                with self._own():
                    self.inputs[place] = _kept(first)

        return before

    def _end(self) -> Any:
        def after(_module: nn.Module, _inputs: Any, output: Any) -> Any:
            with self._own():
                return self._exchanged(self.running.pop(), output)

        return after

    def _exchanged(self, place: str, output: Any) -> Any:
        position = count()

        def change(_path: str, value: Any) -> Any:
            if not isinstance(value, torch.Tensor):
                return value
            part = next(position)
            key = place if part == 0 else f"{place}.{part}"
            if "modules" in self._call.want:
                self.found[key] = _kept(value)
            if key not in self._call.forced:
                return value
            given = torch.from_numpy(np.array(self._call.forced[key]))
            given = given.to(value.dtype).reshape(value.shape)
            if self.recorder is not None:
                self.recorder.source(given)
            return given

        return mapped(output, change)


def _kept(value: torch.Tensor) -> Array:
    plain = value.detach()
    plain = plain.double() if plain.is_floating_point() else plain
    return np.array(plain.numpy())
