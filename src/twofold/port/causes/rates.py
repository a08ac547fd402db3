"""Learning rates measured from steps: every update of one side is a multiple of the other's.

The updates of an optimizer are proportional to its learning rate, whatever else it does. So a step
of the port that is one number times a step with the learning rate 1 has that number as its rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, final

import numpy as np

from twofold.port.causes.hypotheses import Hypothesis
from twofold.port.causes.schedules import told
from twofold.port.causes.sites import OPTIMIZER, Change
from twofold.port.causes.trial import Cause
from twofold.port.judge.forward_rungs import Forward
from twofold.port.side import Array, Call, Want
from twofold.port.twins import SAME, measure

STEPS: Final = 8
"""Steps that are taken to know a schedule."""
TWINS: Final = 2
"""Twins of each step; as many tell what is rounding."""
_WANT: Final[set[Want]] = {"loss", "gradients", "buffers"}


def cause_of_rates(forward: Forward, changed: int) -> Cause | None:
    """The cause, if learning rates alone make the steps differ; None if anything else does.

    `changed` is the side whose optimizer can be run with another rate.
    """
    steps = _Steps(forward, changed)
    rates: tuple[list[float], list[float]] = ([], [])
    worst = 0.0
    for number in range(STEPS):
        found = steps.next(number)
        if found is None:
            if number <= 1:
                return None
            break
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
        sides = subject.original, subject.port
        self._steppers = [[side.stepper() for _ in range(self._twins)] for side in sides]
        self._plain = [sides[changed].stepper() for _ in range(self._twins)]
        self._point: dict[str, Array] = dict(subject.state().items())
        links = subject.links_with(subject.trainable)
        self._names = [n for link in links if link.kind != "merged" for n in link.port]

    def next(self, number: int) -> tuple[tuple[float, float], float] | None:
        """The rates of both sides in a step, and the worst ratio with them; None if none fits."""
        runs: list[list[dict[str, Array]]] = [[], [], []]
        before: list[dict[str, Array]] = []
        after: Mapping[str, Array] = {}
        for twin in range(self._twins):
            calls = self._calls(number, twin)
            before.append(self._kept(1, calls[1].tensors))
            for side in range(2):
                answer = self._steppers[side][twin].step(calls[side])
                runs[side].append(self._kept(side, answer.tensors))
                if side == 0 and twin == 0:
                    after = answer.tensors
            unit = replace(calls[self._changed], changes=(Change(OPTIMIZER, {"every rate": 1.0}),))
            answer = self._plain[twin].step(unit)
            runs[2].append(self._kept(self._changed, answer.tensors))
        self._point = {n: after[n] for n in self._point if n in after}
        rates, worst = [], 0.0
        for moved in runs[:2]:
            rate = _rate(before[0], moved[0], runs[2][0])
            ratio = _ratio(rate, before, moved, runs[2])
            if ratio is None or ratio > SAME:
                return None
            rates.append(rate)
            worst = max(worst, ratio)
        return (rates[0], rates[1]), worst

    def _calls(self, number: int, twin: int) -> tuple[Call, Call]:
        masks = self._forward.masks
        return self._subject.calls(
            "training",
            _WANT,
            twin=twin,
            batch=number,
            point=self._point,
            projections=self._forward.projections,
            masks=(masks, masks),
        )

    def _kept(self, side: int, tensors: Mapping[str, Array]) -> dict[str, Array]:
        """Trained tensors of a side as the port has them."""
        if side == 0:
            given = {n: tensors[n] for n in self._point if n in tensors}
            tensors = self._subject.ported(given)
        return {name: np.asarray(tensors[name]) for name in self._names if name in tensors}


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
