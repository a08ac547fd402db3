"""How parts are put together: residuals, embeddings, positions, joins, means, constants."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from twofold.port.causes.hypothesis import Alternative, Clues, SiteKind, number, shown
from twofold.port.causes.sites import Site

MANY: Final = 8
"""Numbers in one place, from which on those that both sides have are not tried."""


def _residual(site: Site, _clues: Clues) -> Iterator[Alternative]:
    if "normed" in site.settings:
        for keep, other in ((1, "without its first part"), (0, "without its second part")):
            yield Alternative({"keep": keep}, "of both parts", other)


def _normed(site: Site, _clues: Clues) -> Iterator[Alternative]:
    known = site.settings.get("normed")
    for place, has in enumerate(known if isinstance(known, list) else []):
        if has:
            yield Alternative({"normed": place}, "from before the norm", "from behind the norm")


def _part(site: Site, clues: Clues) -> Iterator[Alternative]:
    """One of two things added, times a number."""
    width = site.settings.get("width")
    if not isinstance(width, int):
        return
    constants = [c for value in clues.constants if value for c in (value, 1 / value)]
    for part, told in enumerate(("first", "second")):
        for value in dict.fromkeys([width**0.5, width**-0.5, 0.5, 2.0, -1.0, *constants]):
            if value != 1:
                new = {"part": part, "by": value}
                yield Alternative(new, f"1 on its {told}", f"{shown(value)} on its {told}")


def _factor(site: Site, clues: Clues) -> Iterator[Alternative]:
    width = number(site, "width")
    constants = [c for value in clues.constants if value > 0 for c in (value, 1 / value)]
    for value in dict.fromkeys([width**0.5, width**-0.5, *constants]):
        if value != 1:
            yield Alternative({"factor": value}, "1", shown(value))


def _start(_site: Site, _clues: Clues) -> Iterator[Alternative]:
    for shift in (1, -1, 2):
        yield Alternative({"shift": shift}, "as they are", f"shifted by {shift:+d}")


def _branch(site: Site, clues: Clues) -> Iterator[Alternative]:
    if site.settings.get("branch"):
        own = number(site, "number")
        constants = [c for value in clues.constants if value for c in (value, 1 / value)]
        for value in dict.fromkeys([1.0, *constants]):
            if value != own:
                yield Alternative({"number": value}, shown(own), shown(value))


def _left_out(site: Site, _clues: Clues) -> Iterator[Alternative]:
    """Tokens that a slice leaves out at one end, as the class token before a mean."""
    own = site.settings.get("cut")
    if isinstance(own, int):
        for value in (0, own + 1):
            told = f"without {own} of them", f"without {value} of them" if value else "of all"
            yield Alternative({"leave out": value}, *told)


def _join(_site: Site, _clues: Clues) -> Iterator[Alternative]:
    yield Alternative({"order": "reversed"}, "the first first", "the last first")


def _mean(site: Site, _clues: Clues) -> Iterator[Alternative]:
    own = str(site.settings["name"])
    yield Alternative({"reduce": True}, f"the {own}", "the sum" if own == "mean" else "the mean")


def _taken(site: Site, _clues: Clues) -> Iterator[Alternative]:
    if "axis" not in site.settings:
        return
    own = str(site.settings["takes"])
    what = "the index that is taken along an axis" if own in ("first", "last") else ""
    for other in ("mean", "sum", "first", "last", "max"):
        if other != own:
            yield Alternative({"take": other}, f"the {own}", f"the {other}", what)


def _constant(site: Site, clues: Clues) -> Iterator[Alternative]:
    own = number(site, "number")
    alike = [other for other in clues.sites if other.kind == site.kind]
    if len(alike) > MANY and own in clues.constants:
        return  # the other side has this number too
    constants = [c for value in clues.constants if value for c in (value, 1 / value)]
    known = [1.0, own**2, abs(own) ** 0.5, 0.0]
    for value in dict.fromkeys([*constants, *known]):
        if value != own:
            yield Alternative({"number": value}, shown(own), shown(value))


KINDS: Final = (
    SiteKind("missing residual", "the sum of a residual", ("sum",), _residual),
    SiteKind("residual behind a norm", "the residual", ("sum",), _normed),
    SiteKind("scale of an embedding", "the factor of the embedding", ("embedding",), _factor),
    SiteKind("factor of a part", "the factor of a part of a sum", ("sum",), _part),
    SiteKind("offset of positions", "the positions", ("positions",), _start),
    SiteKind("scale of a branch", "the scale of a residual branch", ("constant",), _branch),
    SiteKind("tokens left out", "the tokens that are taken (pooled)", ("select",), _left_out),
    SiteKind("order of a join", "the order of what is joined (concat)", ("join",), _join),
    SiteKind("mean or sum", "what is taken over an axis", ("mean",), _mean),
    SiteKind("pooling", "what is taken of an axis", ("select", "mean"), _taken),
    SiteKind("constant", "a constant", ("constant",), _constant),
)
