"""`assert_parity`: the ladder as one line of a person's own test."""

from __future__ import annotations

from collections.abc import Sequence

from twofold.backends.installed import backend, backend_of
from twofold.engines import registry
from twofold.engines.session import Session
from twofold.errors import EngineFailed, NothingShown, ParityDiverges, SpecError, TwofoldError
from twofold.parity.certify import certify, climb, climb_subject
from twofold.parity.judging.subject import DEFAULT_STEPS, Subject
from twofold.parity.judging.verdict import ParityReport, Rung, conclusion, without_evidence
from twofold.parity.ladder.exercised import not_exercised
from twofold.parity.ladder.reference import Reference, build_reference
from twofold.parity.ladder.rungs import LADDER
from twofold.problem.problem import Problem
from twofold.spec.experiment import Experiment, Precision


class ParityAssertion(ParityDiverges, AssertionError):
    """What `assert_parity` raises; its message is the complete story of every failing rung."""


class ParityNotJudged(EngineFailed, AssertionError):
    """What `assert_parity` raises where nothing diverged and rungs could not be run."""


class ParityNotShown(NothingShown, AssertionError):
    """What `assert_parity` raises where nothing diverged, and nothing could have.

    Or where the training itself leaves the range of its numbers.
    """


def error_of(report: ParityReport) -> TwofoldError | None:
    """What a report that does not pass is raised as; its exit code is the outcome's own."""
    if report.passed:
        return None
    kinds: dict[str, type[TwofoldError]] = {
        "does not hold": ParityAssertion,
        "could not be judged": ParityNotJudged,
    }
    return kinds.get(report.outcome, ParityNotShown)(story(report))


def assert_parity(
    subject: Experiment | Problem | Session,
    *,
    engines: Sequence[str] | None = None,
    precisions: Sequence[Precision] | None = None,
    steps: int = DEFAULT_STEPS,
) -> ParityReport:
    """Raise unless parity is shown on every rung of the ladder; returns the report.

    `subject` is an experiment, a problem (an experiment with its arrays, in its own precision), or
    an open session, which is judged as it is: its state is changed and put back. `engines` and
    `precisions` are as in `twofold.certify`, and not allowed with a session.

    Raises what is an AssertionError too: ParityDiverges; EngineFailed where an engine broke;
    NothingShown where nothing could have failed, or the training leaves the range of its numbers.
    And BadInput as `certify` does.
    """
    if isinstance(subject, Session):
        report = _of_session(subject, engines, precisions, steps)
    elif isinstance(subject, Problem):
        report = _of_problem(subject, engines, precisions, steps)
    else:
        report = certify(subject, engines=engines, precisions=precisions, steps=steps)
    error = error_of(report)
    if error is not None:
        raise error
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
    names = engines if engines is not None else registry.default_engines(problem.experiment)
    rungs = [rung for name in names for rung in climb(name, reference, steps=steps)]
    return _report(reference, rungs, steps)


def _of_session(
    session: Session,
    engines: Sequence[str] | None,
    precisions: Sequence[Precision] | None,
    steps: int,
) -> ParityReport:
    """Every rung but `init`, which asks for a session that has not trained yet."""
    if engines is not None or precisions is not None:
        raise SpecError("engines, precisions: given with a session, which has its own; leave out")
    owner = backend(backend_of(session.engine))
    reference = build_reference(session.problem)
    judged = Subject(session, owner, reference, steps)
    before = session.state()
    try:
        rungs = climb_subject(judged, tuple(entry for entry in LADDER if entry[0] != "init"))
    finally:
        session.load_state(before)
    return _report(reference, rungs, steps)


def _report(reference: Reference, rungs: Sequence[Rung], steps: int) -> ParityReport:
    idle = (*not_exercised([reference], steps), *without_evidence(rungs))
    return ParityReport(reference.problem.experiment, {}, tuple(rungs), idle)


def story(report: ParityReport) -> str:
    """What came of it, and every rung that does not pass, in full."""
    failed = [rung for rung in report.rungs if not rung.passed]
    if not report.rungs:
        return f"{report.experiment.name}: {conclusion(report)}: no rungs"
    what = "fail" if report.outcome == "does not hold" else "do not pass"
    count = f"{len(failed)} of {len(report.rungs)} rungs {what}"
    lines = [f"{report.experiment.name}: {conclusion(report)}: {count}"]
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
