"""Models of known differences: the oracle evaluated the way a framework is known to do it.

A difference is `explained` only if the model accounts for every element within the ordinary
bound; no bound is widened.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Literal, assert_never

import numpy as np

from twofold.backends.departures import (
    BiasedRunningVariance,
    Departure,
    KnownDifference,
    LongerNorm,
    RoundedCorrections,
)
from twofold.parity.judging.comparison import Comparison, compare
from twofold.parity.judging.verdict import Explanation
from twofold.parity.ladder.reference import Moment, TrainingStep
from twofold.parity.ladder.trajectory import buffers_with
from twofold.parity.oracle.adam import BiasCorrections
from twofold.parity.oracle.arithmetic import Arithmetic
from twofold.parity.oracle.bounded import Bounded
from twofold.parity.oracle.optimizers import Variant, update
from twofold.problem.problem import Problem
from twofold.problem.state import Array
from twofold.spec.experiment import Adam, AdamW, Sgd
from twofold.spec.layers.batch_norm import BatchNorm
from twofold.spec.model import has

# A float32 power may be this many units in the last place off; each candidate is tried as the one
# number that the whole state must fit.
POWER_ULPS: Final = 3

Seen = Moment | TrainingStep
Part = Literal["slots", "buffers", "parameters"]


@dataclass(frozen=True)
class Explained:
    """A comparison that holds under a model, and the words for it."""

    comparison: Comparison
    explanation: Explanation


@dataclass(frozen=True)
class Modelled:
    """A variant of the oracle's optimizer, and in words how far it is from the formula."""

    variant: Variant
    size: str


@dataclass(frozen=True)
class ModelledSteps:
    """The variant at each of several steps, counted from 1, and the words for the first."""

    difference: KnownDifference
    variant_at: Callable[[int], Variant]
    size: str

    def with_(self, other: ModelledSteps) -> ModelledSteps:
        """Both differences at every step, told as the one with the words of both."""
        first, second = self.difference, other.difference
        both = replace(
            first,
            cause=f"{first.cause}; and {second.cause}",
            source=f"{first.source}; {second.source}",
            consequence=f"{first.consequence}; {second.consequence}",
        )

        def variant_at(step: int) -> Variant:
            return self.variant_at(step).with_(other.variant_at(step))

        return ModelledSteps(both, variant_at, f"{self.size}; {other.size}")


Choice = Callable[[Adam | AdamW, int, Arithmetic], BiasCorrections]


def first_that_explains(
    known: Sequence[KnownDifference],
    problem: Problem,
    seen: Seen,
    computed: dict[str, Array],
    part: Part,
    failed: Comparison,
    arithmetic: Arithmetic,
) -> Explained | None:
    """The first known difference under which a part of the state after a step holds, if any."""
    for difference in known:
        for modelled in _modelled(difference.departure, problem, seen, arithmetic):
            allowed = _after(modelled.variant, problem, seen, part, arithmetic)
            comparison = compare(computed, allowed, arithmetic, seen.state.tensors)
            if comparison.within:
                return Explained(comparison, explanation_of(difference, modelled.size, failed))
    return None


def _after(
    variant: Variant, problem: Problem, seen: Seen, part: Part, arithmetic: Arithmetic
) -> Mapping[str, Bounded]:
    """A part of the state after a step, as the variant of the oracle computes it."""
    if part == "buffers":
        return buffers_with(variant, problem, seen.state.buffers, seen.training, arithmetic)
    gradients = seen.training.gradients
    after = update(problem.experiment, seen.state, gradients, arithmetic, variant, seen.own_slots)
    return after.named_slots if part == "slots" else after.parameters


def explanation_of(difference: KnownDifference, size: str, failed: Comparison) -> Explanation:
    """The words for a known difference under which everything holds that failed without it."""
    return Explanation(
        cause=difference.cause,
        source=difference.source,
        size=size,
        consequence=difference.consequence,
        ratio_without=failed.worst_ratio,
    )


def modelled_steps(
    differences: Sequence[KnownDifference], problem: Problem, steps: range, arithmetic: Arithmetic
) -> Iterator[ModelledSteps]:
    """Known differences at every one of several steps, counted from 0; the likeliest first.

    Each by itself, then every two together.
    """
    each = [list(_modelled_steps(known, problem, steps, arithmetic)) for known in differences]
    yield from itertools.chain.from_iterable(each)
    for first, second in itertools.combinations(each, 2):
        yield from (one.with_(other) for one, other in itertools.product(first, second))


def _modelled_steps(
    difference: KnownDifference, problem: Problem, steps: range, arithmetic: Arithmetic
) -> Iterator[ModelledSteps]:
    departure, optimizer = difference.departure, problem.experiment.optimizer
    if not isinstance(departure, RoundedCorrections):
        for modelled in _at_every_step(departure, problem):
            yield ModelledSteps(difference, partial(_always, modelled.variant), modelled.size)
        return
    if isinstance(optimizer, Sgd):
        return
    choices: tuple[Choice, ...] = (_likeliest_corrections, _all_corrections)
    for choice in choices:
        at = {step + 1: choice(optimizer, step + 1, arithmetic) for step in steps}
        first = steps.start + 1
        size = _size_of(at[first], optimizer, first, arithmetic)
        words = f"{size}, and less at the steps after"
        yield ModelledSteps(difference, partial(_corrected, at), words)


def _always(variant: Variant, _: int) -> Variant:
    return variant


def _corrected(at: Mapping[int, BiasCorrections], step: int) -> Variant:
    return Variant(corrections=at[step])


def _likeliest_corrections(
    optimizer: Adam | AdamW, step: int, arithmetic: Arithmetic
) -> BiasCorrections:
    """Those of powers that are rounded to nearest."""
    return next(candidate_corrections(optimizer, step, arithmetic))


def _all_corrections(optimizer: Adam | AdamW, step: int, arithmetic: Arithmetic) -> BiasCorrections:
    """The likeliest corrections, each with an error so large that every candidate lies within it.

    Between steps the state is not known, so a single step cannot tell which candidate was used.
    The update divides by one correction and by the root of the other, so each error e is given as
    e / (1 - e).
    """
    nearest = _likeliest_corrections(optimizer, step, arithmetic)
    others = list(candidate_corrections(optimizer, step, arithmetic))
    first = max(abs(float(other.first / nearest.first) - 1) for other in others)
    second = max(abs(float(other.second / nearest.second) - 1) for other in others)
    return BiasCorrections(
        nearest.first, nearest.second, first / (1 - first), second / (1 - second)
    )


def _modelled(
    departure: Departure, problem: Problem, seen: Seen, arithmetic: Arithmetic
) -> Iterator[Modelled]:
    """The oracle's variants of one step; none where the experiment has no such thing."""
    if isinstance(departure, RoundedCorrections):
        return _rounded_corrections(problem, seen, arithmetic)
    return _at_every_step(departure, problem)


def _at_every_step(
    departure: LongerNorm | BiasedRunningVariance, problem: Problem
) -> Iterator[Modelled]:
    """The oracle's variant where it is the same at every step."""
    match departure:
        case LongerNorm(eps):
            return _clipping(problem, eps)
        case BiasedRunningVariance():
            return _biased_variance(problem)
        case _:
            assert_never(departure)


def _clipping(problem: Problem, eps: float) -> Iterator[Modelled]:
    """Clipping by clip_norm / (norm + eps)."""
    clip_norm = problem.experiment.optimizer.clip_norm
    if clip_norm is not None:
        size = (
            f"clipped gradients are off by {eps / (clip_norm + eps):.1e} relative or "
            f"less, for a norm of clip_norm = {clip_norm:g} or more"
        )
        yield Modelled(Variant(clip_eps=eps), size)


def _biased_variance(problem: Problem) -> Iterator[Modelled]:
    """Batch norm whose running variance averages the biased variance of the batches."""
    if has(problem.experiment.model, BatchNorm):
        rows = problem.experiment.data.batch_size
        size = f"what a batch of {rows} rows adds to it is {1 / rows:.1%} smaller"
        yield Modelled(Variant(biased_running_variance=True), size)


def _rounded_corrections(
    problem: Problem, moment: Seen, arithmetic: Arithmetic
) -> Iterator[Modelled]:
    """Adam's bias corrections evaluated in the engine's precision."""
    optimizer = problem.experiment.optimizer
    if isinstance(optimizer, Sgd):
        return
    step = moment.state.step + 1
    for corrections in candidate_corrections(optimizer, step, arithmetic):
        size = _size_of(corrections, optimizer, step, arithmetic)
        yield Modelled(Variant(corrections=corrections), size)


def candidate_corrections(
    optimizer: Adam | AdamW, step: int, arithmetic: Arithmetic
) -> Iterator[BiasCorrections]:
    """1 - beta^step evaluated in the engine's dtype, the likeliest roundings of the power first.

    After the first step the power is beta itself, exact in any arithmetic.
    """
    ulps = 0 if step == 1 else POWER_ULPS
    offsets = sorted(
        ((i, j) for i in range(-ulps, ulps + 1) for j in range(-ulps, ulps + 1)),
        key=lambda pair: abs(pair[0]) + abs(pair[1]),
    )
    firsts, seconds = (
        {n: _low_precision_correction(beta, step, n, arithmetic) for n in range(-ulps, ulps + 1)}
        for beta in optimizer.betas
    )
    for first, second in offsets:
        if firsts[first] > 0 and seconds[second] > 0:
            yield BiasCorrections(firsts[first], seconds[second], 0.0, 0.0)


def _low_precision_correction(beta: float, step: int, ulps: int, arithmetic: Arithmetic) -> Array:
    """fl(1 - power) with the power `ulps` units in the last place from its rounded value."""
    kind = arithmetic.dtype.type
    wide = arithmetic.oracle_dtype.type
    power = kind(wide(kind(beta)) ** step)
    for _ in range(abs(ulps)):
        power = np.nextafter(power, kind(np.inf if ulps > 0 else -np.inf))
    return np.asarray(wide(kind(1) - power))


def _size_of(
    corrections: BiasCorrections, optimizer: Adam | AdamW, step: int, arithmetic: Arithmetic
) -> str:
    wide = arithmetic.oracle_dtype.type
    exact = [wide(1) - wide(beta) ** step for beta in optimizer.betas]
    used = (corrections.first, corrections.second)
    first, second = (float(u / true - 1) for u, true in zip(used, exact, strict=True))
    update_off = abs(float(np.sqrt(1 + second) / (1 + first) - 1))
    return (
        f"at step {step}, 1 - beta2^t is off by {abs(second):.1e} relative, "
        f"1 - beta1^t by {abs(first):.1e}, the update by {update_off:.1e}"
    )
