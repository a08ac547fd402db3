"""`assert_parity`: the ladder as one line of a person's own test."""

from __future__ import annotations

from collections.abc import Sequence

from twofold.engines import registry
from twofold.engines.session import Session
from twofold.errors import ParityDiverges, SpecError
from twofold.parity.certify import certify, climb, climb_subject
from twofold.parity.judging.subject import DEFAULT_STEPS, Subject
from twofold.parity.judging.verdict import ParityReport, Rung
from twofold.parity.ladder.reference import build_reference
from twofold.parity.ladder.rungs import LADDER
from twofold.problem.problem import Problem
from twofold.spec.experiment import Experiment, Precision


class ParityAssertion(ParityDiverges, AssertionError):
    """What `assert_parity` raises; its message is the complete story of every failing rung."""


def assert_parity(
    subject: Experiment | Problem | Session,
    *,
    engines: Sequence[str] | None = None,
    precisions: Sequence[Precision] | None = None,
    steps: int = DEFAULT_STEPS,
) -> ParityReport:
    """Raise unless every rung of the ladder is certified or explained; returns the report.

    `subject` is an experiment, a problem (an experiment with its arrays, in its own precision), or
    an open session, which is judged as it is: its state is changed and put back. `engines` and
    `precisions` are as in `twofold.certify`, and not allowed with a session.

    Raises ParityDiverges, an AssertionError too, and BadInput as `certify` does.
    """
    if isinstance(subject, Session):
        report = _of_session(subject, engines, precisions, steps)
    elif isinstance(subject, Problem):
        report = _of_problem(subject, engines, precisions, steps)
    else:
        report = certify(subject, engines=engines, precisions=precisions, steps=steps)
    if not report.passed:
        raise ParityAssertion(story(report))
    return report


def _of_problem(
    problem: Problem,
    engines: Sequence[str] | None,
    precisions: Sequence[Precision] | None,
    steps: int,
) -> ParityReport:
    own = problem.experiment.precision
    if precisions is not None and tuple(precisions) != (own,):
        raise SpecError(
            f"precisions: {', '.join(precisions)} given; a problem has arrays of one precision, "
            f"so allowed is {own}; give the experiment to have both"
        )
    reference = build_reference(problem)
    names = engines if engines is not None else registry.engine_names()
    rungs = [rung for name in names for rung in climb(name, reference, steps=steps)]
    return ParityReport(problem.experiment, {}, tuple(rungs))


def _of_session(
    session: Session,
    engines: Sequence[str] | None,
    precisions: Sequence[Precision] | None,
    steps: int,
) -> ParityReport:
    """Every rung but `init`, which asks for a session that has not trained yet."""
    if engines is not None or precisions is not None:
        raise SpecError("engines, precisions: given with a session, which has its own; leave out")
    owner, _ = registry.find_engine(session.engine)
    judged = Subject(session, owner, build_reference(session.problem), steps)
    before = session.state()
    try:
        rungs = climb_subject(judged, tuple(entry for entry in LADDER if entry[0] != "init"))
    finally:
        session.load_state(before)
    return ParityReport(session.problem.experiment, {}, tuple(rungs))


def story(report: ParityReport) -> str:
    """Every rung that does not pass, in full."""
    failed = [rung for rung in report.rungs if rung.verdict not in ("certified", "explained")]
    head = f"{report.experiment.name}: parity does not hold: {len(failed)} of {len(report.rungs)}"
    lines = [f"{head} rungs fail" if report.rungs else f"{report.experiment.name}: no rungs"]
    for rung in failed:
        lines += rung_story(rung)
    return "\n".join(lines)


def rung_story(rung: Rung) -> list[str]:
    """One rung that does not pass: where, both values, the bound, the likely causes."""
    lines = [f"{rung.engine} {rung.precision}, {rung.rung}: {rung.verdict}: {rung.note}"]
    worst = rung.worst
    if worst is not None:
        lines += [
            f"  worst element  {worst.tensor}[{', '.join(str(i) for i in worst.index)}]",
            f"  computed       {worst.computed!r}",
            f"  oracle         {worst.oracle!r}",
            f"  bound          {worst.bound:.3g}",
        ]
        if rung.worst_ratio is not None:
            lines.append(f"  ratio          {rung.worst_ratio:.4g}")
    return lines + [f"  {line}" for line in rung.diagnosis]
