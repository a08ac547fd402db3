"""A first look at a hypothesis on an optimizer: one element, after one run of the changed side.

A trial takes the steps of both sides at the point and at every twin. Most hypotheses do not bring
the element that is furthest apart nearer at all, which a single run shows: they need no trial.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, final

import numpy as np

from twofold.port.causes.hypotheses import Hypothesis
from twofold.port.judge.forward_rungs import Forward
from twofold.port.judge.shelf import Points
from twofold.port.report import Finding
from twofold.port.side import Array, Call, Want
from twofold.port.twins import DIFFERS, SAME
from twofold.port.weights import Link

NEARER: Final = 4 * SAME / DIFFERS
"""What a cause leaves of the distance at most: from 4,096 to 64, with room for another noise."""
_WANT: Final[set[Want]] = {"loss", "gradients", "buffers"}


@final
class Look:
    """The worst element after some steps, from the original's own states. Close it at the end."""

    def __init__(self, forward: Forward, steps: int, changed: int, worst: Finding | None) -> None:
        self._forward = forward
        self._steps = steps
        self._changed = changed
        self._worst = worst
        self._link = _link(forward, worst)
        self._points = Points(forward.subject.state(), steps)
        if self._link is not None:
            plain = [self._element(side) for side in (0, 1)]
            self._other = plain[1 - changed]
            self._apart = abs(plain[0] - plain[1])

    def fits(self, hypothesis: Hypothesis) -> bool:
        """Whether the hypothesis may be the cause. Raises what a side raises."""
        if self._link is None:
            return True
        own = self._element(self._changed, hypothesis)
        return abs(own - self._other) <= NEARER * self._apart

    def close(self) -> None:
        """Remove the states that were kept."""
        self._points.close()

    def _element(self, place: int, hypothesis: Hypothesis | None = None) -> float:
        """The element after the last step of a side; the plain original makes the states."""
        subject = self._forward.subject
        stepper = (subject.original, subject.port)[place].stepper()
        tensors: Mapping[str, Array] = {}
        for number in range(self._steps):
            call = self._call(place, number)
            answer = stepper.step(call if hypothesis is None else hypothesis.of(call))
            tensors = answer.tensors
            if place == 0 and hypothesis is None:
                self._points.add(tensors)
        return self._picked(place, tensors)

    def _call(self, place: int, number: int) -> Call:
        forward = self._forward
        calls = forward.subject.calls(
            "training",
            _WANT,
            batch=number,
            point=self._points[number],
            projections=forward.projections,
            masks=(forward.masks, forward.masks),
        )
        return calls[place]

    def _picked(self, place: int, tensors: Mapping[str, Array]) -> float:
        """The element in the original's layout."""
        assert self._link is not None
        assert self._worst is not None
        if place == 1:
            given = {name: tensors[name] for name in self._link.port}
            tensors = self._forward.subject.weights.to_original(given)
        return float(np.asarray(tensors[self._worst.tensor])[self._worst.index])


def _link(forward: Forward, worst: Finding | None) -> Link | None:
    """The link of the worst tensor; None where its element is not one of the original's layout."""
    links = forward.subject.weights.links if worst is not None else ()
    for link in links:
        if worst is not None and worst.tensor in link.original:
            return None if link.kind in ("merged", "tied") else link
    return None
