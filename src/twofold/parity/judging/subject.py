"""What the rungs judge: a session, and what the oracle says of its problem."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from twofold.backends.description import Backend
from twofold.engines.session import Session
from twofold.parity.judging.comparison import Comparison
from twofold.parity.judging.verdict import Explanation, Rung, Verdict
from twofold.parity.ladder.reference import Reference
from twofold.spec.experiment import Precision

DEFAULT_STEPS: Final = 20
LadderName = Literal["whole", "engine alone", "one step"]
"""`engine alone`: without export and import, which opens a session in the other framework. `one
step`: forward, loss, gradients and one update, by the engine's own loop."""
FLOAT64_SHARE: Final = 4


def steps_in(precision: Precision, steps: int) -> int:
    """Steps of step-locked training in a precision, of those asked for in float32."""
    return -(-steps // FLOAT64_SHARE) if precision == "float64" else steps


@dataclass(frozen=True)
class Subject:
    """A session under judgement and what the oracle says of its problem.

    `steps` is the number of steps of step-locked training.
    """

    session: Session
    backend: Backend
    reference: Reference
    steps: int = DEFAULT_STEPS

    def rung(
        self, name: str, comparison: Comparison, explanation: Explanation | None = None
    ) -> Rung:
        """The verdict that follows from a comparison."""
        verdict: Verdict = "diverges"
        note = comparison.note
        if comparison.unusable is not None:
            verdict, note = "not run", comparison.unusable
            if comparison.leaves_range:
                verdict = "out of range"
        elif comparison.vacuous and not explanation:
            verdict, note = "vacuous", f"{comparison.silence}; {note}"
        elif comparison.within:
            verdict = "explained" if explanation else "certified"
            if comparison.silent:
                note += f"; no evidence in {len(comparison.silent)} of the tensors"
        exact = comparison.worst is None and comparison.worst_ratio == 0
        judged = comparison.unusable is None
        return Rung(
            rung=name,
            engine=self.session.engine,
            precision=self.reference.problem.experiment.precision,
            verdict=verdict,
            worst_ratio=comparison.worst_ratio if judged and not exact else None,
            worst=comparison.worst,
            note=note,
            explanation=explanation,
            silent=comparison.silent if judged else (),
            beyond_step=comparison.beyond_step,
        )
