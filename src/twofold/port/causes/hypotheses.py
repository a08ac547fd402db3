"""The hypotheses of one place, from its operations and tensors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, final

from twofold.port.causes.hypothesis import Alternative, Clues, Exchange, Kind, SiteKind
from twofold.port.causes.kinds import KINDS
from twofold.port.causes.sites import Change, Site
from twofold.port.side import Call


@final
@dataclass(frozen=True)
class Hypothesis:
    """One thing to try: changes of operations of the changed side, or other tensors.

    `own` is how the changed side does it, `other` how the other side is thought to do it. `side` is
    that whose tensors are exchanged, None where operations are changed. `batch` changes what is
    given to the changed side.
    """

    kind: str
    what: str
    own: str
    other: str
    trap: str = ""
    changes: tuple[Change, ...] = ()
    exchange: Exchange | None = None
    side: int | None = None
    line: str = ""
    batch: Callable[[Any], Any] | None = None
    remedy: str = ""

    def of(self, call: Call) -> Call:
        """The call of the changed side with the hypothesis."""
        if self.batch is not None:
            return replace(call, batch=self.batch(call.batch))
        if self.exchange is None:
            return replace(call, changes=self.changes)
        every = dict(call.tensors.items())
        return replace(call, tensors={**every, **self.exchange(every)})


def hypotheses(clues: Clues, kinds: Iterable[Kind] = KINDS) -> Iterator[Hypothesis]:
    """Every hypothesis, kind by kind: at all operations alike, then at single ones."""
    for kind in kinds:
        if isinstance(kind, SiteKind):
            yield from _of_sites(kind, clues)
            continue
        for new in kind.alternatives(clues):
            yield Hypothesis(
                *(kind.name, kind.what, new.own, new.other, kind.trap),
                exchange=new.exchange,
                side=new.side,
                remedy=new.remedy,
            )


def _of_sites(kind: SiteKind, clues: Clues) -> Iterator[Hypothesis]:
    groups: dict[str, list[tuple[Site, Alternative]]] = defaultdict(list)
    for site in clues.sites:
        if site.kind in kind.sites:
            for new in kind.alternatives(site, clues):
                groups[repr(sorted(new.settings.items()))].append((site, new))
    for several in groups.values():
        yield _hypothesis(kind, several)
    for several in groups.values():
        if len(several) > 1:
            yield from (_hypothesis(kind, [one]) for one in several)


def _hypothesis(kind: SiteKind, several: list[tuple[Site, Alternative]]) -> Hypothesis:
    site, first = several[0]
    return Hypothesis(
        kind.name,
        first.what or kind.what,
        first.own,
        first.other,
        kind.trap,
        tuple(Change(each.number, new.settings) for each, new in several),
        line=site.line,
    )
