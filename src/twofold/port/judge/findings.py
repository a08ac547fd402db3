"""From measured tensors to verdicts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from twofold.port.report import Finding, PortRung, Verdict, worst_of
from twofold.port.twins import DIFFERS, SAME, Measured

MANY: Final = 0.5
"""Share of elements that jump, from which on a tensor is ill-conditioned."""


def verdict_of(measured: Measured) -> Verdict:
    """The verdict on one tensor. Not a number is never the same."""
    if measured.reason.startswith("shape"):
        return "differs"
    if measured.reason in ("empty", "zero on both sides"):
        return "not exercised"
    if measured.ratio is None:
        return "undecided"
    if measured.ratio >= DIFFERS:
        return "differs"
    if measured.ratio > SAME or measured.jumping >= MANY:
        return "undecided"
    return "same"


def finding(tensor: str, port: str, measured: Measured) -> Finding:
    """A measured tensor with its verdict and a word on what is special about it."""
    note = measured.reason
    if not note and measured.jumping >= MANY:
        note = (
            "ill-conditioned: moving every number by an ulp moves "
            f"{measured.jumping:.0%} of its elements by far more than rounding does"
        )
    elif not note and measured.jumping:
        note = f"{measured.jumping:.2%} of its elements jump when every number moves by an ulp"
    known = measured.ratio is not None
    return Finding(
        tensor=tensor,
        port=port,
        verdict=verdict_of(measured),
        ratio=measured.ratio,
        index=measured.index,
        original_value=measured.original if known else None,
        port_value=measured.port if known else None,
        noise=measured.scale if known else None,
        size=measured.size if known else None,
        note=note,
    )


def rung_of(
    rung: str, findings: Iterable[Finding], *, side: str = "pair", notes: Iterable[str] = ()
) -> PortRung:
    """A rung with the verdict of its worst tensor; without tensors nothing was exercised."""
    every = tuple(findings)
    worst = worst_of(every)
    if worst is None:
        return not_exercised(rung, *notes, side=side)
    special = [
        f"{f.tensor}: {f.note}"
        for f in every
        if f.note and f is not worst and f.verdict != "explained"
    ][:3]
    told = [worst.note] if worst.note and worst.verdict == "same" else []
    return PortRung(
        rung=rung,
        side=side,
        verdict=worst.verdict,
        tensor=worst.tensor,
        ratio=worst.ratio,
        note="; ".join(dict.fromkeys([*notes, *told, *special])),
        findings=every,
    )


def not_exercised(rung: str, *notes: str, side: str = "pair") -> PortRung:
    """A rung of which nothing could have failed."""
    return PortRung(rung=rung, side=side, verdict="not exercised", note="; ".join(notes))
