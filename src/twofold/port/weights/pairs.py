"""The pairs of nodes found so far, and which nodes can be one at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

from twofold.port.weights.axes import Axes
from twofold.port.weights.compose import ways
from twofold.port.weights.links import How
from twofold.port.weights.nodes import Node


@final
@dataclass(frozen=True)
class Pair:
    """A node of the original and one of the port, and how they found each other.

    `equal` names two originals that could be exchanged as well, as "a and b".
    """

    original: Node
    port: Node
    how: How
    equal: str | None = None


@final
@dataclass
class Pairing:
    """The state of the search: nodes of both sides, and the pairs found so far by index."""

    a: list[Node]
    b: list[Node]
    found: dict[int, tuple[int, How]] = field(default_factory=dict)
    equal: dict[int, str] = field(default_factory=dict)

    def fit(self, i: int, j: int) -> tuple[Axes, ...]:
        """The ways in which two nodes can hold the same numbers; () if they cannot."""
        one, other = self.a[i], self.b[j]
        if one.role and other.role and one.role != other.role:
            return ()
        return ways(one.part.reading, one.shape, other.part.reading, other.shape)

    def free(self) -> tuple[list[int], list[int]]:
        taken = {j for j, _ in self.found.values()}
        return (
            [i for i in range(len(self.a)) if i not in self.found],
            [j for j in range(len(self.b)) if j not in taken],
        )

    def pairs(self) -> list[Pair]:
        return [
            Pair(self.a[i], self.b[j], how, self.equal.get(i))
            for i, (j, how) in sorted(self.found.items())
        ]
