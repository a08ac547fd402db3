"""What training adds: dropout, losses, gradients that are cut."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import Final

from twofold.port.causes.hypothesis import Alternative, Clues, SiteKind, number, others, shown
from twofold.port.causes.sites import Site
from twofold.port.where.operations import LOSS


def _dropout(site: Site, clues: Clues) -> Iterator[Alternative]:
    own = bool(site.settings["on"])
    told = {True: "on", False: "off"}
    if number(site, "rate") > 0:
        what = f"the dropout in {clues.mode} mode" if clues.mode else ""
        yield Alternative({"on": not own}, told[own], told[not own], what)


def _rate(site: Site, clues: Clues) -> Iterator[Alternative]:
    own = number(site, "rate")
    constants = [1 - c for c in clues.constants if 0 < c < 1]
    for value in dict.fromkeys([*others((0.0, 0.1, 0.2, 0.3, 0.5), clues, own, 1.0), *constants]):
        if value == 0 and own > 0 and site.settings["on"]:
            yield Alternative({"rate": 0.0}, shown(own), "missing", "the dropout")
        elif value != own and 0 <= value < 1 and site.settings["on"]:
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


def _ignored_number(site: Site, clues: Clues) -> Iterator[Alternative]:
    """Another number for the label that does not count, wherever the loss asks for it."""
    own = site.settings.get("ignored number")
    known = {s.settings.get("ignored number") for s in clues.sites if s.kind == "loss"}
    if isinstance(own, float) and own in known:
        for value in (-100, -1, 0, 1):
            if value != own:
                yield Alternative({"ignored": value}, f"{own:.0f}", str(value))


def _weights(site: Site, _clues: Clues) -> Iterator[Alternative]:
    own = site.settings["values"]
    if site.module != LOSS or not isinstance(own, tuple):
        return
    told = ", ".join(map(shown, own[:8]))
    yield Alternative({"values": (1.0,) * len(own)}, told, "all 1 (no weights)")
    period = next(n for n in range(1, len(own) + 1) if _repeats(own, n))
    tables = permutations(own[:period]) if period <= 4 else [own[period - 1 :: -1]]
    for table in tables:
        new = (table * len(own))[: len(own)]
        if new != own:
            yield Alternative({"values": new}, told, ", ".join(map(shown, new[:8])))


def _repeats(values: tuple[float, ...], period: int) -> bool:
    return all(value == values[i % period] for i, value in enumerate(values))


def _delta(site: Site, clues: Clues) -> Iterator[Alternative]:
    """Another delta of a loss that is square below it: it stands in several places of the loss."""
    own = site.settings.get("number")
    if site.module != LOSS or not isinstance(own, float) or not own:
        return
    limits = [s.settings["number"] for s in clues.sites if s.kind == "compare"]
    for limit in (v for v in limits if isinstance(v, float) and v and own in (v, v / 2)):
        if limit == 1 and own == 0.5:
            continue  # the half of the square
        for value in dict.fromkeys(c for c in clues.constants if c > 0 and c != limit):
            new = {"scale numbers": value / limit, "of": limit}
            yield Alternative(new, shown(limit), shown(value))


def _power(site: Site, _clues: Clues) -> Iterator[Alternative]:
    if site.module == LOSS and site.settings["exponent"] == 2:
        yield Alternative({"absolute": True}, "the squared error (L2)", "the absolute error (L1)")


def _shifted(site: Site, _clues: Clues) -> Iterator[Alternative]:
    own = site.settings.get("cut")
    if site.module == LOSS and isinstance(own, int):
        for value in (0, 1, 2, 3):
            if value != own:
                yield Alternative({"leave out": value, "of": own}, f"by {own}", f"by {value}")


def _positives(site: Site, clues: Clues) -> Iterator[Alternative]:
    """p - 1 times the targets: the weight p of the positive ones."""
    own = number(site, "number")
    if site.module == LOSS and site.settings.get("targets"):
        for value in dict.fromkeys([0.0, *clues.constants]):
            if value != own:
                yield Alternative({"number": value}, shown(own + 1), shown(value + 1))


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


def _padded(site: Site, _clues: Clues) -> Iterator[Alternative]:
    own = site.settings["padding row"]
    if own is not None:
        yield Alternative({"padding row": None}, f"row {own} gets none", "every row gets one")
        return
    for row in (0, 1, -1):
        yield Alternative({"padding row": row}, "every row gets one", f"row {row} gets none")


def _rounded(site: Site, _clues: Clues) -> Iterator[Alternative]:
    """A backward that is written by hand, against the derivative of the same forward."""
    if site.settings.get("own backward"):
        yield Alternative(
            {"written out": True},
            str(site.settings["own backward"]),
            "the derivative of the forward",
            f"the backward of the {site.settings['name']}",
        )


def _hinge(site: Site, _clues: Clues) -> Iterator[Alternative]:
    if site.settings["name"] == "hinge_embedding_loss":
        other = "the hinge loss max(0, 1 - y x)"
        yield Alternative({"hinge": True}, "the hinge embedding loss of a distance", other)


def _cut(_site: Site, _clues: Clues) -> Iterator[Alternative]:
    yield Alternative({"detach": True}, "goes through", "is cut")


def _uncut(_site: Site, _clues: Clues) -> Iterator[Alternative]:
    yield Alternative({"skip": True}, "is cut", "goes through")


_LOSS: Final = ("loss",)
KINDS: Final = (
    SiteKind(
        "number of ignored labels",
        "the number of the labels that the loss ignores",
        ("loss", "compare"),
        _ignored_number,
        "ce-ignore-index",
    ),
    SiteKind("class weights", "the class weights of the loss", ("table",), _weights),
    SiteKind("shift of labels", "the shift of the labels (targets)", ("select",), _shifted),
    SiteKind("power of an error", "the kind of loss", ("power",), _power),
    SiteKind(
        "delta of a loss",
        "the delta of the Huber (smooth L1) loss",
        ("compare", "constant"),
        _delta,
        "smooth-l1-or-huber",
    ),
    SiteKind(
        "weight of positives", "the weight of the positive targets", ("constant",), _positives
    ),
    SiteKind("dropout on or off", "the dropout", ("dropout",), _dropout, "dropout-functional-eval"),
    SiteKind("rate of dropout", "the rate of the dropout", ("dropout",), _rate),
    SiteKind(
        "mean or sum of a loss", "the reduction of the loss", _LOSS, _reduction, "loss-reduction"
    ),
    SiteKind("ignored labels", "the labels that do not count", _LOSS, _ignored, "ce-ignore-index"),
    SiteKind("label smoothing", "the smoothing of the labels", _LOSS, _smoothing),
    SiteKind("factor of a loss", "the factor of the loss", _LOSS, _half, "l2-loss-half"),
    SiteKind("flavour of a loss", "the loss", _LOSS, _flavour, "smooth-l1-or-huber"),
    SiteKind("hinge loss", "the loss", _LOSS, _hinge, "hinge-embedding"),
    SiteKind("softmax twice", "what the loss takes", _LOSS, _twice, "ce-softmax-twice"),
)

OWN_BACKWARD: Final = SiteKind(
    "own backward", "the backward of an operation", ("activation", "function"), _rounded
)
OF_GRADIENTS: Final = (
    SiteKind(
        "padding row",
        "the gradient of the embedding",
        ("embedding",),
        _padded,
        "embedding-padding-row",
    ),
    OWN_BACKWARD,
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
