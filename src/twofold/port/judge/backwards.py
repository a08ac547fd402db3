"""Gradients that are the same once a backward written by hand is the derivative of its forward.

Such a backward may have a constant that was rounded, as a person wrote it or as float32 has it: the
function is the same then, its gradients but for a rounding. A backward that is further from the
derivative than roundings of float32 is a real difference, and stays one.
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
LATER: Final = "judged with the same backward as the gradients"


@final
@dataclass(frozen=True)
class Backward:
    """Backwards of one side that are replaced by derivatives; `names` are their functions."""

    forward: Forward
    names: str

    def explained(self, rung: PortRung, written: PortRung | None = None) -> PortRung:
        """A rung that is the same so; `written` is the rung with the backwards as they are."""
        if rung.verdict not in GOOD:
            return rung
        text = LATER
        if written is not None:
            size = max((f.size or 0.0 for f in written.findings if f.verdict in OPEN), default=0.0)
            text = (
                f"the same once the backward of {self.names} is the derivative of its own forward; "
                f"as written {size:.2g} of the largest value apart"
            )
        every = "; ".join(filter(None, [text, rung.explanation]))
        return replace(rung, verdict="explained", explanation=every)


def with_derivatives(
    forward: Forward, rungs: Sequence[PortRung]
) -> tuple[Sequence[PortRung], Backward | None]:
    """The rungs of training, with the gradients explained where only such a backward is apart."""
    found = next((rung for rung in rungs if rung.rung == "gradients"), None)
    earlier = [rung for rung in rungs if rung.rung in ("forward, training", "loss")]
    if found is None or found.verdict not in OPEN or any(r.verdict in OPEN for r in earlier):
        return rungs, None
    apart = [f.size for f in found.findings if f.verdict in OPEN]
    if any(size is None or size > ROUNDINGS * ROUNDING for size in apart):
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
    explained = backward.explained(again, found)
    return [explained if rung is found else rung for rung in rungs], backward
