"""Gradients that are the same once a backward written by hand is the derivative of its forward.

Such a backward may have a constant that was rounded, as a person wrote it or as float32 has it: the
function is the same then, its gradients but for a rounding. Where gradients are further apart than
16 roundings of float32, beside the largest of their tensor, it is a real difference and stays one.
So it is with steps, for an optimizer may make much of a small gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, final

from twofold.errors import TwofoldError
from twofold.port.causes.of_pair import like, written_out
from twofold.port.judge.constants import ROUNDING, ROUNDINGS
from twofold.port.judge.forward_rungs import Forward
from twofold.port.report import PortRung

OPEN: Final = ("differs", "undecided")
GOOD: Final = ("same", "explained")


@final
@dataclass(frozen=True)
class Backward:
    """Backwards of one side that are replaced by derivatives; `names` are their functions."""

    forward: Forward
    names: str

    def explained(self, written: PortRung, rung: PortRung) -> PortRung:
        """A rung as written, explained where `rung`, with the derivatives, is the same."""
        apart = [found.size for found in written.findings if found.verdict in OPEN]
        if written.verdict not in OPEN or rung.verdict not in GOOD or not small(apart):
            return written
        text = (
            f"the same once the backward of {self.names} is the derivative of its own forward; as "
            f"written {max(size or 0.0 for size in apart):.2g} of the largest value apart"
        )
        every = "; ".join(filter(None, [text, rung.explanation]))
        return replace(rung, verdict="explained", explanation=every)


def small(sizes: Sequence[float | None]) -> bool:
    """Whether there are differences, and all are within roundings of float32."""
    known = [size for size in sizes if size is not None]
    return bool(sizes) and len(known) == len(sizes) and max(known) <= ROUNDINGS * ROUNDING


def with_derivatives(
    forward: Forward, rungs: Sequence[PortRung]
) -> tuple[Sequence[PortRung], Backward | None]:
    """The rungs of training, with the gradients explained where only such a backward is apart."""
    found = next((rung for rung in rungs if rung.rung == "gradients"), None)
    earlier = [rung for rung in rungs if rung.rung in ("forward, training", "loss")]
    if found is None or found.verdict not in OPEN or any(r.verdict in OPEN for r in earlier):
        return rungs, None
    if not small([f.size for f in found.findings if f.verdict in OPEN]):
        return rungs, None
    try:
        cause = written_out(forward)
        if cause is None:
            return rungs, None
        other = like(forward, cause.hypothesis, cause.changed)
        again = next(rung for rung in other.training() if rung.rung == "gradients")
    except TwofoldError:  # what cannot be run another way stays as it was judged
        return rungs, None
    side = ("original", "port")[cause.changed]
    what = cause.hypothesis.what.removeprefix("the backward of ")
    backward = Backward(other, f"{what} of the {side}")
    explained = backward.explained(found, again)
    return [explained if rung is found else rung for rung in rungs], backward
