"""What training adds: dropout, losses, gradients that are cut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from twofold.port.causes.hypothesis import Alternative, Clues, SiteKind, number, others, shown
from twofold.port.causes.sites import Site


def _dropout(site: Site, _clues: Clues) -> Iterator[Alternative]:
    own = bool(site.settings["on"])
    told = {True: "on", False: "off"}
    if number(site, "rate") > 0:
        yield Alternative({"on": not own}, told[own], told[not own])


def _rate(site: Site, clues: Clues) -> Iterator[Alternative]:
    own = number(site, "rate")
    constants = [1 - c for c in clues.constants if 0 < c < 1]
    for value in dict.fromkeys([*others((0.1, 0.2, 0.3, 0.5), clues, own, 1.0), *constants]):
        if value != own and 0 <= value < 1 and site.settings["on"]:
            yield Alternative({"rate": value}, shown(own), shown(value))


def _reduction(site: Site, _clues: Clues) -> Iterator[Alternative]:
    own = str(site.settings["reduction"])
    for other in ("mean", "sum"):
        if other != own:
            yield Alternative({"reduction": other}, f"the {own}", f"the {other}")
    if site.settings["name"] == "kl_div" and own == "mean":
        yield Alternative({"reduction": "batchmean"}, "the mean", "the sum over the batch size")


def _ignored(site: Site, _clues: Clues) -> Iterator[Alternative]:
    if site.settings.get("ignored") and site.settings["reduction"] == "mean":
        yield Alternative({"counts ignored": True}, "left out of the count", "counted")
    elif "ignored" in site.settings:
        yield Alternative({"ignored zero": True}, "counted", "left out where they are 0")


def _smoothing(site: Site, clues: Clues) -> Iterator[Alternative]:
    if "smoothing" not in site.settings:
        return
    own = number(site, "smoothing")
    constants = [1 - c for c in clues.constants if 0 < c < 1]
    for value in dict.fromkeys([*others((0.1, 0.0, 0.05, 0.2), clues, own, 0.99), *constants]):
        if value != own:
            yield Alternative({"smoothing": value}, shown(own), shown(value))


def _half(_site: Site, _clues: Clues) -> Iterator[Alternative]:
    yield Alternative({"factor": 0.5}, "1", "0.5")
    yield Alternative({"factor": 2.0}, "1", "2")


def _flavour(site: Site, _clues: Clues) -> Iterator[Alternative]:
    own = str(site.settings["name"])
    flavours = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
    for other in flavours if own in flavours else ():
        if other != own:
            yield Alternative({"flavour": other}, own, other)


def _twice(site: Site, _clues: Clues) -> Iterator[Alternative]:
    if site.settings["name"] == "cross_entropy":
        yield Alternative({"softmax twice": True}, "scores", "probabilities, taken for scores")


def _cut(_site: Site, _clues: Clues) -> Iterator[Alternative]:
    yield Alternative({"detach": True}, "goes through", "is cut")


def _uncut(_site: Site, _clues: Clues) -> Iterator[Alternative]:
    yield Alternative({"skip": True}, "is cut", "goes through")


_LOSS: Final = ("loss",)
KINDS: Final = (
    SiteKind("dropout on or off", "the dropout", ("dropout",), _dropout, "dropout-functional-eval"),
    SiteKind("rate of dropout", "the rate of the dropout", ("dropout",), _rate),
    SiteKind(
        "mean or sum of a loss", "the reduction of the loss", _LOSS, _reduction, "loss-reduction"
    ),
    SiteKind("ignored labels", "the labels that do not count", _LOSS, _ignored, "ce-ignore-index"),
    SiteKind("label smoothing", "the smoothing of the labels", _LOSS, _smoothing),
    SiteKind("factor of a loss", "the factor of the loss", _LOSS, _half, "l2-loss-half"),
    SiteKind("flavour of a loss", "the loss", _LOSS, _flavour, "smooth-l1-or-huber"),
    SiteKind("softmax twice", "what the loss takes", _LOSS, _twice, "ce-softmax-twice"),
)

OF_GRADIENTS: Final = (
    SiteKind("gradient not cut", "the gradient", ("detach",), _uncut),
    SiteKind(
        "cut gradient",
        "the gradient",
        (
            *("linear", "convolution", "embedding", "layer norm", "softmax", "attention"),
            *("activation", "gelu", "batch norm"),
        ),
        _cut,
    ),
)
"""Kinds that only gradients show."""
