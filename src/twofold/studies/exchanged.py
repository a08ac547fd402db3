"""Which default accounts for a difference between engines: run one with the other's, and see.

What two frameworks do differently in a run with `rng = "native"` is how parameters start; where
dropout draws from the same distribution in both, nothing else of the spec is left to them. So where
two engines differ, one is trained again with initial values from the other's distributions, drawn
by Twofold (`twofold.spec.initial_values`): weights alone, then biases alone, then both. The first
exchange after which the two are equivalent accounts for the difference. Few seeds may not be enough
to call them equivalent: an exchange accounts for most of it where it changes the metric beyond the
margin, and leaves less than half of the difference and an interval with zero in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from twofold.backends.description import NativeInit
from twofold.backends.installed import backend
from twofold.problem.problem import Problem
from twofold.spec.model import with_initial_values
from twofold.studies.equivalence import Comparison

Finding = Literal[
    "accounts for it", "accounts for most of it", "does not account for it", "undecided"
]
FINDINGS: Final[dict[Finding, str]] = {
    "accounts for it": "this accounts for the difference",
    "accounts for most of it": "this accounts for most of the difference",
    "does not account for it": "still different",
    "undecided": "undecided",
}
WEIGHTS: Final = "initial weights"
BIASES: Final = "initial biases"


@dataclass(frozen=True)
class Difference:
    """A default of two backends that differs: what it is, and its value in each."""

    default: str
    left: str
    right: str

    @property
    def words(self) -> str:
        """The default with both values."""
        return f"{self.default}: {self.left} and {self.right}"


@dataclass(frozen=True)
class Exchanged:
    """What came of one engine trained with defaults of the other in the place of its own.

    `seeds` and `values` are those of that run, `reason` is its comparison with the other engine.
    """

    defaults: tuple[str, ...]
    engine: str
    like: str
    finding: Finding
    reason: str
    seeds: tuple[int, ...]
    values: tuple[float | None, ...]

    @property
    def words(self) -> str:
        """The finding as a sentence."""
        return (
            f"{self.engine} with the {' and '.join(self.defaults)} of {self.like}: "
            f"{FINDINGS[self.finding]}: {self.reason}"
        )


def differing_defaults(left: str, right: str) -> tuple[Difference, ...]:
    """The defaults that differ between the backends of two engines, initial weights first."""
    ours, theirs = _native(left), _native(right)
    if ours is None or theirs is None:
        return ()
    found = (
        Difference(WEIGHTS, ours.init, theirs.init),
        Difference(BIASES, ours.bias_init, theirs.bias_init),
    )
    return tuple(each for each in found if each.left != each.right)


def trials(differences: Sequence[Difference]) -> tuple[tuple[str, ...], ...]:
    """The exchanges to try, one after the other: each default alone, then all together."""
    names = tuple(each.default for each in differences)
    return (*((name,) for name in names), *([names] if len(names) > 1 else []))


def with_defaults_of(problem: Problem, engine: str, other: str, defaults: Sequence[str]) -> Problem:
    """The problem as an engine starts it, but for the named defaults, which are the other's."""
    own, theirs = _native(engine), _native(other)
    assert own is not None  # who asks has found that they differ
    assert theirs is not None
    init = theirs.init if WEIGHTS in defaults else own.init
    bias_init = theirs.bias_init if BIASES in defaults else own.bias_init
    experiment = problem.experiment
    model = with_initial_values(experiment.model, init, bias_init)
    changed = experiment.model_copy(update={"model": model, "rng": "shared"})
    return replace(problem, experiment=changed)


def finding_of(before: Comparison, after: Comparison | None, change: Comparison | None) -> Finding:
    """What an exchange says of the exchanged default.

    `before` and `after` compare the engine with the other one, `change` the engine as it starts by
    itself with the engine after the exchange; None where a run diverged.
    """
    if after is None or change is None:
        return "undecided"
    if after.verdict == "equivalent":
        return "accounts for it"
    if after.verdict == "different":
        return "does not account for it"
    half_gone = abs(after.difference) < abs(before.difference) / 2 and after.low < 0 < after.high
    moved = change.verdict == "different" and change.difference * before.difference > 0
    return "accounts for most of it" if half_gone and moved else "undecided"


def _native(engine: str) -> NativeInit | None:
    return backend(engine.partition(":")[0]).native_init
