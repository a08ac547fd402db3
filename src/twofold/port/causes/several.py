"""Several settings of an optimizer at once: both sides have their own library's defaults."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product
from typing import Final

from twofold.port.causes.hypotheses import Hypothesis
from twofold.port.causes.hypothesis import Alternative, Clues, SiteKind
from twofold.port.causes.optimizers import RULES
from twofold.port.causes.sites import Change, Site

SEVERAL: Final = 3
"""Settings that are changed at once."""
SMALL: Final = 0.1
"""The largest epsilon or weight decay that is tried with other settings."""
AT_ONCE: Final = (
    *("weight decay", "kind of weight decay", "epsilon of the optimizer"),
    *("place of the optimizer's epsilon", "decay of squares", "start of the squares"),
    *("beta1", "beta2", "momentum", "nesterov"),
)
"""Kinds of settings of which several differ where both sides have their library's defaults."""


def several_settings(clues: Clues) -> Iterator[Hypothesis]:
    """Two or three settings at once, of those that the other side's own numbers allow.

    Each number is one of the other side's program, or the start of a sum, which no program shows.
    """
    kinds = [kind for kind in RULES if kind.name in AT_ONCE]
    for site in clues.sites:
        choices = [(kind, _given(kind, site, clues)) for kind in kinds]
        usable = [(kind, new) for kind, new in choices if new]
        for count in range(2, SEVERAL + 1):
            for chosen in combinations(usable, count):
                for every in product(*(new for _, new in chosen)):
                    yield _together([kind for kind, _ in chosen], every, site)


def _given(kind: SiteKind, site: Site, clues: Clues) -> list[Alternative]:
    """The alternatives of a kind that are a choice of two, or a number of the other side."""
    numbers = {*clues.constants, *(1 - c for c in clues.constants), 0.0}
    most = SMALL if kind.name in ("weight decay", "epsilon of the optimizer") else 1.0
    every = list(kind.alternatives(site, clues))
    if kind.name == "start of the squares":
        return every
    return [
        new
        for new in every
        if all(
            isinstance(value, bool) or (value in numbers and value <= most)
            for value in new.settings.values()
        )
    ]


def _together(kinds: list[SiteKind], every: tuple[Alternative, ...], site: Site) -> Hypothesis:
    settings = {name: value for new in every for name, value in new.settings.items()}
    pairs = list(zip(kinds, every, strict=True))
    rule = str(site.settings.get("name")).lower()
    traps = sorted((k.trap for k in kinds if k.trap), key=lambda t: not t.startswith(rule))
    return Hypothesis(
        "several settings of the optimizer",
        "the settings of the optimizer",
        "; ".join(f"{kind.what} {new.own}" for kind, new in pairs),
        "; ".join(f"{kind.what} {new.other}" for kind, new in pairs),
        traps[0] if traps else "",
        (Change(site.number, settings),),
    )
