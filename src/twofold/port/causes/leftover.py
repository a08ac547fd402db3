"""Weights without a partner: a bias or scale on one side only, and weights tied on one side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from twofold.port.causes.hypothesis import Clues, Exchange, TensorAlternative, TensorKind
from twofold.port.side import Array


def _missing(clues: Clues) -> Iterator[TensorAlternative]:
    """All of them without effect, on either side: zeros, and ones for a scale."""
    for side, tensors in enumerate(clues.left_over):
        names = [name for name, value in tensors.items() if value.ndim == 1]
        if not names:
            continue
        neutral = {name: _neutral(name, tensors[name]) for name in names}
        told = ", ".join(names)
        yield TensorAlternative(_always(neutral), f"{told} used", f"without {told}", side)


def _neutral(name: str, value: Array) -> Array:
    leaf = name.rpartition(".")[2]
    return np.ones_like(value) if leaf in ("scale", "weight", "gamma") else np.zeros_like(value)


def _always(values: Mapping[str, Array]) -> Exchange:
    return lambda _tensors: values


def _untied(clues: Clues) -> Iterator[TensorAlternative]:
    """A weight of the port of its own where the original uses another one again."""
    for name, value in clues.left_over[1].items():
        for source, given in clues.tensors.items():
            if value.ndim != 2 or given.ndim != 2:
                continue
            for turned in (given, given.T):
                if turned.shape == value.shape:
                    told = f"{name} of its own"
                    exchange = _always({name: np.ascontiguousarray(turned)})
                    yield TensorAlternative(exchange, told, f"the numbers of {source} again", 1)


KINDS: Final = (
    TensorKind("missing bias or scale", "a bias or scale", _missing),
    TensorKind("tied weights", "a weight", _untied, "tied-weights-untie"),
)
