"""Activations: the flavour of GELU, slopes, a missing one, another one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from twofold.port.causes.hypothesis import Alternative, Clues, SiteKind, number, others, shown
from twofold.port.causes.sites import Site

FLAVOURS: Final = {"none": "the exact one (erf)", "tanh": "the approximation by tanh"}
ACTIVATIONS: Final = (
    *("relu", "gelu", "tanh gelu", "quick gelu", "silu", "tanh", "sigmoid", "leaky relu", "elu"),
    "softplus",
)


def _flavour(site: Site, _clues: Clues) -> Iterator[Alternative]:
    own = str(site.settings["flavour"])
    other = "tanh" if own == "none" else "none"
    yield Alternative({"flavour": other}, FLAVOURS[own], FLAVOURS[other])


def _slope(site: Site, clues: Clues) -> Iterator[Alternative]:
    if "slope" not in site.settings:
        return
    own = number(site, "slope")
    for value in others((0.01, 0.2, 0.1, 0.3, 0.25, 0.0), clues, own, 1.0):
        yield Alternative({"slope": value}, shown(own), shown(value))


def _number_of(name: str) -> Callable[[Site, Clues], Iterator[Alternative]]:
    def alternatives(site: Site, clues: Clues) -> Iterator[Alternative]:
        own = site.settings.get(name)
        if isinstance(own, float):
            what = f"the {name} of the {site.settings['name']}"
            for value in others((1.0, 0.5, 2.0), clues, own, 100.0):
                yield Alternative({name: value}, shown(own), shown(value), what)

    return alternatives


def _missing(site: Site, _clues: Clues) -> Iterator[Alternative]:
    yield Alternative({"skip": True}, str(site.settings["name"]), "none")


def _other(site: Site, _clues: Clues) -> Iterator[Alternative]:
    own = str(site.settings["name"])
    for name in ACTIVATIONS:
        if name != own:
            yield Alternative({"activation": name}, own, name)


def _added(_site: Site, _clues: Clues) -> Iterator[Alternative]:
    for name in ACTIVATIONS:
        yield Alternative({"before": name}, "none", name)


_KINDS: Final = ("activation", "gelu")
KINDS: Final = (
    SiteKind("flavour of gelu", "the GELU", ("gelu",), _flavour, "gelu-tanh-default"),
    SiteKind("slope of an activation", "the slope below zero", ("activation",), _slope),
    SiteKind("beta of an activation", "the beta", ("activation",), _number_of("beta")),
    SiteKind("alpha of an activation", "the alpha", ("activation",), _number_of("alpha")),
    SiteKind("missing activation", "the activation", _KINDS, _missing),
    SiteKind("added activation", "the activation", ("linear", "convolution"), _added),
    SiteKind("other activation", "the activation", _KINDS, _other),
)
