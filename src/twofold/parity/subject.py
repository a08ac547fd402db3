"""What the rungs judge: a session, and what the oracle says of its problem."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from twofold.backends import Backend
from twofold.parity.comparison import Comparison
from twofold.parity.reference import Reference
from twofold.parity.verdict import Explanation, Rung, Verdict
from twofold.session import Session

DEFAULT_STEPS: Final = 20


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
        elif comparison.within:
            verdict = "explained" if explanation else "certified"
        exact = comparison.worst is None and comparison.worst_ratio == 0
        return Rung(
            rung=name,
            engine=self.session.engine,
            precision=self.reference.problem.experiment.precision,
            verdict=verdict,
            worst_ratio=None if exact or verdict == "not run" else comparison.worst_ratio,
            worst=comparison.worst,
            note=note,
            explanation=explanation,
        )
