"""What a cause is made of: settings of an operation, or other numbers for a tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, final

from twofold.port.causes.sites import Site
from twofold.port.side import Array

Exchange: TypeAlias = Callable[[Mapping[str, Array]], Mapping[str, Array]]
"""From the tensors of the changed side to those that are to be other numbers."""


@final
@dataclass(frozen=True)
class Alternative:
    """Another way to run one site: `own` is how the changed side runs it, `other` the new way.

    `what` is the subject of the sentence, "" for that of the kind.
    """

    settings: Mapping[str, object]
    own: str
    other: str
    what: str = ""


@final
@dataclass(frozen=True)
class Clues:
    """What hypotheses are made from.

    `sites` are the operations of the place, of the side that can be changed; `constants` are the
    plain numbers in the other side's code there. `tensors` are those of the original that the
    place holds, by name; `left_over` says of those of both sides which elements have no partner.
    `kinds` are the kinds of the changed side's modules by path, or of the owners of tensors. `mode`
    is "evaluation" or "training" if one is judged.
    """

    sites: tuple[Site, ...] = ()
    constants: tuple[float, ...] = ()
    tensors: Mapping[str, Array] = field(default_factory=dict)
    left_over: tuple[Mapping[str, Array], Mapping[str, Array]] = ({}, {})
    kinds: Mapping[str, str] = field(default_factory=dict)
    mode: str = ""

    def has(self, *kinds: str) -> bool:
        """Whether the place has an operation of one of these kinds."""
        return any(site.kind in kinds for site in self.sites)

    def kind_of(self, site: Site) -> str:
        """The kind of the module that runs a site, such as "flax.nnx.LayerNorm"."""
        return self.kinds.get(site.module.partition("@")[0], "")


@final
@dataclass(frozen=True)
class SiteKind:
    """A kind of cause that is tried on operations of one or more kinds.

    `what` is the subject of the sentence that tells it; `trap` is its id in the atlas, "" for none.
    """

    name: str
    what: str
    sites: tuple[str, ...]
    alternatives: Callable[[Site, Clues], Iterable[Alternative]]
    trap: str = ""


@final
@dataclass(frozen=True)
class TensorAlternative:
    """Other numbers for tensors of a side; `own` and `other` tell how it and the other use them.

    `remedy` says what to do, where it is more than to give the port what the original has.
    """

    exchange: Exchange
    own: str
    other: str
    side: int = 0
    remedy: str = ""


@final
@dataclass(frozen=True)
class TensorKind:
    """A kind of cause that is tried on tensors of the original."""

    name: str
    what: str
    alternatives: Callable[[Clues], Iterable[TensorAlternative]]
    trap: str = ""


Kind: TypeAlias = SiteKind | TensorKind


def number(site: Site, name: str) -> float:
    """A setting that is a number. Raises TypeError."""
    value = site.settings[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{site.kind}: {name} is {value!r}")
    return float(value)


def others(known: Iterable[float], clues: Clues, own: float, most: float) -> Iterator[float]:
    """Known values of a setting and the other side's constants up to a limit, but its own."""
    seen = {own}
    small = [c for c in clues.constants if 0 <= c <= most]
    for value in [*small, *known]:
        if value not in seen:
            seen.add(value)
            yield value


def shown(value: object) -> str:
    """A setting in a sentence."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
