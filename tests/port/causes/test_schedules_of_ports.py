"""Learning rates of two schedules: what differs is told from the rates alone."""

from __future__ import annotations

import math

import pytest

from twofold.port.causes.schedules import shape, told

COUNT = range(8)
LINE = [max(1 - n / 5, 0.0) for n in COUNT]
COSINE = [0.5 * (1 + math.cos(math.pi * min(n / 5, 1))) for n in COUNT]
FLOOR = [0.1 + 0.9 * rate for rate in COSINE]
HALVED = [0.5**n for n in COUNT]
WARM = [min(0.1 + 0.45 * n, 1.0) for n in COUNT]
CASES = {
    "learning rate": (LINE, [2 * rate for rate in LINE], "1", "2"),
    "missing schedule": (LINE, [1.0] * 8, "there", "missing"),
    "missing warm-up": (WARM, [1.0] * 8, "there", "missing"),
    "schedule": (LINE[:7], LINE[1:], "at its step", "one step ahead"),
    "steps of a schedule": (LINE, [LINE[n // 2] for n in COUNT], "after each", "every second"),
    "start of a warm-up": (WARM, [min(n / 2, 1.0) for n in COUNT], "0.1", "0"),
    "length of a warm-up": (WARM, [min(0.1 + 0.3 * n, 1.0) for n in COUNT], "2 steps", "3 steps"),
    "decay after a warm-up": ([*WARM[:2], *LINE[:6]], WARM, "linear", "constant"),
    "shape of a schedule": (COSINE, LINE, "cosine", "linear"),
    "decay of a schedule": (HALVED, [0.9**n for n in COUNT], "0.5", "0.9"),
    "floor of a schedule": (FLOOR, COSINE, "0.1", "0"),
    "length of a schedule": (LINE, [1 - n / 10 for n in COUNT], "5 steps", "10 steps"),
}


@pytest.mark.parametrize("kind", CASES)
def test_a_difference_of_two_schedules_is_told(kind):
    original, port, own, other = CASES[kind]
    found = told(original, port)
    assert found.kind == kind
    assert found.original.startswith(own)
    assert found.port.startswith(other)


def test_rates_of_no_known_kind_are_listed():
    found = told([1.0, 0.3, 0.9, 0.1], [1.0, 0.2, 0.8, 0.4])
    assert found.what == "the schedule of the learning rate"
    assert (found.original, found.port) == ("1, 0.3, 0.9, 0.1", "1, 0.2, 0.8, 0.4")


@pytest.mark.parametrize(
    ("rates", "name"),
    [
        (LINE, "linear (a straight line)"),
        (FLOOR, "cosine"),
        (HALVED, "exponential"),
        ([0.5 ** (n // 2) for n in COUNT], "staircase"),
        ([1.0] * 8, "constant"),
        ([1.0, 0.9, 0.3, 0.2, 0.19, 0.05, 0.01, 0.003], ""),
    ],
)
def test_shapes(rates, name):
    assert shape(rates) == name
