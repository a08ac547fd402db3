"""Certifying engines: the whole ladder for one experiment, in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twofold.engines import registry
from twofold.engines.world import this_world
from twofold.errors import SpecError, TwofoldError
from twofold.parity.diagnosis.diagnose import diagnose
from twofold.parity.judging.subject import DEFAULT_STEPS, Subject, steps_in
from twofold.parity.judging.verdict import ParityReport, Rung, without_evidence
from twofold.parity.ladder.exercised import not_exercised
from twofold.parity.ladder.reference import Reference, build_reference
from twofold.parity.ladder.rungs import LADDER, Ladder
from twofold.problem.data import prepare
from twofold.problem.table import Table
from twofold.results import environment
from twofold.spec.experiment import Experiment, Precision

PRECISIONS: tuple[Precision, ...] = ("float32", "float64")
"""What every experiment is certified in by default."""

OnRung = Callable[[Rung], None]


def certify(
    experiment: Experiment,
    *,
    engines: Sequence[str] | None = None,
    precisions: Sequence[Precision] | None = None,
    steps: int = DEFAULT_STEPS,
    ladder: Ladder = LADDER,
    on_rung: OnRung | None = None,
    table: Table | None = None,
) -> ParityReport:
    """Climb the ladder, or part of it, with every engine (default: all) in every precision.

    By default float32 and float64, and the experiment's own where that is mixed.

    `steps` is the number of steps of step-locked training in float32; float64 takes a quarter of
    them, rounded up, for its oracle works in slow longdouble arithmetic.

    `on_rung` is called with each rung as it is judged. An engine that raises has its remaining
    rungs `not run`, with the reason. `table`: the data, where it has been read already. Raises
    BadInput for an unknown engine, a missing framework, data that does not fit, or an experiment
    whose draws cannot be compared (rng = "native").
    """
    names = tuple(engines) if engines is not None else registry.default_engines(experiment)
    if not names:
        raise SpecError("engines: none given; allowed is one or more")
    registry.require_engines(names, experiment)
    if steps < 1:
        raise SpecError(f"steps: {steps} given; allowed is 1 or more")
    _require_shared_draws(experiment)
    rungs: list[Rung] = []
    references: list[Reference] = []
    for precision in precisions or default_precisions(experiment):
        problem = prepare(experiment.model_copy(update={"precision": precision}), table)
        built: dict[int, Reference] = {}
        for name in names:
            parts = processes_of(name)
            reference = built[parts] = built.get(parts) or build_reference(problem, parts)
            for rung in climb(name, reference, steps=steps_in(precision, steps), ladder=ladder):
                rungs.append(rung)
                if on_rung is not None:
                    on_rung(rung)
        references.append(next(iter(built.values())))
    idle = (*not_exercised(references, steps), *without_evidence(rungs))
    return ParityReport(experiment, describe_environment(names), tuple(rungs), idle)


def processes_of(engine: str) -> int:
    """How many processes take the mean over a part of each batch in an engine, in this world."""
    _, description = registry.find_engine(engine)
    return this_world().size if description.shares else 1


def default_precisions(experiment: Experiment) -> tuple[Precision, ...]:
    """Float32, float64, and the experiment's own precision if it is neither."""
    return tuple(dict.fromkeys((*PRECISIONS, experiment.precision)))


def _require_shared_draws(experiment: Experiment) -> None:
    if experiment.rng == "native":
        raise SpecError(
            'rng: "native" given; parity allows "shared" only, since each framework\'s own draws '
            "differ by design; run with --set rng=shared"
        )


def climb(
    engine: str,
    reference: Reference,
    *,
    steps: int = DEFAULT_STEPS,
    ladder: Ladder = LADDER,
) -> list[Rung]:
    """Every rung of one engine; a rung whose engine raises is `not run`, and so are those after."""
    owner, _ = registry.find_engine(engine)
    try:
        session = registry.open_session(reference.problem, engine)
        subject = Subject(session, owner, reference, steps)
    except TwofoldError:
        raise
    except Exception as error:  # an engine may fail in any way; the report must say how
        return [_not_run(name, engine, reference, error) for name, _ in ladder]
    return climb_subject(subject, ladder)


def climb_subject(subject: Subject, ladder: Ladder = LADDER) -> list[Rung]:
    """Every rung of a ladder for an open session; the first that diverges has its diagnosis."""
    engine, reference = subject.session.engine, subject.reference
    rungs: list[Rung] = []
    for position, (_, judge) in enumerate(ladder):
        try:
            judged = judge(subject)
            first = not any(rung.verdict == "diverges" for rung in rungs)
            rungs.extend(diagnose(subject, judged) if first else judged)
        except Exception as error:
            rest = ladder[position:]
            rungs.extend(_not_run(name, engine, reference, error) for name, _ in rest)
            break
    return rungs


def _not_run(name: str, engine: str, reference: Reference, error: Exception) -> Rung:
    precision = reference.problem.experiment.precision
    reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return Rung(name, engine, precision, "not run", None, None, f"the engine failed: {reason}")


def describe_environment(engines: Sequence[str]) -> dict[str, Any]:
    """Machine, versions, and each backend's own account of devices and precision flags."""
    used = {registry.find_engine(name)[0].name: registry.find_engine(name)[0] for name in engines}
    return {
        **environment.describe(),
        "backends": {name: registry.probe(owner) for name, owner in used.items()},
    }
