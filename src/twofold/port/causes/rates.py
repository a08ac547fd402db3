"""Learning rates measured from steps: every update of one side is a multiple of the other's.

The updates of an optimizer are proportional to its learning rate, whatever else it does. So a step
of the port that is one number times a step with the learning rate 1 has that number as its rate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Final, TypeAlias, final

import numpy as np

from twofold.port.causes.hypotheses import Hypothesis
from twofold.port.causes.schedules import told
from twofold.port.causes.sites import OPTIMIZER, Change
from twofold.port.causes.trial import Cause
from twofold.port.judge.forward_rungs import Forward
from twofold.port.judge.shelf import Points
from twofold.port.side import Array, Call, Want
from twofold.port.twins import SAME, measure

STEPS: Final = 8
"""Steps that are taken to know a schedule."""
SOON: Final = 2
"""Steps after which most pairs that differ in more than rates are known."""
MOST: Final = 65_536
"""Elements of a tensor that are compared; of a larger one it is every n-th."""
TWINS: Final = 2
"""Twins of each step; as many tell what is rounding."""
UNIT: Final = 2
BEFORE: Final = 3
"""Places of the runs with the learning rate 1, and of the states before; 0 and 1 are the sides."""
_Found: TypeAlias = tuple[tuple[float, float], float]
_WANT: Final[set[Want]] = {"loss", "gradients", "buffers"}


def cause_of_rates(forward: Forward, changed: int) -> Cause | None:
    """The cause, if learning rates alone make the steps differ; None if anything else does.

    `changed` is the side whose optimizer can be run with another rate.
    """
    first = _Steps(forward, changed).taken(SOON)
    if len(first) < SOON:
        return None
    rates: tuple[list[float], list[float]] = ([], [])
    worst = 0.0
    for found in _Steps(forward, changed).taken(STEPS):
        for own, rate in zip(rates, found[0], strict=True):
            own.append(rate)
        worst = max(worst, found[1])
    if np.allclose(*rates, rtol=1e-12, atol=0.0):
        return None
    said = told(*rates)
    hypothesis = Hypothesis(said.kind, said.what, said.original, said.port, said.trap)
    return Cause(hypothesis, worst, 0)


@final
class _Steps:
    """Steps of both sides, and of the changed side with the learning rate 1."""

    def __init__(self, forward: Forward, changed: int) -> None:
        self._forward = forward
        self._changed = changed
        self._twins = min(forward.twins, TWINS) + 1
        subject = self._subject = forward.subject
        links = subject.links_with(subject.trainable)
        self._names = [n for link in links if link.kind != "merged" for n in link.port]

    def taken(self, count: int) -> list[_Found]:
        """The rates of both sides in each step, and the worst ratio, up to where none fits.

        All steps of one optimizer come after the other, so that only one keeps its state.
        """
        subject, changed = self._subject, self._changed
        sides = subject.original, subject.port
        runs: list[list[list[dict[str, Array]]]] = [[[], [], [], []] for _ in range(count)]
        with closing(Points(subject.state(), count)) as points:
            for place, side in enumerate((*sides, sides[changed])):
                for twin in range(self._twins):
                    stepper = side.stepper()
                    for number in range(count):
                        calls = self._calls(number, twin, points[number])
                        call = calls[place] if place < UNIT else _at_one(calls[changed])
                        answer = stepper.step(call)
                        kept = self._kept(place if place < UNIT else changed, answer.tensors)
                        runs[number][place].append(kept)
                        if place == 0 and twin == 0:
                            points.add(answer.tensors)
                        if place == 1:
                            runs[number][BEFORE].append(self._kept(1, calls[1].tensors))
        return list(_while_found(map(_step, runs)))

    def _calls(self, number: int, twin: int, point: Mapping[str, Array]) -> tuple[Call, Call]:
        masks = self._forward.masks
        return self._subject.calls(
            "training",
            _WANT,
            twin=twin,
            batch=number,
            point=point,
            projections=self._forward.projections,
            masks=(masks, masks),
        )

    def _kept(self, side: int, tensors: Mapping[str, Array]) -> dict[str, Array]:
        """Elements of trained tensors of a side as the port has them."""
        if side == 0:
            given = {n: tensors[n] for n in self._subject.state() if n in tensors}
            tensors = self._subject.ported(given)
        return {name: _some(tensors[name]) for name in self._names if name in tensors}


def _some(value: Array) -> Array:
    """All elements, or every n-th of many, in an array of their own."""
    flat = np.asarray(value).reshape(-1)
    return np.array(flat[:: -(-flat.size // MOST) or 1])


def _at_one(call: Call) -> Call:
    """The call of a step with the learning rate 1."""
    return replace(call, changes=(Change(OPTIMIZER, {"every rate": 1.0}),))


def _while_found(found: Iterable[_Found | None]) -> Iterator[_Found]:
    for each in found:
        if each is None:
            return
        yield each


def _step(runs: list[list[dict[str, Array]]]) -> _Found | None:
    """The rates of both sides in one step, and the worst ratio with them; None if none fits."""
    before, unit = runs[BEFORE], runs[UNIT]
    rates, worst = [], 0.0
    for moved in runs[:UNIT]:
        rate = _rate(before[0], moved[0], unit[0])
        ratio = _ratio(rate, before, moved, unit)
        if ratio is None or ratio > SAME:
            return None
        rates.append(rate)
        worst = max(worst, ratio)
    return (rates[0], rates[1]), worst


def _rate(
    before: Mapping[str, Array], moved: Mapping[str, Array], unit: Mapping[str, Array]
) -> float:
    """The factor between two updates, by least squares."""
    steps = [(unit[n] - before[n], moved[n] - before[n]) for n in before]
    bottom = sum(float((one * one).sum()) for one, _ in steps)
    return sum(float((one * two).sum()) for one, two in steps) / bottom if bottom else 0.0


def _ratio(
    rate: float,
    before: list[dict[str, Array]],
    moved: list[dict[str, Array]],
    unit: list[dict[str, Array]],
) -> float | None:
    """How far the side's steps are from steps with this rate, in units of rounding noise."""
    worst = 0.0
    for name in before[0]:
        expected = [
            old[name] + rate * (new[name] - old[name])
            for old, new in zip(before, unit, strict=True)
        ]
        measured = measure(expected, [run[name] for run in moved])
        if measured.ratio is None:
            return None
        worst = max(worst, measured.ratio)
    return worst
