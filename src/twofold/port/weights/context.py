"""How alike the surroundings of two nodes are in the flow of data of their programs.

Colours are refined by those of the neighbours, round by round (Weisfeiler and Leman 1968),
upstream, downstream and both ways; sizes alone are the first colour, for layouts differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np

from twofold.port.weights.nodes import Node

ROUNDS: Final = 4
Colours: TypeAlias = np.ndarray
"""(directions, rounds + 1, nodes), int64."""


def colours(nodes: Sequence[Node]) -> Colours:
    """The colours of all nodes in every round and direction."""
    up = [sorted(node.after) for node in nodes]
    down: list[list[int]] = [[] for _ in nodes]
    for index, before in enumerate(up):
        for other in before:
            down[other].append(index)
    both = [a + b for a, b in zip(up, down, strict=True)]
    table = np.zeros((3, ROUNDS + 1, len(nodes)), np.int64)
    for direction, near in enumerate((up, down, both)):
        now = [hash((node.size, node.use is None)) for node in nodes]
        table[direction, 0] = now
        for step in range(1, ROUNDS + 1):
            now = [
                hash((own, tuple(sorted(now[other] for other in others))))
                for own, others in zip(now, near, strict=True)
            ]
            table[direction, step] = now
    return table


def unlikeness(a: Colours, i: Sequence[int], b: Colours, j: Sequence[int]) -> np.ndarray:
    """From 0 (alike in every round and direction) to 1, for all pairs: (len(i), len(j))."""
    same = a[:, :, list(i), None] == b[:, :, None, list(j)]
    agreed = np.logical_and.accumulate(same, axis=1)[:, 1:].mean(axis=(0, 1))
    return np.asarray(1.0 - agreed)
