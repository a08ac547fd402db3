"""Hypotheses on a whole loss: a factor, its root, and labels that are counted from another number.

The factor comes from the two losses; that all gradients have it as well is what is tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from twofold.port.causes.hypotheses import Hypothesis
from twofold.port.causes.hypothesis import Clues, shown
from twofold.port.causes.sites import WHOLE_LOSS, Change
from twofold.port.side import Array
from twofold.port.trees import mapped

NEAR: Final = 1e-11
NO_LABEL: Final = -100
"""The number that `torch.nn.functional.cross_entropy` ignores if none is given."""
SMOOTH: Final = "smooth-l1-or-huber"
MOST: Final = 100_000
"""The largest count that is looked for in a factor."""


def of_loss(clues: Clues, own: float, other: float) -> Iterator[Hypothesis]:
    """What may make the loss of the changed side that of the other one."""
    for step in (-1, 1):
        yield Hypothesis(
            "offset of labels",
            "the labels (classes)",
            "counted as they are",
            f"with an offset: shifted by {step:+d}",
            batch=lambda batch, step=step: mapped(batch, lambda _, v: _moved(v, step)),  # type: ignore[misc]
        )
    factor = _factor(own, other)
    if factor is not None:
        yield from _known_factor(clues, factor)
    if own > 0 and abs(own**0.5 - other) <= NEAR * other:
        yield _whole("root of a loss", "the loss", ("the mean", "its root (sqrt)"), {"root": True})


def any_factor(own: float, other: float) -> Iterator[Hypothesis]:
    """A factor of which nothing more is known; to be tried behind all that say more."""
    factor = _factor(own, other)
    if factor is None:
        return
    told = "1", shown(factor)
    yield _whole("factor of a loss", "the factor of the loss", told, {"times": factor})


def _factor(own: float, other: float) -> float | None:
    factor = float(other / own) if own else float("nan")
    return factor if np.isfinite(factor) and factor > 0 else None


def _moved(value: Array, step: int) -> Array:
    """Labels that count, moved; those that become negative do not count."""
    if value.dtype.kind not in "iu":
        return value
    moved = np.where(value >= 0, value + step, value)
    return np.where((value >= 0) & (moved < 0), NO_LABEL, moved)


def _whole(
    kind: str, what: str, told: tuple[str, str], new: dict[str, object], trap: str = ""
) -> Hypothesis:
    return Hypothesis(kind, what, *told, trap, (Change(WHOLE_LOSS, new),))


def _known_factor(clues: Clues, factor: float) -> Iterator[Hypothesis]:
    """A factor that is a number of the loss's own, or how many numbers a mean is of."""
    new: dict[str, object] = {"times": factor}
    yield from _of_divergence(clues, factor)
    limits = [s.settings["number"] for s in clues.sites if s.kind == "compare"]
    limits += [s.settings["beta"] for s in clues.sites if "beta" in s.settings]
    for limit in limits:
        if isinstance(limit, float) and limit > 0 and limit != 1:
            texts = ("not divided by its beta", f"divided by its beta, {shown(limit)}")
            if abs(factor * limit - 1) <= NEAR:
                yield _whole("beta of smooth L1", "the smooth L1 loss", texts, new, SMOOTH)
            if abs(factor / limit - 1) <= NEAR:
                yield _whole("beta of smooth L1", "the smooth L1 loss", texts[::-1], new, SMOOTH)
    for share, texts in (
        (factor, ("the mean of {}", "the sum")),
        (1 / factor, ("the sum", "the mean of {}")),
    ):
        count = round(share)
        if 3 <= count <= MOST and abs(share - count) <= NEAR * share:
            told = texts[0].format(count), texts[1].format(count)
            yield _whole(
                "mean or sum of a loss", "the reduction of the loss", told, new, "loss-reduction"
            )
    for half in (0.5, 2.0):
        if abs(factor / half - 1) <= NEAR:
            squared = any(
                s.kind == "power" or s.settings.get("name") == "mse_loss" for s in clues.sites
            )
            what = "the factor of the squared error" if squared else "the factor of the loss"
            told = "1", shown(half)
            yield _whole("factor of a loss", what, told, {"times": half}, "l2-loss-half")


def _of_divergence(clues: Clues, factor: float) -> Iterator[Hypothesis]:
    """A mean over all numbers, where a divergence is one over rows."""
    told = "the mean over all numbers", "the sum over the batch size (batchmean)"
    for site in clues.sites:
        count, own = site.settings.get("classes"), site.settings.get("reduction")
        if not isinstance(count, int) or count < 2:
            continue
        times = {"mean": (float(count), told), "batchmean": (1 / count, told[::-1])}.get(str(own))
        if times is not None and abs(factor / times[0] - 1) <= NEAR:
            new: dict[str, object] = {"times": factor}
            yield _whole("mean of a divergence", "the KL divergence", times[1], new, "kl-div-mean")
