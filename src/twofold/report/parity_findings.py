"""Are the engines computing the same thing? Counts, explanations and divergences."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from twofold.report.evidence import Result, experiment_name


@dataclass(frozen=True)
class Tally:
    """How many rungs got each verdict."""

    certified: int = 0
    explained: int = 0
    diverging: int = 0
    not_run: int = 0
    out_of_range: int = 0
    vacuous: int = 0

    @property
    def total(self) -> int:
        """All rungs."""
        return sum(
            (
                self.certified,
                self.explained,
                self.diverging,
                self.not_run,
                self.out_of_range,
                self.vacuous,
            )
        )


@dataclass(frozen=True)
class RungFinding:
    """One rung of one engine, flat; ratios are |computed - oracle| / bound."""

    experiment: str
    engine: str
    precision: str
    rung: str
    verdict: str
    worst_ratio: float | None
    ratio_without: float | None
    where: str
    note: str
    diagnosis: tuple[str, ...]

    @property
    def details(self) -> str:
        """Where it is worst, what was noted, which traps match."""
        return "; ".join(text for text in (self.where, self.note, *self.diagnosis) if text)


@dataclass(frozen=True)
class ExplainedDifference:
    """A difference with one cause, and every rung that it accounts for."""

    cause: str
    source: str
    consequence: str
    sizes: tuple[str, ...]
    engines: tuple[str, ...]
    rungs: tuple[str, ...]
    experiments: tuple[str, ...]
    precisions: tuple[str, ...]
    largest_ratio_without: float
    largest_ratio_with: float


@dataclass(frozen=True)
class Said:
    """A sentence about an experiment."""

    experiment: str
    words: str


@dataclass(frozen=True)
class ParityFindings:
    """What the ladder says about all experiments together.

    `open` has the conclusion of each experiment whose training leaves the range of its numbers, or
    on which nothing could have failed; `not_exercised` what each could not have shown.
    """

    experiments: tuple[str, ...]
    engines: tuple[str, ...]
    precisions: tuple[str, ...]
    total: Tally
    cells: dict[tuple[str, str], Tally]
    rungs: tuple[RungFinding, ...]
    explained: tuple[ExplainedDifference, ...]
    holds: bool = False
    open: tuple[Said, ...] = ()
    not_exercised: tuple[Said, ...] = ()

    def cell(self, engine: str, experiment: str) -> Tally:
        """The tally of one engine on one experiment."""
        return self.cells.get((engine, experiment), Tally())

    def with_verdict(self, verdict: str) -> tuple[RungFinding, ...]:
        """The rungs with a verdict."""
        return tuple(rung for rung in self.rungs if rung.verdict == verdict)

    @property
    def tightest(self) -> RungFinding | None:
        """The certified rung that came closest to its bound."""
        own = [rung for rung in self.with_verdict("certified") if rung.worst_ratio is not None]
        return max(own, key=lambda rung: rung.worst_ratio or 0.0, default=None)


def find_parity(results: tuple[Result, ...]) -> ParityFindings | None:
    """The findings of parity results; None when there are none."""
    if not results:
        return None
    rungs = tuple(_rung(result, rung) for result in results for rung in result["rungs"])
    experiments = unique(experiment_name(result) for result in results)
    engines = unique(rung.engine for rung in rungs)
    cells = {
        (engine, experiment): tally(
            rung for rung in rungs if (rung.engine, rung.experiment) == (engine, experiment)
        )
        for engine in engines
        for experiment in experiments
    }
    return ParityFindings(
        experiments=experiments,
        engines=engines,
        precisions=unique(rung.precision for rung in rungs),
        total=tally(rungs),
        cells=cells,
        rungs=rungs,
        explained=_explanations(results),
        holds=all(result["passed"] for result in results),
        open=tuple(
            Said(experiment_name(result), result["conclusion"])
            for result in results
            if result.get("outcome") in ("out of range", "vacuous")
        ),
        not_exercised=tuple(
            Said(experiment_name(result), words)
            for result in results
            for words in result.get("not_exercised", ())  # results of old have none
        ),
    )


def tally(rungs: Iterable[RungFinding]) -> Tally:
    """Count verdicts."""
    verdicts = [rung.verdict for rung in rungs]
    return Tally(
        certified=verdicts.count("certified"),
        explained=verdicts.count("explained"),
        diverging=verdicts.count("diverges"),
        not_run=verdicts.count("not run"),
        out_of_range=verdicts.count("out of range"),
        vacuous=verdicts.count("vacuous"),
    )


def unique(items: Iterable[str]) -> tuple[str, ...]:
    """The items without repetition, in the order of their first appearance."""
    return tuple(dict.fromkeys(items))


def _largest(ratios: Iterable[float | None]) -> float:
    """The largest stored ratio; null stands for one that is not finite."""
    return max(math.inf if ratio is None else ratio for ratio in ratios)


def _rung(result: Result, rung: Result) -> RungFinding:
    explanation = rung.get("explanation")
    return RungFinding(
        experiment=experiment_name(result),
        engine=rung["engine"],
        precision=rung["precision"],
        rung=rung["rung"],
        verdict=rung["verdict"],
        worst_ratio=rung["worst_ratio"],
        ratio_without=explanation["ratio_without"] if explanation else None,
        where=_where(rung["worst"]),
        note=rung.get("note", ""),
        diagnosis=tuple(rung.get("diagnosis", ())),
    )


def _where(worst: Result | None) -> str:
    if worst is None:
        return ""
    index = ", ".join(str(i) for i in worst["index"])
    place = f"{worst['tensor']}[{index}]" if index else str(worst["tensor"])
    computed = "not finite" if worst["computed"] is None else worst["computed"]
    return f"{place}: computed {computed}, oracle {worst['oracle']}, bound {worst['bound']}"


def _explanations(results: tuple[Result, ...]) -> tuple[ExplainedDifference, ...]:
    groups: dict[tuple[str, str, str], list[tuple[str, Result]]] = {}
    for result in results:
        for rung in result["rungs"]:
            explanation = rung.get("explanation")
            if explanation:
                key = (explanation["cause"], explanation["source"], explanation["consequence"])
                groups.setdefault(key, []).append((experiment_name(result), rung))
    return tuple(_difference(key, members) for key, members in groups.items())


def _difference(
    key: tuple[str, str, str], members: list[tuple[str, Result]]
) -> ExplainedDifference:
    cause, source, consequence = key
    rungs = [rung for _, rung in members]
    return ExplainedDifference(
        cause=cause,
        source=source,
        consequence=consequence,
        sizes=unique(rung["explanation"]["size"] for rung in rungs),
        engines=unique(rung["engine"] for rung in rungs),
        rungs=unique(rung["rung"] for rung in rungs),
        experiments=unique(name for name, _ in members),
        precisions=unique(rung["precision"] for rung in rungs),
        largest_ratio_without=_largest(rung["explanation"]["ratio_without"] for rung in rungs),
        largest_ratio_with=_largest(rung["worst_ratio"] for rung in rungs),
    )


def is_finite(value: float | None) -> bool:
    """Whether there is a value and it can be drawn."""
    return value is not None and math.isfinite(value)
