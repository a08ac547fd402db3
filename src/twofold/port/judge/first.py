"""The first place where a pair parts, with its module, its lines and its cause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from twofold.errors import TwofoldError
from twofold.port.judge.forward_rungs import Forward
from twofold.port.report import Difference, PortRung
from twofold.port.side import Mode
from twofold.port.where.forcing import Forcing
from twofold.port.where.place import Place, loss_place, module_place

FORWARDS = ("forward, evaluation", "forward, training")


def first_difference(forward: Forward, rungs: Sequence[PortRung]) -> Difference | None:
    """The first rung that differs, and where and why it does; None if none differs.

    Nothing here runs for a pair that does not differ.
    """
    rung = next((rung for rung in rungs if rung.verdict == "differs"), None)
    if rung is None:
        return None
    found = _tensor(forward, rung)
    place = None if forward.subject.original.only_steps else _place(forward, rung)
    return found if place is None else _placed(found, place)


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


def _place(forward: Forward, rung: PortRung) -> Place | None:
    """Where the rung parts; None where that cannot be asked."""
    try:
        if rung.rung in FORWARDS:
            mode: Mode = "evaluation" if rung.rung == FORWARDS[0] else "training"
            return module_place(Forcing(forward, mode))
        if rung.rung == "loss":
            return loss_place(Forcing(forward, "training"))
    except TwofoldError:  # the verdict stands without a place
        return None
    return None


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
