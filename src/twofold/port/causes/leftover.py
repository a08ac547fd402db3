"""Weights without a partner: a bias or scale, or a part of one, that only one side has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from twofold.port.causes.hypothesis import Clues, Exchange, TensorAlternative, TensorKind
from twofold.port.side import Array

SIDES: Final = ("original", "port")
SCALES: Final = ("scale", "weight", "gamma")


def _missing(clues: Clues) -> Iterator[TensorAlternative]:
    """All of them without effect, on either side: zeros, and ones for a scale."""
    for side, masks in enumerate(clues.left_over):
        flat = {name: mask for name, mask in masks.items() if mask.ndim == 1}
        if not flat:
            continue
        told = ", ".join(_told(name, mask) for name, mask in flat.items())
        where, other = SIDES[side], SIDES[1 - side]
        set_to = " and ".join(
            f"{_told(name, mask)} to {'one' if _is_scale(name) else 'zero'}"
            for name, mask in flat.items()
        )
        remedy = (
            f"give the {other} a parameter for {told}; or set {set_to} in the {where}, and do not "
            f"train {'it' if len(flat) == 1 else 'them'}"
        )
        yield TensorAlternative(
            _without(flat), f"{told} used", f"without {told}", side, remedy=remedy
        )


def _of_gru(clues: Clues) -> Iterator[TensorAlternative]:
    """The bias inside a GRU's candidate, which is no sum with another bias."""
    names = [name for masks in clues.left_over for name in masks]
    if names and all("gru" in clues.kinds.get(name, "").lower() for name in names):
        yield from _missing(clues)


def _told(name: str, mask: Array) -> str:
    """The tensor, or its range of elements without a partner."""
    places = np.flatnonzero(mask)
    if len(places) == mask.size:
        return name
    first, last = int(places[0]), int(places[-1])
    whole = last + 1 - first == len(places)
    return f"{name}[{first}:{last + 1}]" if whole else f"a part of {name}"


def _is_scale(name: str) -> bool:
    return name.rpartition(".")[2] in SCALES


def _without(masks: Mapping[str, Array]) -> Exchange:
    """The tensors with the elements that have no partner set to what has no effect."""

    def exchanged(tensors: Mapping[str, Array]) -> Mapping[str, Array]:
        found = {}
        for name, mask in masks.items():
            neutral = np.full(mask.shape, float(_is_scale(name)))
            found[name] = np.where(mask, neutral, tensors.get(name, neutral))
        return found

    return exchanged


KINDS: Final = (
    TensorKind("hidden bias of a GRU", "the hidden bias of the GRU", _of_gru, "gru-hidden-bias"),
    TensorKind("missing bias or scale", "a bias or scale", _missing),
)
