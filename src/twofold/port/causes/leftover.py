"""Weights without a partner: a bias or scale that only one side has."""

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


KINDS: Final = (TensorKind("missing bias or scale", "a bias or scale", _missing),)
