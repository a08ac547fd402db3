"""Attention: its scale, the axis of the softmax, and the mask of what is seen."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import Final

from twofold.port.causes.hypothesis import Alternative, Clues, SiteKind, number, shown
from twofold.port.causes.sites import Site


def _scale(site: Site, clues: Clues) -> Iterator[Alternative]:
    own, size = number(site, "scale"), number(site, "size")
    known = [1.0, 1 / size, size**0.5, own**2]
    constants = [c for value in clues.constants if value > 0 for c in (value, 1 / value)]
    roots = [c for value in clues.constants if value > 0 for c in (value**-0.5, value**0.5)]
    heads = [own * factor**-0.5 for factor in (2, 3, 4, 6, 8, 12, 16)]
    for value in dict.fromkeys([*known, *constants, *roots, *heads]):
        if abs(value - own) > 1e-12 * own:
            yield Alternative({"scale": value}, shown(own), shown(value))


def _axis(site: Site, _clues: Clues) -> Iterator[Alternative]:
    own, rank = int(number(site, "axis")), int(number(site, "rank"))
    for axis in range(rank):
        if axis != own:
            yield Alternative({"axis": axis}, shown(own), shown(axis))


def _causal(site: Site, _clues: Clues) -> Iterator[Alternative]:
    if site.settings["masked"] or site.settings["causal"]:
        yield Alternative({"unmasked": True}, "there", "missing")
    else:
        yield Alternative({"causal": True}, "missing", "causal")


def _shift(site: Site, _clues: Clues) -> Iterator[Alternative]:
    if site.settings["masked"] or site.settings["causal"]:
        for diagonal in (-1, 1):
            told = "one position less" if diagonal < 0 else "one position ahead"
            yield Alternative({"shift": diagonal}, "up to itself", told)


def _polarity(site: Site, _clues: Clues) -> Iterator[Alternative]:
    if site.settings["masked"]:
        yield Alternative({"inverted": True}, "hides or shows", "the other way round")


def _diagonal(site: Site, _clues: Clues) -> Iterator[Alternative]:
    own = int(number(site, "diagonal"))
    for value in (own - 1, own + 1):
        yield Alternative({"diagonal": value}, shown(own), shown(value))


def _turned(_site: Site, _clues: Clues) -> Iterator[Alternative]:
    yield Alternative({"turned": True}, "shows one side", "shows the other side")


def _unmasked(site: Site, _clues: Clues) -> Iterator[Alternative]:
    yield Alternative({"skip": True}, "there", "missing")
    if site.kind == "mask":
        yield Alternative({"fill": 0.0}, "minus infinity", "zero, which a softmax still counts")


def _parts(site: Site, clues: Clues) -> Iterator[Alternative]:
    """Parts of a packed tensor that change places."""
    count = site.settings["count"]
    if not isinstance(count, int):
        return
    packed = "the packed parts"
    if count == 3 and clues.has("softmax", "attention"):
        packed = "the packed query, key and value"
    elif any(s.settings.get("name") in ("sigmoid", "tanh") for s in clues.sites):
        packed = "the packed gates"  # of a recurrent cell, whose sigmoid may be written out
    own = tuple(range(count))
    for order in permutations(own):
        if order != own:
            told = [", ".join(str(i + 1) for i in o) for o in (own, order)]
            yield Alternative({"parts": order}, told[0], told[1], f"the order of {packed}")


def _merged(site: Site, clues: Clues) -> Iterator[Alternative]:
    if clues.has("softmax", "attention") and site.settings["rank"] == 4:
        yield Alternative({"skip": True}, "turned back", "left as they stand")


def _heads(site: Site, _clues: Clues) -> Iterator[Alternative]:
    if site.settings.get("heads"):
        told = "first, then the numbers of each", "last, behind the numbers of each"
        yield Alternative({"heads last": True}, *told)


def _scores(site: Site, clues: Clues) -> Iterator[Alternative]:
    if site.settings.get("scores"):
        own = number(site, "number")
        known = [1.0, own**2, *(c for v in clues.constants if v > 0 for c in (v, 1 / v))]
        heads = [own * factor**-0.5 for factor in (2, 3, 4, 6, 8, 12, 16)]
        for value in dict.fromkeys([*known, *heads]):
            if abs(value - own) > 1e-12 * abs(own):
                yield Alternative({"number": value}, shown(own), shown(value))


def _inverted(_site: Site, _clues: Clues) -> Iterator[Alternative]:
    yield Alternative({"inverted": True}, "where it is true", "where it is false")


_ATTENTION: Final = ("attention",)
KINDS: Final = (
    SiteKind("order of packed parts", "the order of the packed parts", ("split",), _parts),
    SiteKind(
        "factor of attention scores", "the scale of the attention scores", ("constant",), _scores
    ),
    SiteKind("missing mask", "the mask of the attention scores", ("triangle", "mask"), _unmasked),
    SiteKind("turned mask", "the causal mask of the scores", ("triangle",), _turned),
    SiteKind(
        "axes of merged heads", "the axes of the heads when they are merged", ("turn",), _merged
    ),
    SiteKind("split of heads", "the order of the heads in a reshape", ("flatten",), _heads),
    SiteKind("scale of attention", "the scale of the attention scores", _ATTENTION, _scale),
    SiteKind(
        "axis of a softmax", "the axis of the softmax", ("softmax",), _axis, "softmax-implicit-dim"
    ),
    SiteKind("mask of attention", "the mask of the attention", _ATTENTION, _causal),
    SiteKind("shifted mask", "what the attention mask shows", _ATTENTION, _shift),
    SiteKind("shifted triangle", "the diagonal of the causal mask", ("triangle",), _diagonal),
    SiteKind(
        "polarity of an attention mask",
        "what the attention mask means",
        _ATTENTION,
        _polarity,
        "attention-mask-polarity",
    ),
    SiteKind(
        "polarity of a mask",
        "what the mask fills in the scores",
        ("mask",),
        _inverted,
        "attention-mask-polarity",
    ),
)
