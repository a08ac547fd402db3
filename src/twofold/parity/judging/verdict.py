"""What the ladder answers: a verdict for each rung, with the worst element beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from twofold.spec.experiment import Experiment, Precision

SCHEMA: Final = "twofold.parity/1"

Verdict = Literal["certified", "diverges", "explained", "not run"]


@dataclass(frozen=True)
class Worst:
    """The element with the largest ratio |computed - oracle| / bound on a rung."""

    tensor: str
    index: tuple[int, ...]
    computed: float
    oracle: float
    bound: float


@dataclass(frozen=True)
class Explanation:
    """A known difference, modelled in the oracle, that accounts for all of what was seen.

    `ratio_without` is the worst ratio before the difference was modelled, `size` says how large it
    is in words, `source` names the code that makes it.
    """

    cause: str
    source: str
    size: str
    consequence: str
    ratio_without: float


@dataclass(frozen=True)
class Rung:
    """One check of one engine in one precision.

    `worst_ratio` is None for rungs of exact equality that hold, and for rungs that were not run.
    `note` says in a sentence what was checked, why it failed, or why it was not run.
    """

    rung: str
    engine: str
    precision: Precision
    verdict: Verdict
    worst_ratio: float | None
    worst: Worst | None
    note: str
    explanation: Explanation | None = None
    diagnosis: tuple[str, ...] = ()


@dataclass(frozen=True)
class ParityReport:
    """The ladder's answer for one experiment: every rung of every engine in every precision."""

    experiment: Experiment
    environment: dict[str, Any]
    rungs: tuple[Rung, ...]

    @property
    def passed(self) -> bool:
        """Whether there are rungs, and every one is certified or explained."""
        return bool(self.rungs) and all(
            rung.verdict in ("certified", "explained") for rung in self.rungs
        )

    def engine_passed(self, engine: str) -> bool:
        """Whether an engine has rungs here, and every one is certified or explained."""
        own = [rung for rung in self.rungs if rung.engine == engine]
        return bool(own) and all(rung.verdict in ("certified", "explained") for rung in own)

    def to_json(self) -> dict[str, Any]:
        """The report in the schema `twofold.parity/1`."""
        from dataclasses import asdict

        return {
            "schema": SCHEMA,
            "experiment": self.experiment.model_dump(mode="json"),
            "environment": self.environment,
            "passed": self.passed,
            "rungs": [asdict(rung) for rung in self.rungs],
        }
