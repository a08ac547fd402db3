"""The first place where a pair parts, with its module, its lines and its cause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from twofold.errors import TwofoldError
from twofold.port.causes.of_module import cause_of_module
from twofold.port.causes.of_pair import (
    cause_of_buffer,
    cause_of_gradients,
    cause_of_left_over,
    cause_of_loss,
    cause_of_step,
)
from twofold.port.causes.trial import Cause
from twofold.port.judge.forward_rungs import Forward
from twofold.port.judge.steps_rungs import TIED
from twofold.port.judge.weights_rungs import ALONE
from twofold.port.report import Difference, PortRung
from twofold.port.side import Mode
from twofold.port.where.forcing import Forcing
from twofold.port.where.place import Place, loss_place, module_place

NO_CAUSE: Final = "no known cause"
LONE: Final = (
    "give the other side a parameter for it, or say which is its partner: "
    "Pair(..., weights={original: port})"
)
FORWARDS: Final = ("forward, evaluation", "forward, training")


def first_difference(forward: Forward, rungs: Sequence[PortRung]) -> Difference | None:
    """The first rung that differs, and where and why it does; None if none differs.

    Nothing here runs for a pair that does not differ.
    """
    rung = next((rung for rung in rungs if rung.verdict == "differs"), None)
    if rung is None:
        return None
    found = _tensor(forward, rung)
    try:
        return _explained(forward, rung, found)
    except TwofoldError as error:  # the verdict stands without a place and a cause
        return replace(found, evidence=f"the place and the cause could not be looked for: {error}")


def _explained(forward: Forward, rung: PortRung, found: Difference) -> Difference:
    """With the place where the rung parts, and the cause. Raises what a side raises."""
    if rung.rung in FORWARDS:
        mode: Mode = "evaluation" if rung.rung == FORWARDS[0] else "training"
        forcing = Forcing(forward, mode)
        place = module_place(forcing)
        if place is None or place.local is None:
            return found
        return _with_cause(_placed(found, place), cause_of_module(forcing, place, place.local))
    if rung.rung == "loss":
        place = loss_place(Forcing(forward, "training"))
        return _with_cause(_placed(found, place), cause_of_loss(forward, place.constants))
    if rung.rung == "weights":
        cause = None if forward.subject.original.only_steps else cause_of_left_over(forward)
        if cause is not None:
            return _with_cause(found, cause)
        return replace(found, remedy=LONE if found.cause.endswith(ALONE) else "")
    if rung.rung == "gradients":
        return _with_cause(found, cause_of_gradients(forward))
    if rung.rung == "buffers":
        worst = next(f for f in rung.findings if f.verdict == "differs")
        return _with_cause(found, cause_of_buffer(forward, worst))
    if rung.rung.startswith("step "):
        if found.cause == TIED:
            return _untied(found)
        number = int(rung.rung.removeprefix("step "))
        worst = next(f for f in rung.findings if f.verdict == "differs")
        return _with_cause(found, cause_of_step(forward, number, worst))
    return found


def _untied(found: Difference) -> Difference:
    """Copies of one weight that parted in a step: what was measured is the cause itself."""
    return replace(
        found,
        cause=f"tied weights: {found.tensor} is one in the original, several in the port",
        remedy=f"use one tensor for {found.port_tensor} in the port",
        evidence=f"equal before the step and not after it: {found.cause}",
        kind="tied weights",
        trap="tied-weights-untie",
    )


def _with_cause(found: Difference, cause: Cause | None) -> Difference:
    if cause is None:
        return replace(found, cause=found.cause or NO_CAUSE)
    line = cause.hypothesis.line
    lines = (line, found.port_line) if cause.changed == 0 else (found.line, line)
    return replace(
        found,
        line=lines[0] or found.line,
        port_line=lines[1] or found.port_line,
        cause=cause.text,
        remedy=cause.remedy,
        evidence=cause.evidence,
        kind=cause.hypothesis.kind,
        trap=cause.hypothesis.trap,
    )


def _tensor(forward: Forward, rung: PortRung) -> Difference:
    """The first tensor that differs, and the module that holds it."""
    worst = next(f for f in rung.findings if f.verdict == "differs")
    modules = [
        {m.name for m in s.modules()} for s in (forward.subject.original, forward.subject.port)
    ]
    return Difference(
        rung=rung.rung,
        tensor=worst.tensor,
        port_tensor=worst.port,
        module=_module(worst.tensor, modules[0]),
        port_module=_module(worst.port, modules[1]),
        size=worst.size,
        ratio=worst.ratio,
        cause=worst.note,
    )


def _placed(difference: Difference, place: Place) -> Difference:
    lines = replace(difference, line=place.line, port_line=place.port_line, also=place.also)
    if place.local is None:
        return lines
    return replace(
        lines,
        module=place.module,
        port_module=place.port_module,
        size=place.local.measured.size,
        ratio=place.local.measured.ratio,
    )


def _module(tensor: str, known: set[str]) -> str:
    """The module that holds a tensor; "" for outputs and the loss, which no module holds."""
    path = tensor.partition(",")[0].rpartition(".")[0]
    return path if path and path in known else ""
