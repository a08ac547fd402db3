"""What cannot be compared: what one machine alone has, and what differs beside the machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from comparisons.machines.orders import Race
from comparisons.machines.stored import Machine, threads_of
from twofold.report.evidence import Evidence, experiment_name
from twofold.report.parity_findings import unique
from twofold.report.wording import counted, listing

COMMIT: Final = (
    "The results name the version of Twofold that measured, not the commit. What was measured on "
    "other days can differ because its own engines do."
)
ALONE: Final = "Only one machine is stored, so nothing is compared yet."


def gaps(machines: Sequence[Machine], races: Sequence[Race]) -> tuple[str, ...]:
    """A sentence for each thing that cannot be compared, or only with care."""
    if len(machines) == 1:
        return (ALONE, COMMIT)
    sentences = (
        *_not_everywhere(machines),
        *_engines_not_everywhere(races),
        *_altered(races),
        *_versions(machines),
        *_threads(races),
    )
    return (*unique(sentences), COMMIT)


def _not_everywhere(machines: Sequence[Machine]) -> Iterator[str]:
    """What only some machines have, all that the same machines have in one sentence."""
    stored = {machine.name: _contents(machine) for machine in machines}
    groups: dict[tuple[str, ...], list[str]] = {}
    for item in unique(item for items in stored.values() for item in items):
        owners = tuple(name for name, items in stored.items() if item in items)
        if len(owners) < len(machines):
            groups.setdefault(owners, []).append(item)
    for owners, items in groups.items():
        yield f"Stored for {listing(owners)} only: {listing(items)}."


def _contents(machine: Machine) -> tuple[str, ...]:
    evidence: Evidence = machine.evidence
    return unique(
        [
            *(f"parity of {experiment_name(result)}" for result in evidence.parity),
            *(f"timing of {experiment_name(result)}" for result in evidence.timing),
            *(f"training of {experiment_name(result)}" for result in evidence.training),
            *(f"many seeds of {experiment_name(result)}" for result in evidence.outcome),
            *(f"free runs of {experiment_name(result)}" for result in evidence.divergence),
            *_with_threads("feeding", machine),
            *_with_threads("peers", machine),
            *_with_threads("targets", machine),
            *_calibrated(machine),
        ]
    )


def _with_threads(kind: str, machine: Machine) -> Iterator[str]:
    names = {"feeding": "feeding", "peers": "other trainers", "targets": "speed targets"}
    for result in machine.evidence.of_kind(kind):
        threads = result["environment"].get("threads")
        yield names[kind] + (f" with {counted(threads, 'thread')}" if threads else "")


def _calibrated(machine: Machine) -> Iterator[str]:
    for result in machine.calibrations:
        yield f"the calibration of the timing with {threads_of(result)}"
    for result in machine.scores:
        yield f"the score of the advice with {threads_of(result)}"
    for result in machine.steadiness:
        yield f"how steady engines are with {threads_of(result)}"


def _engines_not_everywhere(races: Sequence[Race]) -> Iterator[str]:
    """Engines that some of an experiment's runs measured and others did not."""
    for race in races:
        groups: dict[tuple[str, ...], list[str]] = {}
        for engine in race.engines:
            owners = tuple(column.label for column in race.columns if column.measured(engine))
            if 0 < len(owners) < len(race.columns):
                groups.setdefault(owners, []).append(engine)
        for owners, engines in groups.items():
            yield f"In {race.title}, measured on {listing(owners)} only: {listing(engines)}."


def _altered(races: Sequence[Race]) -> Iterator[str]:
    for race in races:
        if race.altered:
            yield (
                f"{race.title} is not the same experiment on all ({listing(race.altered)} "
                "differ), so its orders are not compared."
            )


def _versions(machines: Sequence[Machine]) -> Iterator[str]:
    names = differing_versions(machines)
    if names:
        yield (
            f"What differs beside the processor: {listing(names)} (see the table of machines). A "
            "flip can come from these as well."
        )


def differing_versions(machines: Sequence[Machine]) -> tuple[str, ...]:
    """The names of system, Python and packages that are not the same on all machines."""
    names = unique(name for machine in machines for name in machine.versions)
    return tuple(
        name for name in names if len({machine.versions.get(name) for machine in machines}) > 1
    )


def _threads(races: Sequence[Race]) -> Iterator[str]:
    """Runs of one experiment with other numbers of threads."""
    uneven = [race.title for race in races if len({column.threads for column in race.columns}) > 1]
    if uneven:
        yield (
            f"The number of threads is not the same on all in {listing(uneven)}; a flip can come "
            "from that as well."
        )
