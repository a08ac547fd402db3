"""What two sequences of learning rates say of the schedules that made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, final

import numpy as np

Rates = Sequence[float]
NEAR: Final = 1e-8
"""Share of the largest rate by which two rates may be off; measured ones are far better."""
SHIFTS: Final = (1, 2)


@final
@dataclass(frozen=True)
class Told:
    """A difference of two schedules in words: how the original does it, and how the port does."""

    kind: str
    what: str
    original: str
    port: str
    trap: str = ""


def told(original: Rates, port: Rates) -> Told:
    """The difference of two schedules, from the learning rates of the first steps of each."""
    a, b = list(original), list(port)
    for found in (_by_factor, _constant, _moved, _counted, _warm, _shapes):
        answer = found(a, b)
        if answer is not None:
            return answer
    return Told("schedule", "the schedule of the learning rate", listed(a), listed(b))


def listed(rates: Rates) -> str:
    """The rates of the first steps."""
    return ", ".join(f"{rate:.4g}" for rate in rates[:6])


def _near(a: Rates, b: Rates) -> bool:
    size = max((abs(v) for v in (*a, *b)), default=0.0)
    return len(a) == len(b) and all(abs(x - y) <= NEAR * size for x, y in zip(a, b, strict=True))


def _is_constant(a: Rates) -> bool:
    return _near(a, [a[0]] * len(a))


def _by_factor(a: list[float], b: list[float]) -> Told | None:
    top = int(np.argmax(np.abs(a)))
    if not a[top] or not _near(np.multiply(a, b[top] / a[top]).tolist(), b):
        return None
    return Told("learning rate", "the learning rate", f"{a[top]:.6g}", f"{b[top]:.6g}")


def _constant(a: list[float], b: list[float]) -> Told | None:
    if _is_constant(a) == _is_constant(b):
        return None
    there, moving = ("there", a) if _is_constant(b) else ("missing", b)
    text = {"there": f"there ({listed(moving)})", "missing": "missing: a constant rate"}
    other = "missing" if there == "there" else "there"
    only_warm = _rise(moving) > 0 and _is_constant(moving[_rise(moving) :])
    what = "the warm-up" if only_warm else "the schedule of the learning rate"
    return Told(f"missing {what.split()[1]}", what, text[there], text[other])


def _moved(a: list[float], b: list[float]) -> Told | None:
    for shift in SHIFTS:
        steps = "one step" if shift == 1 else f"{shift} steps"
        off = " (off by one)" if shift == 1 else ""
        for first, second, ahead in ((a, b, "port"), (b, a, "original")):
            if _near(first[shift:], second[:-shift]) and not _is_constant(first[shift:]):
                late, early = f"at its step{off}", f"{steps} ahead"
                texts = (late, early) if ahead == "port" else (early, late)
                name = "the schedule of the learning rate"
                return Told("schedule", name, *texts, "scheduler-step-order")
    return None


def _counted(a: list[float], b: list[float]) -> Told | None:
    """One side's rate stays for several steps, as when it counts epochs."""
    for slow, fast, is_port in ((b, a, True), (a, b, False)):
        for per in (2, 3, 4):
            if _near(slow, [fast[i // per] for i in range(len(slow))]):
                every = "every second step" if per == 2 else f"every {per} steps"
                texts = "after each step", f"{every}, as once per epoch"
                return Told(
                    "steps of a schedule",
                    "when the schedule goes on",
                    *(texts if is_port else texts[::-1]),
                    "scheduler-step-order",
                )
    return None


def _rise(a: list[float]) -> int:
    """Steps in which the rate rises, from the first on."""
    size = max(map(abs, a))
    count = 0
    while count + 1 < len(a) and a[count + 1] > a[count] + NEAR * size:
        count += 1
    return count


def _warm(a: list[float], b: list[float]) -> Told | None:
    rises = _rise(a), _rise(b)
    if rises == (0, 0):
        return None
    if 0 in rises:
        texts = [f"over {rise} steps" if rise else "missing" for rise in rises]
        return Told("missing warm-up", "the warm-up of the learning rate", *texts)
    if rises[0] != rises[1]:
        texts = [f"{rise} steps long" for rise in rises]
        return Told("length of a warm-up", "the length of the warm-up", *texts)
    top = rises[0]
    if _near(a[top:], b[top:]):
        starts = f"{a[0]:.6g}", f"{b[0]:.6g}"
        return Told("start of a warm-up", "the rate at which the warm-up starts", *starts)
    if _near(a[: top + 1], b[: top + 1]):
        texts = [f"{shape(v[top:]) or listed(v[top:])}" for v in (a, b)]
        return Told("decay after a warm-up", "the decay after the warm-up", *texts)
    return None


def _shapes(a: list[float], b: list[float]) -> Told | None:
    names = shape(a), shape(b)
    if not all(names):
        return None
    if names[0] != names[1]:
        return Told("shape of a schedule", "the shape of the schedule", *names)
    if names[0] == "exponential":
        rates = [f"{v[1] / v[0]:.6g}" for v in (a, b)]
        return Told("decay of a schedule", "the rate of the decay (gamma) of the schedule", *rates)
    ends = a[-1], b[-1]
    if a[0] - ends[0] and b[0] - ends[1]:
        fallen = [[(v - c[-1]) / (c[0] - c[-1]) for v in c] for c in (a, b)]
        if _near(*fallen):
            told = [f"{end:.6g}" for end in ends]
            return Told("floor of a schedule", "the end value (floor) of the schedule", *told)
    lengths = [_length(v) for v in (a, b)]
    if lengths[0] and lengths[1] and lengths[0] != lengths[1]:
        told = [f"{length} steps" for length in lengths]
        return Told("length of a schedule", f"the length of the {names[0]} schedule", *told)
    return None


def _falling(a: list[float]) -> list[float]:
    """The rates without those that stay at the end, but for the first of them."""
    last = len(a)
    while last > 1 and _near([a[last - 2]], [a[-1]]):
        last -= 1
    return a[:last]


def shape(a: list[float]) -> str:
    """The kind of a schedule; "" for an unknown one.

    Three rates in a row of any line, cosine and exponential have x(n+1) + x(n-1) = k x(n) + d with
    the same k and d: k = 2 and d = 0 for a line, |k| < 2 for a cosine, k > 2 for an exponential.
    """
    if _is_constant(a):
        return "constant"
    falling = _falling(a)
    steps = np.diff(falling)
    if any(_near([x], [y]) for x, y in pairwise(falling)):
        return "staircase"
    if len(falling) < 3:
        return ""
    if _near(steps.tolist(), [float(steps[0])] * len(steps)):
        return "linear (a straight line)"
    ratios = [y / x if x else 0.0 for x, y in pairwise(falling)]
    if _near(ratios, [ratios[0]] * len(ratios)) and ratios[0] > 0:
        return "exponential"
    return "cosine" if _cosine(falling) is not None else ""


def _cosine(falling: list[float]) -> float | None:
    """The steps of half a turn of the cosine; None if it is none."""
    x = np.array(falling)
    if len(x) < 5:
        return None
    matrix = np.stack([x[1:-1], np.ones(len(x) - 2)], 1)
    sums = x[2:] + x[:-2]
    (k, d), *_ = np.linalg.lstsq(matrix, sums, rcond=None)
    if np.abs(matrix @ (k, d) - sums).max() > 1e-6 * np.abs(x).max() or not -2 < k < 2 - NEAR:
        return None
    return float(np.pi / np.arccos(k / 2))


def _length(a: list[float]) -> int:
    """The number of steps of a line or a cosine; 0 if unknown."""
    falling = _falling(a)
    turn = _cosine(falling)
    if turn is not None:
        return round(turn)
    step = falling[0] - falling[1] if len(falling) > 1 else 0.0
    if len(falling) < len(a):
        return len(falling) - 1
    return round(falling[0] / step) if step > 0 else 0
