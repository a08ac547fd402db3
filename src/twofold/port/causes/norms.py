"""Norms: epsilon and its place, variance, mean, axes, groups, and running statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from twofold.port.causes.hypothesis import Alternative, Clues, SiteKind, number, others, shown
from twofold.port.causes.sites import Site

EPSILONS: Final = (1e-6, 1e-5, 1e-12, 1e-8, 1e-3, 1e-7, 1e-4, 1e-2, 2.0**-23, 0.0)
MOST: Final = 0.1
"""The largest number that is taken for an epsilon."""
TRAPS: Final = {
    "layer norm": "layernorm-eps",
    "group norm": "groupnorm-eps",
    "rms norm": "rmsnorm-eps",
    "batch norm": "",
}


def _eps(norm: str) -> Callable[[Site, Clues], Iterator[Alternative]]:
    """Other values of epsilon: of a norm, or of a sum with a small number inside such a module."""
    owner = norm.replace(" ", "")

    def alternatives(site: Site, clues: Clues) -> Iterator[Alternative]:
        setting = "number" if site.kind == "constant" else "eps"
        own = number(site, setting)
        is_inside = site.settings.get("name") == "add" and owner in clues.kind_of(site).lower()
        if site.kind == "constant" and (not is_inside or not 0 <= own <= MOST):
            return
        for value in others(EPSILONS, clues, own, MOST):
            yield Alternative({setting: value}, shown(own), shown(value))

    return alternatives


def _variance(_site: Site, _clues: Clues) -> Iterator[Alternative]:
    yield Alternative({"variance": "unbiased"}, "divided by n", "divided by n - 1")


def _place(_site: Site, _clues: Clues) -> Iterator[Alternative]:
    yield Alternative({"place": "outside"}, "inside the root", "outside the root")


def _mean(_site: Site, _clues: Clues) -> Iterator[Alternative]:
    yield Alternative({"mean": "kept"}, "subtracted", "not subtracted")


def _axes(site: Site, _clues: Clues) -> Iterator[Alternative]:
    count, rank = site.settings["axes"], site.settings["rank"]
    if count != 1 or not isinstance(rank, int):
        return
    for axis in range(1, rank - 1):
        yield Alternative({"axis": (axis,)}, "the last one", f"number {axis}")
    if rank > 2:
        yield Alternative({"axis": tuple(range(1, rank))}, "the last one", "all but the first")


def _groups(site: Site, _clues: Clues) -> Iterator[Alternative]:
    own, channels = site.settings["groups"], site.settings["channels"]
    for value in (1, 2, 4, 8, 16, 32, 64, channels):
        if not isinstance(value, int) or not isinstance(channels, int) or value == own:
            continue
        if channels % value == 0:
            yield Alternative({"groups": value}, shown(own), shown(value))


def _statistics(site: Site, clues: Clues) -> Iterator[Alternative]:
    own = str(site.settings["statistics"])
    other = "of the batch" if own == "running" else "running"
    if site.settings["running"]:
        what = f"the statistics of the batch norm in {clues.mode}" if clues.mode else ""
        yield Alternative({"statistics": other}, own, other, what)


def _momentum(site: Site, clues: Clues) -> Iterator[Alternative]:
    own = number(site, "momentum")
    constants = [1 - c for c in clues.constants if 0 < c < 1]
    for value in dict.fromkeys([1 - own, *constants, 0.01, 0.1, 0.001, 0.05, 0.0]):
        if value != own:
            yield Alternative({"momentum": value}, shown(own), shown(value))


def _correction(site: Site, _clues: Clues) -> Iterator[Alternative]:
    own = number(site, "correction")
    told = {0.0: "n", 1.0: "n - 1"}
    yield Alternative(
        {"correction": int(own == 0)}, told.get(own, shown(own)), "n" if own else "n - 1"
    )


_LAYER: Final = ("layer norm",)
_ANY: Final = ("layer norm", "rms norm")
KINDS: Final = (
    *(
        SiteKind(
            f"epsilon of a {kind}",
            f"the epsilon of the {kind}",
            (kind, "constant"),
            _eps(kind),
            trap,
        )
        for kind, trap in TRAPS.items()
    ),
    SiteKind("batch statistics", "the statistics of the batch norm", ("batch norm",), _statistics),
    SiteKind(
        "momentum of a batch norm",
        "the share of a new batch in the running statistics",
        ("batch norm",),
        _momentum,
        "batchnorm-momentum",
    ),
    SiteKind(
        "variance of a norm",
        "the variance of the layer norm",
        _LAYER,
        _variance,
        "var-std-ddof",
    ),
    SiteKind("place of epsilon", "the place of the norm's epsilon", _ANY, _place),
    SiteKind("mean of a norm", "the mean of what is normalized", _LAYER, _mean),
    SiteKind("axes of a norm", "the axis of the layer norm", _LAYER, _axes, "layernorm-axes"),
    SiteKind("groups of a norm", "the number of groups", ("group norm",), _groups, "groupnorm-eps"),
    SiteKind(
        "biased or unbiased variance",
        "the divisor of the variance",
        ("variance",),
        _correction,
        "var-std-ddof",
    ),
)
