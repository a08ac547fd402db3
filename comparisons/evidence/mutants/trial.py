"""Running a mutant: what the ladder says of it, and what the usual comparisons say."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from comparisons.evidence.mutants import bases
from comparisons.evidence.mutants.hosts import Host
from comparisons.evidence.mutants.mutant import Mutant
from comparisons.evidence.mutants.peers import PEERS, Tensors, caught, quantities
from twofold import open_session
from twofold.backends.installed import backend
from twofold.parity.certify import PRECISIONS
from twofold.parity.judging.subject import Subject
from twofold.parity.judging.verdict import Rung
from twofold.parity.ladder.reference import Reference
from twofold.parity.ladder.rungs import LADDER
from twofold.problem.problem import Problem
from twofold.spec.experiment import Precision

NOT_RUN: Final = "could not be run"
STOPS: Final = ("not run", "out of range")
LOCKED_STEPS: Final = 4  # over an epoch of three batches, the last of them partial


@dataclass(frozen=True)
class Sighting:
    """Where the ladder first saw a mutant in one precision; `rung` None where it did not."""

    precision: Precision
    rung: str | None
    ratio: float | None
    note: str


@dataclass(frozen=True)
class Outcome:
    """A mutant in one host.

    `peers` maps each usual comparison to whether it saw the mutant in either precision: on the
    tensors of the rung that caught it, and on those of any rung.
    """

    mutant: Mutant
    host: Host
    sightings: tuple[Sighting, ...]
    peers: dict[str, tuple[bool, bool]]

    @property
    def caught(self) -> bool:
        """Whether the ladder saw the mutant in either precision."""
        return any(sighting.rung is not None for sighting in self.sightings)


def run(mutant: Mutant, host: Host) -> Outcome:
    """Climb the ladder with the mutant in both precisions, then ask the usual comparisons."""
    sightings = tuple(sight(mutant, host, precision) for precision in PRECISIONS)
    return Outcome(mutant, host, sightings, _ask_peers(mutant, host, sightings))


def planted(mutant: Mutant, host: Host) -> AbstractContextManager[Any]:
    """The patch of a mutant, or none for one that lies in the settings."""
    return nullcontext() if mutant.plant is None else mutant.plant(host)


def given_problem(mutant: Mutant, reference: Reference) -> Problem:
    """What the session is given; the oracle keeps the right settings."""
    return reference.problem if mutant.change is None else mutant.change(reference.problem)


def sight(mutant: Mutant, host: Host, precision: Precision) -> Sighting:
    """The first rung, in the ladder's order, at which the mutant diverges."""
    reference = bases.reference(mutant.base, precision)
    with planted(mutant, host):
        rungs = climb_mutant(mutant, host, reference)
    for rung in rungs:
        if rung.verdict == "diverges":
            return Sighting(precision, rung.rung, rung.worst_ratio, rung.note)
        if rung.verdict in STOPS:
            return Sighting(precision, rung.rung, None, f"{NOT_RUN}: {rung.note}")
    return Sighting(precision, None, None, "every rung passes")


def climb_mutant(mutant: Mutant, host: Host, reference: Reference) -> list[Rung]:
    """Every rung up to the first that is not passed; the oracle's settings stay the right ones."""
    given = given_problem(mutant, reference)
    subject = Subject(open_session(given, host.engine), backend(host.name), reference, LOCKED_STEPS)
    rungs: list[Rung] = []
    for name, judge in LADDER:
        try:
            rungs.extend(judge(subject))
        except Exception as error:  # a bug may break anything
            precision = reference.problem.experiment.precision
            note = f"{type(error).__name__}: {error}"
            rungs.append(Rung(name, host.engine, precision, "not run", None, None, note))
        if any(rung.verdict == "diverges" or rung.verdict in STOPS for rung in rungs):
            break
    return rungs


@cache
def _sibling_tensors(engine: str, base: str, precision: Precision) -> dict[str, Tensors]:
    """What the correct engine of the other framework computes."""
    reference = bases.reference(base, precision)
    return quantities(open_session(reference.problem, engine), reference)


def _ask_peers(
    mutant: Mutant, host: Host, sightings: tuple[Sighting, ...]
) -> dict[str, tuple[bool, bool]]:
    answers = dict.fromkeys(PEERS, (False, False))
    for sighting in sightings:
        reference = bases.reference(mutant.base, sighting.precision)
        expected = _sibling_tensors(host.sibling, mutant.base, sighting.precision)
        given = given_problem(mutant, reference)
        with planted(mutant, host):
            computed = quantities(open_session(given, host.engine), reference)
        for peer, check in PEERS.items():
            by_rung = {rung: caught(check, computed[rung], expected[rung]) for rung in expected}
            before = answers[peer]
            same = by_rung.get(sighting.rung or "", False)
            answers[peer] = (before[0] or same, before[1] or any(by_rung.values()))
    return answers
