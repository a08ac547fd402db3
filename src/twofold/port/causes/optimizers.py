"""Optimizers: their numbers, where epsilon and decay stand, the clip, the schedule."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Final

from twofold.port.causes.hypothesis import Alternative, Clues, SiteKind, others, shown
from twofold.port.causes.sites import Site


def _numbers(
    name: str, known: tuple[float, ...], most: float
) -> Callable[[Site, Clues], Iterator[Alternative]]:
    """Other values of a number: those of the other side, those known, and one minus them."""

    def alternatives(site: Site, clues: Clues) -> Iterator[Alternative]:
        own = site.settings.get(name)
        if not isinstance(own, float):
            return
        rest = [1 - c for c in clues.constants if 0 < c < 1]
        for value in dict.fromkeys([*others(known, clues, own, most), *rest]):
            if value != own and value <= most:
                yield Alternative({name: value}, shown(own), shown(value))

    return alternatives


def _flag(name: str, off: str, on: str) -> Callable[[Site, Clues], Iterator[Alternative]]:
    def alternatives(site: Site, _clues: Clues) -> Iterator[Alternative]:
        own = site.settings.get(name)
        if isinstance(own, bool):
            told = {False: off, True: on}
            yield Alternative({name: not own}, told[own], told[not own])

    return alternatives


_eps_inside = _flag("eps inside", "outside the root", "inside the root")


def _of_adagrad(site: Site, clues: Clues) -> Iterator[Alternative]:
    if site.settings.get("name") == "Adagrad":
        yield from _eps_inside(site, clues)


def _rate(site: Site, clues: Clues) -> Iterator[Alternative]:
    own = site.settings.get("learning rate")
    if not isinstance(own, float):
        return
    for value in dict.fromkeys([*(abs(c) for c in clues.constants), own * 10, own / 10]):
        if value != own and 0 < value < 10:
            yield Alternative({"learning rate": value}, shown(own), shown(value))


def _rising(site: Site, _clues: Clues) -> Iterator[Alternative]:
    """A momentum that rises to beta1; with an infinite decay it is beta1 from the first step on."""
    own = site.settings.get("momentum decay")
    if isinstance(own, float):
        told = [f"rises to beta1 (momentum_decay {shown(own)})", "is beta1 from the first step on"]
        yield Alternative({"momentum decay": math.inf}, *told)


def _schedule(site: Site, _clues: Clues) -> Iterator[Alternative]:
    if site.settings.get("scheduled"):
        for shift, told in ((1, "a step earlier"), (-1, "a step later")):
            yield Alternative({"schedule": shift}, "with its step", told)


def _clip(site: Site, _clues: Clues) -> Iterator[Alternative]:
    if site.settings.get("clipped"):
        yield Alternative({"clip epsilon": 0.0}, "1e-06 added to the norm", "nothing added")


def _no_clip(site: Site, _clues: Clues) -> Iterator[Alternative]:
    if site.settings.get("clipped"):
        yield Alternative({"clip": False}, "there", "missing")


def _factor(_site: Site, clues: Clues) -> Iterator[Alternative]:
    counts = [float(n) for n in (2, 3, 4, 8, 16, 32)]
    given = [c for c in clues.constants if c > 1] + [1 / c for c in clues.constants if c > 1]
    for value in dict.fromkeys([*(1 / n for n in counts), *counts, *given]):
        yield Alternative({"gradient factor": value}, "1", shown(value))


_OPTIMIZER: Final = ("optimizer",)


def _kind(
    name: str,
    what: str,
    alternatives: Callable[[Site, Clues], Iterator[Alternative]],
    trap: str = "",
) -> SiteKind:
    return SiteKind(name, what, _OPTIMIZER, alternatives, trap)


KINDS: Final = (
    _kind("clip epsilon", "the clip of the gradients", _clip, "clip-norm-epsilon"),
    _kind("missing clip", "the clip of the gradients", _no_clip),
    _kind(
        "weight decay",
        "the weight decay",
        _numbers("weight decay", (1e-2, 1e-4, 0.0, 1e-3, 0.1, 5e-4), 1.0),
        "adamw-weight-decay",
    ),
    _kind(
        "kind of weight decay",
        "the weight decay",
        _flag("decoupled", "added to the gradient (L2)", "decoupled from the gradient"),
        "adam-weight-decay-is-l2",
    ),
    _kind(
        "decay of biases",
        "the weight decay of biases and norms",
        _flag("biases decay", "missing", "there"),
        "weight-decay-of-biases",
    ),
    _kind(
        "epsilon of the optimizer",
        "the epsilon of the optimizer",
        _numbers("eps", (1e-8, 1e-7, 1e-6, 1e-10, 1e-5, 1e-3, 0.0), 0.1),
    ),
    _kind(
        "place of Adagrad's epsilon",
        "the epsilon of Adagrad",
        _of_adagrad,
        "adagrad-epsilon",
    ),
    _kind(
        "place of the optimizer's epsilon",
        "the epsilon of the optimizer",
        _eps_inside,
        "rmsprop-epsilon",
    ),
    _kind("beta1", "the first decay rate (beta1)", _numbers("beta1", (0.9, 0.95, 0.0), 1.0)),
    _kind(
        "beta2",
        "the second decay rate (beta2)",
        _numbers("beta2", (0.999, 0.99, 0.95, 0.98, 0.9), 1.0),
    ),
    _kind(
        "decay of squares",
        "the decay rate of the squares",
        _numbers("alpha", (0.99, 0.9, 0.999), 1.0),
        "rmsprop-decay",
    ),
    # Before the momentum: from a state of zero, both are the gradient times a number.
    _kind("nesterov", "Nesterov's form of the momentum", _flag("nesterov", "off", "on")),
    _kind("momentum", "the momentum", _numbers("momentum", (0.9, 0.0, 0.99), 1.0)),
    _kind(
        "dampening",
        "the dampening of the momentum",
        _numbers("dampening", (0.0, 0.9), 1.0),
        "sgd-dampening",
    ),
    _kind("centred", "the second moment", _flag("centred", "not centred", "centred")),
    _kind(
        "amsgrad",
        "the largest second moment",
        _flag("amsgrad", "not kept", "kept"),
        "amsgrad-maximum",
    ),
    _kind(
        "corrected maximum",
        "the largest second moment",
        _flag("maximum corrected", "kept before its correction", "kept after its correction"),
        "amsgrad-maximum",
    ),
    _kind("rising momentum", "the momentum of NAdam", _rising, "nadam-momentum"),
    _kind(
        "start of the squares",
        "the sum of squares at the start",
        _numbers("initial accumulator", (0.0, 0.1), 1.0),
        "adagrad-accumulator",
    ),
    _kind(
        "late step",
        "the step of a gradient",
        _flag("late", "taken at once", "taken one step later"),
        "rprop-one-step-late",
    ),
    _kind("schedule", "the schedule", _schedule, "scheduler-step-order"),
    _kind("learning rate", "the learning rate", _rate),
    _kind(
        "factor of the gradient",
        "the factor of the gradient",
        _factor,
        "accumulation-sum-or-mean",
    ),
)
BEFORE_RATES: Final = tuple(k for k in KINDS if "clip" in k.name or k.name == "late step")
"""Tried before learning rates are measured: what scales or delays every step may look like one."""
RULES: Final = tuple(kind for kind in KINDS if kind not in BEFORE_RATES)
