"""Hypotheses tried in float64: the one with which the two sides are the same is the cause."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Final, TypeAlias, final

from twofold.errors import TwofoldError
from twofold.port.causes.hypotheses import Hypothesis, hypotheses
from twofold.port.causes.hypothesis import Clues, Kind
from twofold.port.causes.kinds import KINDS
from twofold.port.twins import SAME

MOST: Final = 400
"""Hypotheses that are tried for one place."""

Trial: TypeAlias = Callable[[Hypothesis, int], float | None]
"""The ratio with a hypothesis for a number of runs of it; None where there is no number."""


@final
@dataclass(frozen=True)
class Cause:
    """A hypothesis that holds: `ratio` is what is left of the difference with it.

    `changed` is the side that was changed to try it: 0 the original, 1 the port.
    """

    hypothesis: Hypothesis
    ratio: float
    changed: int

    @property
    def values(self) -> tuple[str, str]:
        """How the original does it, and how the port does."""
        own, other = self.hypothesis.own, self.hypothesis.other
        return (own, other) if self.changed == 0 else (other, own)

    @property
    def text(self) -> str:
        """The cause in a sentence."""
        original, port = self.values
        return f"{self.hypothesis.what}: {original} in the original, {port} in the port"

    @property
    def remedy(self) -> str:
        """What makes the port the same."""
        own = f"give the port what the original has: {self.hypothesis.what}: {self.values[0]}"
        return self.hypothesis.remedy or own

    @property
    def evidence(self) -> str:
        """What the trial measured."""
        side = ("original", "port")[self.changed]
        return f"tried in float64: with it in the {side} as well, the ratio is {self.ratio:.2g}"


def first_cause(
    clues: Clues,
    trial: Trial,
    runs: int,
    changed: int,
    kinds: Iterable[Kind] = KINDS,
    first: Iterable[Hypothesis] = (),
    last: Iterable[Hypothesis] = (),
) -> Cause | None:
    """The first hypothesis with which nothing differs any more; None where none is one.

    Each is tried at the point alone first, and confirmed with all runs. Those of `first`
    come before those of the kinds, and those of `last` behind them.
    """
    for count, hypothesis in enumerate(chain(first, hypotheses(clues, kinds), last)):
        if count >= MOST:
            return None
        try:
            ratio = trial(hypothesis, 1)
            if ratio is not None and ratio <= SAME and runs > 1:
                ratio = trial(hypothesis, runs)
        except (TwofoldError, TypeError):  # it does not fit here, so that it is not the cause
            continue
        if ratio is not None and ratio <= SAME:
            side = changed if hypothesis.side is None else hypothesis.side
            return Cause(hypothesis, ratio, side)
    return None
