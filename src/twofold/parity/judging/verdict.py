"""What the ladder answers: a verdict for each rung, with the worst element beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from twofold.spec.experiment import Experiment, Precision

SCHEMA: Final = "twofold.parity/1"

Verdict = Literal["certified", "diverges", "explained", "not run", "vacuous", "out of range"]
"""`vacuous`: it holds, and nothing could have failed. `out of range`: the exact results are beyond
what the engine's numbers can hold. `not run`: the engine failed, or too little is known."""

Outcome = Literal["holds", "does not hold", "could not be judged", "out of range", "vacuous"]
EXIT_CODES: Final[dict[Outcome, int]] = {
    "holds": 0,
    "does not hold": 1,
    "could not be judged": 3,
    "out of range": 2,  # the person can mend it, and so with what is vacuous
    "vacuous": 2,
}
MAY_EXCEED: Final = "may exceed the range"
"""In the note of a rung whose exact result is in range, and whose bound is not."""
EVIDENCE: Final = {
    "forward": ("forward",),
    "loss": ("loss",),
    "gradients": ("gradients",),
    "update": ("update (fresh)", "update (warm)", "step-locked training"),
}
"""What a pass rests on, each with the rungs of which one must be certified or explained."""


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
    """A known difference of a framework. With it in the oracle, every element is in its bound.

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

    `worst_ratio` is None for rungs of exact equality that hold, and for rungs that were not judged.
    `note` says in a sentence what was checked, why it failed, or why it was not run. `silent` names
    the tensors of which no element could have shown a wrong factor, `beyond_step` the training
    step, counted from 1, at which the exact results leave the range.
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
    silent: tuple[str, ...] = ()
    beyond_step: int | None = None

    @property
    def passed(self) -> bool:
        """Whether it is evidence that the engine is right."""
        return self.verdict in ("certified", "explained")


@dataclass(frozen=True)
class ParityReport:
    """The ladder's answer for one experiment: every rung of every engine in every precision.

    `not_exercised` has a sentence for each thing that the experiment asks for and that could not
    have shown a fault.
    """

    experiment: Experiment
    environment: dict[str, Any]
    rungs: tuple[Rung, ...]
    not_exercised: tuple[str, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """The answer in a word; what diverges comes first, then what could not be judged."""
        verdicts = {rung.verdict for rung in self.rungs}
        if "diverges" in verdicts:
            return "does not hold"
        if "not run" in verdicts or not self.rungs:
            return "could not be judged"
        if "out of range" in verdicts:
            return "out of range"
        return "vacuous" if self.missing_evidence else "holds"

    @property
    def passed(self) -> bool:
        """Whether every rung that could fail holds, and forward, loss, gradients and update could.

        So for each engine in each precision.
        """
        return self.outcome == "holds"

    @property
    def missing_evidence(self) -> tuple[str, ...]:
        """A sentence for each of `EVIDENCE` that an engine in a precision has not shown."""
        groups: dict[str, list[Rung]] = {}
        for rung in self.rungs:
            groups.setdefault(f"{rung.engine} {rung.precision}", []).append(rung)
        missing: dict[str, list[str]] = {}
        for subject, own in groups.items():
            for what, names in EVIDENCE.items():
                if not any(rung.passed for rung in own if rung.rung in names):
                    words = f"no evidence for {what}: {_why_none(own, names)}"
                    missing.setdefault(words, []).append(subject)
        return tuple(f"{words} ({', '.join(where)})" for words, where in missing.items())

    def of_engine(self, engine: str, precision: Precision | None = None) -> ParityReport:
        """The part of the report about one engine, and one precision if that is given."""
        rungs = tuple(
            rung
            for rung in self.rungs
            if rung.engine == engine and precision in (None, rung.precision)
        )
        return ParityReport(self.experiment, self.environment, rungs, self.not_exercised)

    def engine_passed(self, engine: str) -> bool:
        """Whether `passed` holds of an engine's own rungs."""
        return self.of_engine(engine).passed

    def to_json(self) -> dict[str, Any]:
        """The report in the schema `twofold.parity/1`."""
        from dataclasses import asdict

        return {
            "schema": SCHEMA,
            "experiment": self.experiment.model_dump(mode="json"),
            "environment": self.environment,
            "passed": self.passed,
            "outcome": self.outcome,
            "conclusion": conclusion(self),
            "missing_evidence": list(self.missing_evidence),
            "not_exercised": list(self.not_exercised),
            "rungs": [asdict(rung) for rung in self.rungs],
        }


def without_evidence(rungs: Sequence[Rung]) -> tuple[str, ...]:
    """A sentence for each tensor group of `EVIDENCE` in which no wrong factor could have shown."""
    values = (*EVIDENCE["forward"], *EVIDENCE["loss"], *EVIDENCE["gradients"])
    changes = EVIDENCE["update"][:2]
    said = (
        f"{rung.precision}, {rung.rung}: {what} would pass in {', '.join(rung.silent)}"
        for rung in rungs
        for names, what in (
            (values, "zero or twice the value"),
            (changes, "no change or twice the change"),
        )
        if rung.passed and rung.silent and rung.rung in names
    )
    return tuple(dict.fromkeys(said))


def _why_none(rungs: Sequence[Rung], names: tuple[str, ...]) -> str:
    """What is said of the rungs that would be the evidence."""
    own = [rung for rung in rungs if rung.rung in names]
    if not own:
        return f"{' and '.join(names)} not judged"
    return " and ".join(dict.fromkeys(rung.note.partition("; ")[0] for rung in own))


def conclusion(report: ParityReport) -> str:
    """The report's outcome as a sentence, with what to change where that helps."""
    if report.outcome == "out of range":
        return _beyond_the_range(report)
    if report.outcome == "vacuous":
        return (
            "parity was not shown, for nothing could have failed: "
            f"{'; '.join(report.missing_evidence)}; choose data, a learning rate or a precision "
            "with which these are more than rounding"
        )
    return f"parity {report.outcome}"


def _beyond_the_range(report: ParityReport) -> str:
    """At which step a training leaves the range, what holds before, and what to change."""
    beyond = [rung for rung in report.rungs if rung.verdict == "out of range"]
    firsts: dict[str, int] = {}
    for rung in beyond:
        if rung.beyond_step is not None:
            step = firsts.get(rung.precision, rung.beyond_step)
            firsts[rung.precision] = min(rung.beyond_step, step)
    places = [f"of {precision} at step {step}" for precision, step in firsts.items()]
    places = places or [f"of {name}" for name in dict.fromkeys(rung.precision for rung in beyond)]
    leaves = "may leave" if all(MAY_EXCEED in rung.note for rung in beyond) else "leaves"
    said = f"the training itself {leaves} the range {' and '.join(places)}"
    held = "parity holds up to there"
    if report.missing_evidence:
        held = f"too early to judge parity: {'; '.join(report.missing_evidence)}"
    return f"{said}; {held}; {range_advice(report.experiment)}"


def range_advice(experiment: Experiment) -> str:
    """What to change where a training leaves the range of its numbers."""
    ways = [f"lower optimizer.learning_rate ({experiment.optimizer.learning_rate:g} now)"]
    if not experiment.data.standardize:
        ways.append("set data.standardize = true")
    if experiment.optimizer.clip_norm is None:
        ways.append("set optimizer.clip_norm")
    return f"{', '.join(ways[:-1])} or {ways[-1]}" if len(ways) > 1 else ways[0]


def report_from_json(value: Mapping[str, Any]) -> ParityReport:
    """The report whose `to_json` this is; numbers that are not finite must be numbers still."""
    return ParityReport(
        Experiment.model_validate_json(json.dumps(value["experiment"])),
        dict(value["environment"]),
        tuple(_rung_from_json(entry) for entry in value["rungs"]),
        tuple(value["not_exercised"]),
    )


def _rung_from_json(entry: Mapping[str, Any]) -> Rung:
    worst, explanation = entry["worst"], entry["explanation"]
    parts = {
        "worst": worst and Worst(**{**worst, "index": tuple(worst["index"])}),
        "explanation": explanation and Explanation(**explanation),
        "diagnosis": tuple(entry["diagnosis"]),
        "silent": tuple(entry["silent"]),
    }
    return Rung(**{**entry, **parts})
