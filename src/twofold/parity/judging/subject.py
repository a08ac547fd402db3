"""What the rungs judge: a session, and what the oracle says of its problem."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from twofold.engines.registry import Backend
from twofold.engines.session import Session
from twofold.parity.judging.comparison import Comparison
from twofold.parity.judging.verdict import Explanation, Rung, Verdict
from twofold.parity.ladder.reference import Reference

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
