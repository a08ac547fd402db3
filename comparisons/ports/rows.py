"""Inputs, layouts and pairs of layers that are judged one by one.

A row with each library's defaults passes shapes only. What a port is judged by is what a person
would write who trusts that two layers of one name are the same layer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from comparisons.ports.case import Case
from twofold import port

IMAGE: Final = {0: "NCHW->NHWC", "output": "NCHW->NHWC"}
LINE: Final = {0: "NCW->NWC", "output": "NCW->NWC"}
VOLUME: Final = {0: "NCDHW->NDHWC", "output": "NCDHW->NDHWC"}
NUMBERS: Final = np.random.default_rng(0)

ROWS: Final = NUMBERS.normal(size=(3, 6))
SEQUENCE: Final = NUMBERS.normal(size=(2, 5, 6))
PICTURE: Final = NUMBERS.normal(size=(2, 4, 9, 9))
SIGNAL: Final = NUMBERS.normal(size=(2, 4, 9))
SOLID: Final = NUMBERS.normal(size=(1, 2, 5, 5, 5))
WORDS: Final = NUMBERS.integers(0, 7, (2, 5))

Row = tuple[str, str, Callable[[], nn.Module], Callable[[], Any], Any, Any]


class First(nn.Module):
    """The first of what a module returns."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)[0]


class Itself(First):
    """Attention of a sequence on itself."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x, x, x, need_weights=False)[0]


class Twice(First):
    """A module of two inputs with the same one twice."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x, x)


def layer(group: str, row: Row, make: Callable[[Callable[[], Any], Any], Any]) -> Case:
    """A row as a case; `make` makes the port of it from the second maker and its input."""
    name, arguments, ours, theirs, x, layouts = row

    def pair() -> port.Pair:
        axes = None
        if layouts is not None:
            axes = np.moveaxis(np.asarray(x), 1, -1)
        torch.manual_seed(0)
        return port.Pair(
            port.Torch(ours()),
            make(theirs, x if axes is None else axes),
            batches=[(x,)],
            layouts=layouts,
        )

    return Case(group, name, arguments, pair, {"steps": 0})
