"""Differences that are gone once constants made in float32 are the same numbers on both sides.

A table that was rounded to float32 before the judge came cannot be kept in float64. Where both
sides have it, each with roundings of its own, the original runs with the port's numbers: what is
then still apart is no rounding of a constant.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, final

import numpy as np

from twofold.errors import SideFailed
from twofold.port.judge.forward_rungs import Forward
from twofold.port.judge.subject import Subject
from twofold.port.report import PortRung
from twofold.port.side import Array
from twofold.port.where.tables import Replacement, Table
from twofold.port.where.turns import turns_of

ROUNDING: Final = 2.0**-24
"""Half a unit in the last place of float32."""
ROUNDINGS: Final = 16
"""How many roundings of float32 two tables may be apart: a power of 10,000 alone takes nine."""
SHOWN: Final = 4
FIRST: Final = "the same once both sides have the same numbers for"
LATER: Final = "judged with the same constants on both sides as the forward in evaluation mode"


@final
@dataclass(frozen=True)
class Shared:
    """Tables that both sides have but for roundings; the original's are replaced by the port's."""

    replacements: tuple[Replacement, ...]
    original: tuple[str, ...]
    port: tuple[str, ...]
    apart: float

    def told(self) -> str:
        """Where the tables are, and how far apart."""
        both = [
            f"{_listed(places)} of the {side}"
            for side, places in (("original", self.original), ("port", self.port))
            if places
        ]
        return (
            f"constants made in float32 at {' and '.join(both)}, which are up to "
            f"{self.apart:.2g} apart"
        )

    def explained(self, rung: PortRung, written: PortRung | None = None) -> PortRung:
        """A rung that is the same with the port's tables in the original as well.

        `written` is the rung with the tables as they are; later rungs have none, and are short.
        """
        if rung.verdict not in ("same", "explained"):
            return rung
        text = LATER
        if written is not None:
            worst, text = written.worst, f"{FIRST} {self.told()}"
            if worst is not None and worst.size is not None:
                text = f"{text}; as written {worst.size:.2g} of the largest value apart"
        every = "; ".join(filter(None, [text, rung.explanation]))
        return replace(rung, verdict="explained", explanation=every)


def with_shared_constants(
    forward: Forward, rung: PortRung
) -> tuple[Forward, Shared | None, PortRung]:
    """The forward in evaluation mode once more, where it differs and constants may be why.

    Where the tables are not all that differs, the rung stays as it was; what is asked later, such
    as where the two part, is then asked with the same tables on both sides.
    """
    if rung.verdict not in ("differs", "undecided"):
        return forward, None, rung
    narrow = any(found.source == "constant" for found in forward.narrowings)
    shared = shared_constants(forward.subject, narrow)
    if shared is None:
        return forward, None, rung
    other = Forward(forward.subject.with_tables(shared.replacements), forward.twins)
    again = other.evaluation()
    other.narrowings |= forward.narrowings
    if again.verdict in ("same", "explained"):
        return other, shared, shared.explained(again, rung)
    note = f"judged with the same numbers on both sides for {shared.told()}"
    return other, shared, replace(again, note="; ".join(filter(None, [again.note, note])))


def shared_constants(subject: Subject, narrow: bool) -> Shared | None:
    """The tables made in float32 that both sides have with other roundings; None for none.

    `narrow` says whether a side was seen to take a constant of float32; tensors without a partner
    may be some as well.
    """
    if not narrow and not any(subject.weights.left_over):
        return None
    calls = subject.calls("evaluation", {"outputs", "tables"})
    sides = subject.original, subject.port
    try:
        tables = [side.answer(call).tables for side, call in zip(sides, calls, strict=True)]
    except SideFailed:  # what cannot run operation by operation stays as it was judged
        return None
    return _shared(*tables)


def _shared(original: Sequence[Table], port: Sequence[Table]) -> Shared | None:
    replacements, apart = [], 0.0
    places: tuple[dict[str, None], dict[str, None]] = {}, {}
    for mine in original:
        fitting = [
            (distance, new, theirs)
            for theirs in port
            if mine.makers or theirs.makers
            for distance, new in _other(mine.value, theirs.value)
        ]
        if not fitting:
            continue
        distance, new, theirs = min(fitting, key=lambda item: item[0])
        if distance:
            replacements.append(Replacement(mine.value, new))
            apart = max(apart, distance)
            for kept, table in zip(places, (mine, theirs), strict=True):
                kept.update(dict.fromkeys(table.makers or [table.line]))
    if not replacements:
        return None
    return Shared(tuple(replacements), tuple(places[0]), tuple(places[1]), apart)


def _other(mine: Array, theirs: Array) -> Iterable[tuple[float, Array]]:
    """The other side's table in this one's shape with its distance, if only roundings differ."""
    small, other = _condensed(mine), _condensed(theirs)
    if small.size != other.size:
        return
    room = _room(small)
    for turn in turns_of(other.shape, small.shape):
        turned = turn(other)
        apart = np.abs(turned - small)
        if (apart <= room).all():
            yield float(apart.max(initial=0.0)), np.array(np.broadcast_to(turned, mine.shape))


def _room(value: Array) -> Array:
    """How far roundings of float32 can take each number of a table.

    A number is rounded itself. A sine or a cosine has the error of its angle as well, which is at
    most the largest position, and the slope there says how much of it.
    """
    room = np.abs(value)
    if value.size > 1 and room.max() <= 1:
        room = room + max(value.shape) * np.sqrt(1 - np.square(value))
    return np.asarray(ROUNDINGS * ROUNDING * room)


def _condensed(value: Array) -> Array:
    """A table without the axes along which it only repeats itself; they keep a size of one."""
    for axis, size in enumerate(value.shape):
        first = np.take(value, [0], axis=axis)
        if size > 1 and (value == first).all():
            value = first
    return value


def _listed(places: Sequence[str]) -> str:
    more = len(places) - SHOWN
    return f"{', '.join(places[:SHOWN])}{f' and {more} more' if more > 0 else ''}"
