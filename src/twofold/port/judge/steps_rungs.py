"""Optimizer steps, each from the original's state before it, with each side's own optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Final, final

import numpy as np

from twofold.port.judge.findings import finding, not_exercised, rung_of
from twofold.port.judge.forward_rungs import Forward
from twofold.port.judge.question import LOSS, Question
from twofold.port.judge.shelf import IN_MEMORY, Points, Shelf
from twofold.port.report import Finding, PortRung
from twofold.port.side import Array, MasksDoNotFit, StepAnswer, Stepper
from twofold.port.twins import MORE_TWINS, Lazy, generator, measure
from twofold.port.weights import Link

VALUES: Final = "value"
TIED: Final = (
    "one tensor of one side (tied) is several of the other: one is trained by the sum of their "
    "gradients, the others each by its own"
)


@final
class Steps:
    """Steps 1 to n of both optimizers at the point and at its twins."""

    def __init__(self, forward: Forward, steps: int) -> None:
        self._forward = forward
        self._subject = forward.subject
        self._steps = steps
        self._masks = forward.masks

    def rungs(self) -> list[PortRung]:
        """One rung for each step. Raises SideFailed and BadInput."""
        sides = self._subject.original, self._subject.port
        if not all(side.has_optimizer for side in sides):
            return [not_exercised("steps", "no optimizer was given")] if self._steps else []
        try:
            rungs = self._run(self._forward.twins)
        except MasksDoNotFit:
            self._masks = ()
            rungs = self._run(self._forward.twins)
        if any(r.verdict == "undecided" and r.ratio is not None for r in rungs):
            rungs = self._run(self._forward.twins + MORE_TWINS)
        return rungs

    def _run(self, twins: int) -> list[PortRung]:
        """All steps of one optimizer after the other, so that only one keeps its state."""
        room = IN_MEMORY // self._steps
        shelves = [(Shelf(room), Shelf(room)) for _ in range(self._steps)]
        notes: list[dict[str, None]] = [{} for _ in shelves]
        with closing(Points(self._subject.state(), self._steps)) as points, ExitStack() as stack:
            for shelf in chain.from_iterable(shelves):
                stack.callback(shelf.close)
            for place, side in enumerate((self._subject.original, self._subject.port)):
                for twin in range(twins + 1):
                    stepper = side.stepper()
                    for index in range(self._steps):
                        answer = self._step(stepper, place, twin, index, points[index])
                        notes[index] |= dict.fromkeys(answer.notes)
                        shelves[index][place].add(self._kept(place, answer))
                        if place == 0 and twin == 0:
                            points.add(answer.tensors)
            rungs = []
            for index, both in enumerate(shelves):
                with Question.of(self._subject, both) as question:
                    states = points[index], points[index + 1]
                    rungs.append(self._rung(index, question, *states, list(notes[index])))
            return rungs

    def _step(
        self, stepper: Stepper, place: int, twin: int, index: int, point: Mapping[str, Array]
    ) -> StepAnswer:
        calls = self._subject.calls(
            "training",
            {"loss", "gradients", "buffers"},
            twin=twin,
            batch=index,
            point=point,
            projections=self._forward.projections,
            masks=(self._masks, self._masks),
        )
        noise = self._noise(place, twin, index, calls[place].tensors) if twin else {}
        return stepper.step(replace(calls[place], gradient_noise=noise))

    def _noise(
        self, place: int, twin: int, index: int, tensors: Mapping[str, Array]
    ) -> Mapping[str, Array]:
        """A twin's noise of its gradients, which an optimizer may make far larger.

        A gradient that is truly zero is what rounding leaves, which may be the same for all twins
        of a side and another one on the other side. Where it is small beside the optimizer's
        epsilon, a step has it divided by that epsilon. So each twin's gradients are moved by as
        much as the gradients of their tensor were seen to scatter; a gradient of exactly zero, as
        that of a row that is not used, stays.
        """
        makers = {}
        for link in self._subject.links_with(self._subject.trainable):
            floor = max(self._forward.floors.get(name, 0.0) for name in link.original)
            for name in link.port if place else link.original:
                draw = f"gradient {name} in step {index} of twin {twin}"
                makers[name] = partial(_drawn, self._subject.seed, draw, tensors, name, floor)
        return Lazy(makers)

    def _kept(self, place: int, answer: StepAnswer) -> dict[str, Array]:
        links = self._subject.links_with(self._subject.trainable)
        names = {n for link in links for n in (link.port if place else link.original)}
        kept = {f"{VALUES}:{n}": v for n, v in answer.tensors.items() if n in names}
        return {**kept, f"{LOSS}:": answer.loss}

    def _rung(
        self,
        index: int,
        question: Question,
        before: Mapping[str, Array],
        after: Mapping[str, Array],
        notes: list[str],
    ) -> PortRung:
        name = f"step {index + 1}"
        links = self._subject.links_with(self._subject.trainable)
        moved = [
            n for link in links for n in link.original if not np.array_equal(before[n], after[n])
        ]
        findings = [finding(LOSS, LOSS, measure(*question.runs_of(f"{LOSS}:")))]
        for link, tensor, measured in question.tensors(VALUES, links):
            found = finding(tensor, ", ".join(link.port), measured)
            if link.kind == "merged":
                found = _of_merged(found)
            elif link.kind == "tied":
                found = _of_tied(found, link)
            findings.append(self._idle(found))
        rung = rung_of(name, findings, notes=notes)
        if not moved and rung.verdict == "same":
            return not_exercised(name, "no parameter moved; a schedule that starts at 0 may be why")
        return rung

    def _idle(self, found: Finding) -> Finding:
        """A parameter whose true gradient is zero: its steps are made of rounding noise."""
        if found.verdict != "undecided" or found.tensor not in self._forward.idle:
            return found
        text = "its true gradient is zero, and the optimizer makes steps of the rounding noise"
        return replace(found, verdict="not exercised", note=text)


def _drawn(seed: int, draw: str, tensors: Mapping[str, Array], name: str, size: float) -> Array:
    return size * generator(seed, draw).standard_normal(np.shape(tensors[name]))


def _of_merged(found: Finding) -> Finding:
    """Several parameters of one side that are a single one of the other train differently."""
    if found.verdict != "differs":
        return found
    text = (
        "several parameters of one side are a single one of the other: an optimizer moves their "
        "sum once for each"
    )
    return replace(found, verdict="explained", note=text)


def _of_tied(found: Finding, link: Link) -> Finding:
    """One tensor on one side that is several on the other is trained by the sum of gradients."""
    if found.verdict != "differs":
        return found
    return replace(found, tensor=", ".join(link.original), note=TIED)
