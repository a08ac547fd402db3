"""All stored machines as one Markdown page: a pure function of the result files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import quote

from comparisons.machines.gaps import differing_versions, gaps
from comparisons.machines.orders import (
    ENGINE_REFERENCE,
    FEED_REFERENCE,
    Race,
    experiment_races,
    study_race,
)
from comparisons.machines.short import in_short
from comparisons.machines.stored import Machine
from comparisons.machines.tables import (
    cold_start_section,
    described,
    race_section,
    table,
    target_section,
)
from comparisons.machines.targets import target_table
from comparisons.machines.threads import threads_in_short, threads_section
from comparisons.machines.trust import advice_section, calibration_section, steadiness_section
from twofold.report.parity_findings import unique
from twofold.report.speed_advice import known_contenders
from twofold.report.wording import listing

HEAD: Final = """\
# Machines side by side

Several small neural networks were each trained in PyTorch and in Flax, in several ways, on every
machine below. What is the same on all machines, and what is not? Written by
`python -m comparisons.machines` from the results in [`{link}`]({link}); nothing is measured or
typed in here.

An *engine* is a framework and a way to run it: `torch:eager` and `torch:compile` are PyTorch,
`flax:op-by-op` and `flax:jit` are Flax, and so on. A *step* is one update of the model from one
batch. A *rung* is one check of an engine's numbers against a reference of higher precision.

A framework's step is timed *at its best* only where every engine was measured that was its fastest
in some stored run: {contenders}.
Everywhere else a sentence speaks only of the engines that it names, and another engine may be
quicker.

Older results are not quite like newer ones. Before 2026-11-25, timing went on after the end of the
experiment. Gradients then become subnormal numbers, which slows PyTorch down, its fastest engines
most, and does not slow XLA down. Before 2026-11-26, the beginning of an epoch took longer, most of
all in Flax: 15 us for each batch on an Intel Xeon.

To add your machine: `make compare`, then the command above. The README lists the commands for
feeding, other trainers, speed targets and calibration."""
STEPS: Final = """
## How long does a step take?

The median, and in brackets how many times the step of {reference} on the same machine. Bold: of
the engines measured in a column, the shortest step and those not told apart from it. The order of
two engines *flips* where one machine's comparison of them (95 % interval) says faster and another
machine's says slower. Where one of the two comparisons does not tell, nothing flips."""
FEEDING: Final = """
### What does it cost to bring a batch to the device?

No training, one batch of `lesson` at a time; in brackets, against {reference}.
"""
PEERS: Final = """
### Other trainers

`lesson` in other libraries, timed in the same way; in brackets, against {reference}. Not all of
them compute the same thing. The guide of each machine says what they do differently.
"""


def page(machines: Sequence[Machine], link: str) -> str:
    """The page; `link` leads from it to the folder of results."""
    machines, link = [machine.escaped() for machine in machines], quote(link)
    races = experiment_races(machines)
    feeding = study_race(machines, "feeding", FEED_REFERENCE)
    peers = study_race(machines, "peers", ENGINE_REFERENCE)
    targets = target_table(machines)
    studies = (*_named(feeding), *_named(peers))
    alone = len(machines) == 1
    lines = [
        HEAD.format(link=link, contenders=known_contenders()),
        *in_short(machines, races, studies, targets, threads_in_short(machines)),
        *_machine_section(machines, link),
        *_step_section(races, alone),
        *_study_section(FEEDING, feeding, alone),
        *_study_section(PEERS, peers, alone),
        *cold_start_section(races, alone),
        *target_section(targets),
        *calibration_section(machines),
        *steadiness_section(machines),
        *advice_section(machines),
        *threads_section(machines),
        "\n## What cannot be compared\n",
        *(f"- {gap}" for gap in gaps(machines, (*races, *studies))),
    ]
    return "\n".join(lines) + "\n"


def _named(race: Race) -> tuple[Race, ...]:
    """The study with its name as a person reads it, if anything of it is stored."""
    names = {"feeding": "feeding", "peers": "other trainers"}
    return (Race(names[race.title], race.reference, race.columns),) if race.columns else ()


def _machine_section(machines: Sequence[Machine], link: str) -> Iterator[str]:
    differing = differing_versions(machines)
    yield "\n## The machines\n"
    head = ("machine", "architecture", "cores used", "threads", *differing, "measured")
    yield from table(head, [_machine_row(machine, link, differing) for machine in machines])
    shared = [
        version if name in ("system", "python") else f"{name} {version}"
        for name, version in machines[0].versions.items()
        if name not in differing
    ]
    if shared:
        where = "Software" if len(machines) == 1 else "The same on all"
        yield f"\n{where}: {', '.join(shared)}."


def _machine_row(machine: Machine, link: str, differing: Sequence[str]) -> tuple[str, ...]:
    """Cores as `2 of 4`; threads and cores of the timed runs; first and last day of measuring."""
    timed = [result["environment"] for result in machine.timed]
    cores = unique(
        f"{environment['cores_usable']} of {environment['cores_total']}"
        for environment in timed or machine.environments
        if environment.get("cores_usable") and environment.get("cores_total")
    )
    threads = {environment.get("threads") for environment in timed} - {None}
    days = sorted({moment[:10] for moment in machine.values("time_utc")})
    return (
        f"[{machine.name}]({link}/{quote(machine.folder)})",
        listing(machine.values("architecture") or ("–",)),
        listing(cores or ("–",)),
        listing(str(number) for number in sorted(threads)) if threads else "–",
        *(machine.versions.get(name, "–") for name in differing),
        " to ".join(dict.fromkeys((days[0], days[-1]))) if days else "–",
    )


def _step_section(races: Sequence[Race], alone: bool) -> Iterator[str]:
    if races:
        yield STEPS.format(reference=f"`{ENGINE_REFERENCE}`")
    for race in races:
        yield f"\n### {race.title}\n"
        yield from described(race)
        yield from race_section(race, alone)


def _study_section(head: str, race: Race, alone: bool) -> Iterator[str]:
    if race.columns:
        yield head.format(reference=f"`{race.reference}`")
        yield from race_section(race, alone)
