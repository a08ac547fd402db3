"""The first place where a pair parts."""

from __future__ import annotations

from collections.abc import Sequence

from twofold.port.judge.forward_rungs import Forward
from twofold.port.report import Difference, PortRung


def first_difference(forward: Forward, rungs: Sequence[PortRung]) -> Difference | None:
    """The first rung that differs, with its first tensor that does; None if none differs."""
    rung = next((rung for rung in rungs if rung.verdict == "differs"), None)
    if rung is None:
        return None
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


def _module(tensor: str, known: set[str]) -> str:
    """The module that holds a tensor; "" for outputs and the loss, which no module holds."""
    path = tensor.partition(",")[0].rpartition(".")[0]
    return path if path and path in known else ""
