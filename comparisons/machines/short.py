"""The page in short: what a reader who chooses a framework asks first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from comparisons.machines.orders import Column, Race
from comparisons.machines.stored import Machine
from comparisons.machines.targets import Kind, TargetTable
from twofold.report import advice, speed_advice
from twofold.report.parity_findings import find_parity
from twofold.report.wording import counted, listing


def in_short(
    machines: Sequence[Machine],
    races: Sequence[Race],
    studies: Sequence[Race],
    targets: TargetTable,
    threads: str,
) -> Iterator[str]:
    """A line for each question; `races` are the experiments', `studies` all others.

    `threads`: the answer on their number, "" for none.
    """
    yield "\n## In short\n"
    yield f"- **Are both computing the same thing?** {_parity(machines)}"
    if races:
        yield f"- **Whose step is the shortest?** {' '.join(_fastest(races))}"
    orders = _orders(machines, (*races, *studies))
    yield f"- **Does the order hold from machine to machine?** {orders}"
    if targets.columns:
        yield f"- **Are the speed targets met?** {_targets(targets)}"
    if threads:
        yield f"- **One thread or several?** {threads}"


def _parity(machines: Sequence[Machine]) -> str:
    answers = [
        f"On {machine.name}: {_lowered(advice.same_thing(find_parity(machine.evidence.parity)))}"
        for machine in machines
    ]
    return " ".join(answers)


def _lowered(text: str) -> str:
    return text[0].lower() + text[1:]


def _fastest(races: Sequence[Race]) -> Iterator[str]:
    """`In digits and lesson: flax:jit on both.`, experiments with the same answer together."""
    answers: dict[str, list[str]] = {}
    for race in races:
        answers.setdefault(_leaders(race), []).append(race.title)
    for answer, titles in answers.items():
        yield f"In {listing(titles)}{answer}."


def _leaders(race: Race) -> str:
    """The fastest on all machines, or the fastest of each; and of which engines."""
    found = {column.label: _leader(column) for column in race.columns}
    scopes = {column.label: _scope(column) for column in race.columns}
    if len(set(found.values())) > 1 or len(set(scopes.values())) > 1:
        each = (f"{found[label]} on {label}, {scopes[label]}" for label in found)
        return f": {'; '.join(each)}"
    (name, *_), (scope, *_) = found.values(), scopes.values()
    if len(race.columns) == 1:
        return f", {scope}: {name} on {race.columns[0].label}"
    return f", {scope}: {name} on {'both' if len(race.columns) == 2 else 'all'}"


def _leader(column: Column) -> str:
    return " or ".join(column.fastest) or "none"


def _scope(column: Column) -> str:
    return speed_advice.scope(column.timing) if column.timing.measured else "no engine was measured"


def _orders(machines: Sequence[Machine], races: Sequence[Race]) -> str:
    if len(machines) == 1:
        return "Not known: only one machine is stored."
    pairs = [pair for race in races for pair in race.pairs]
    if not pairs:
        return "Not known: no two engines are compared on more than one machine."
    numbers = {kind: sum(pair.kind == kind for pair in pairs) for kind in ("same", "flips", "open")}
    text = (
        f"Of {counted(len(pairs), 'pair')} compared on more than one, the order is the same in "
        f"{numbers['same']}; {flipping(numbers['flips'])}"
    )
    if numbers["open"]:
        text += f"; {numbers['open']} not told apart on at least one"
    where = [race.title for race in races if race.of_kind("flips")]
    return f"{text}. Flips are in {listing(where)}." if where else f"{text}."


def flipping(number: int) -> str:
    """`none flips`, `1 flips`, `2 flip`."""
    return f"{number or 'none'} {'flips' if number < 2 else 'flip'}"


def _targets(targets: TargetTable) -> str:
    """How many are the same everywhere, and how many depend on machine or threads."""
    words: dict[Kind, str] = {
        "met": "met everywhere",
        "missed": "missed everywhere",
        "machine": "met on one machine and missed on another",
        "threads": "met with one number of threads and missed with another",
        "open": "not measured everywhere",
    }
    found = [
        f"{len(names)} {text}" for kind, text in words.items() if (names := targets.of_kind(kind))
    ]
    return f"Of {len(targets.names)}: {listing(found)}."
