"""The page's tables, each with the sentences that belong below it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from comparisons.machines.orders import ENGINE_REFERENCE, Column, Pair, Race
from comparisons.machines.short import flipping
from comparisons.machines.targets import TargetTable
from twofold.report.study_findings import SpeedTarget
from twofold.report.time_to_result import MeasuredEngine
from twofold.report.timing_findings import Comparison
from twofold.report.wording import cell, counted, duration, listing, significant

NOT_RUN: Final = "not run"
STARTS: Final = """
## How long does a start take?

From nothing to the end of the first step, compiling included, with an empty compile cache. In
brackets, how many times the start of `{reference}` on the same machine. Bold: the shortest start
that was measured in a column. Each start is measured once and has no interval, so small differences
say nothing.
"""
TARGETS: Final = """
## Are the engines as fast as they are meant to be?

Every figure is a ratio within one run on one machine: of step times, unless the target says
otherwise. In brackets is the engine that was measured for its framework. Bold: targets that are met
on one machine and missed on another with as many threads.
"""
WITHHELD: Final = "could not be measured"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a Markdown table."""
    yield f"| {' | '.join(cell(text) for text in head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(cell(text) for text in row)} |"


def described(race: Race) -> Iterator[str]:
    """`Hidden layers of 64 and 64, relu, dropout 0.1, adamw, batches of 64, float32.`"""
    spec = race.columns[0].experiment
    if race.altered or not {"model", "optimizer", "data", "precision"} <= set(spec):
        return
    model = spec["model"]
    words = (
        f"Hidden layers of {listing(str(width) for width in model['hidden'])}",
        model["activation"],
        f"dropout {model['dropout']:g}" if model["dropout"] else "no dropout",
        spec["optimizer"]["kind"],
        f"batches of {spec['data']['batch_size']}",
        spec["precision"],
    )
    yield f"{', '.join(words)}.\n"


def race_section(race: Race, alone: bool) -> Iterator[str]:
    """Step times, and below them what holds and what flips; no orders for a machine `alone`."""
    rows = [
        (engine, *(_step(column, engine, race.reference) for column in race.columns))
        for engine in race.engines
    ]
    yield from table(("", *(column.label for column in race.columns)), rows)
    if not alone or len(race.columns) > 1:
        yield ""
        yield from order_lines(race)
    for column in race.columns:
        if not column.timing.checked:
            yield f"\nOn {column.label}, timed without a parity check."
        if column.timing.interrupted:
            yield f"\nOn {column.label}, interrupted: the figures rest on fewer rounds."


def _step(column: Column, engine: str, reference: str) -> str:
    item = column.entry(engine)
    if not isinstance(item, MeasuredEngine):
        return _absent(column, engine)
    stored = column.timing.against(engine, reference)
    ratio = 1.0 if engine == reference else stored.median if stored else None
    text = duration(item.step) + (f" ({significant(ratio)})" if ratio is not None else "")
    return f"**{text}**" if engine in column.fastest else text


def _absent(column: Column, engine: str) -> str:
    item = column.entry(engine)
    if item is None or isinstance(item, MeasuredEngine):
        return NOT_RUN
    return f"could not be measured ({item.status}: {item.reason})"


def order_lines(race: Race) -> Iterator[str]:
    """What becomes of the order of the engines from one machine to another."""
    on = "both" if len(race.columns) == 2 else "more than one"
    if len(race.columns) == 1:
        yield "Measured on one machine only: nothing to compare."
    elif race.altered:
        yield f"Not compared: the experiments differ ({listing(race.altered)})."
    elif not race.pairs:
        yield f"No two engines are compared on {on}."
    else:
        yield from _judged(race, on)


def _judged(race: Race, on: str) -> Iterator[str]:
    same, flips, undecided = (race.of_kind(kind) for kind in ("same", "flips", "open"))
    pairs = counted(len(race.pairs), "pair")
    if len(same) == len(race.pairs):
        yield f"The order of the engines that are measured on {on} is the same ({pairs})."
        return
    if flips:
        yield f"Of {pairs} of engines that are measured on {on}, {flipping(len(flips))}:\n"
        yield from (f"- {_flip(pair)}" for pair in flips)
        yield ""
    else:
        yield f"Of {pairs} of engines that are measured on {on}, none flips."
    if same:
        yield f"In the same order: {len(same)}."
    if undecided:
        names = listing(f"{pair.reference} and {pair.engine}" for pair in undecided)
        yield f"Not told apart on at least one: {names}."


def _flip(pair: Pair) -> str:
    """`**b** against a: faster on A, 0.500 times the step; slower on B, 2.00 times the step`."""
    found = [f"{item.outcome} on {column.label}{_times(item)}" for column, item in pair.found]
    return f"**{pair.engine}** against {pair.reference}: {'; '.join(found)}"


def _times(item: Comparison) -> str:
    return f", {significant(item.median)} times the step" if item.median is not None else ""


def cold_start_section(races: Sequence[Race], alone: bool) -> Iterator[str]:
    """One table of all experiments; an experiment's engines one below the other."""
    labels = list(dict.fromkeys(column.label for race in races for column in race.columns))
    if not labels:
        return
    yield STARTS.format(reference=ENGINE_REFERENCE)
    rows = [
        (race.title, engine, *(_start(race, label, engine) for label in labels))
        for race in races
        for engine in race.engines
    ]
    yield from table(("experiment", "engine", *labels), rows)
    if not alone:
        yield ""
        yield from _soonest(races)


def _start(race: Race, label: str, engine: str) -> str:
    column = next((column for column in race.columns if column.label == label), None)
    if column is None:
        return NOT_RUN
    item, reference = column.measured(engine), column.measured(race.reference)
    if item is None:
        return _absent(column, engine)
    text = duration(item.cold_start)
    if reference is not None:
        text += f" ({significant(item.cold_start / reference.cold_start)})"
    return f"**{text}**" if engine == column.soonest() else text


def _soonest(races: Sequence[Race]) -> Iterator[str]:
    """Whether the engine that starts soonest is the same one on all machines."""
    shared = [race for race in races if len(race.columns) > 1]
    if not shared:
        yield "Measured on one machine only: nothing to compare."
        return
    found = {
        race.title: [column.soonest(race.shared) for column in race.columns] for race in shared
    }
    same = sum(len(set(names)) == 1 and None not in names for names in found.values())
    if same:
        yield (
            "Of the engines measured on all machines, the same one starts soonest in "
            f"{same} of {counted(len(shared), 'experiment')}."
        )
    for race in shared:
        names = found[race.title]
        if None in names:
            yield f"\nIn {race.title} no engine is measured on all."
        elif len(set(names)) > 1:
            each = (f"{name} on {c.label}" for name, c in zip(names, race.columns, strict=True))
            yield f"\nIn {race.title} it is {listing(each)}."


def target_section(targets: TargetTable) -> Iterator[str]:
    """Every target's figure on every machine, and what depends on the machine."""
    if not targets.columns:
        return
    yield TARGETS
    rows = []
    for name in targets.names:
        found = [column.named(name) for column in targets.columns]
        limit = next(target.limit for target in found if target is not None)
        title = f"**{name}**" if targets.kind(name) == "machine" else name
        rows.append((title, limit, *(_figure(target) for target in found)))
    yield from table(("target", "limit", *(column.label for column in targets.columns)), rows)


def _figure(target: SpeedTarget | None) -> str:
    """`0.687, met (torch:compile-epoch)`; the engine where the target's name does not say it."""
    if target is None:
        return NOT_RUN
    if target.figure is None:
        return f"{target.outcome}: {target.reason}"
    subject = "" if target.subject in target.name else f" ({target.subject})"
    return f"{significant(target.figure)}, {target.outcome}{subject}"
