"""When rounds are enough: pairs told apart, or known to be alike, within the time promised."""

from __future__ import annotations

import pytest
from timing_fakes import FakeClock, FakeSession, FakeWorker

from twofold.timing.harness import Rounds, measure_rounds
from twofold.timing.statistics import Interval
from twofold.timing.stopping import LOOKS, all_decided, is_decided
from twofold.timing.timed_engine import Block


@pytest.mark.parametrize(
    ("low", "high", "decided"),
    [
        (1.03, 1.08, True),  # slower
        (0.90, 0.97, True),  # faster
        (0.985, 1.015, True),  # alike within the resolution of 2 %
        (1.00, 1.05, False),
        (0.97, 1.01, False),
        (0.90, 1.10, False),
    ],
)
def test_a_pair_is_decided_once_its_interval_lies_on_one_side(
    low: float, high: float, decided: bool
) -> None:
    assert is_decided(Interval((low + high) / 2, low, high)) is decided


def blocks(seconds: list[float]) -> list[Block]:
    return [Block(1, each, 0) for each in seconds]


def test_one_undecided_engine_is_enough_to_go_on() -> None:
    steady, twice = blocks([1.0] * 20), blocks([2.0] * 20)
    scattered = blocks([1.0 + 0.2 * (-1) ** index for index in range(20)])
    assert all_decided([steady, twice], seed=0)
    assert not all_decided([steady, twice, scattered], seed=0)


def test_processes_that_differ_leave_a_pair_undecided() -> None:
    alike = blocks([1.0] * 20)
    apart = [Block(1, 1.0 + 0.05 * (n % 2), 0, process=n % 2) for n in range(20)]
    assert all_decided([alike, alike], seed=0)
    assert not all_decided([alike, apart], seed=0)


def rounds_of(noise: float, slow_down: float, seconds: float = 4.0) -> Rounds:
    clock = FakeClock()
    workers = [
        FakeWorker(name, clock, FakeSession(clock, step_s, seed=index, noise=noise))
        for index, (name, step_s) in enumerate((("a", 1e-3), ("b", 1e-3 * slow_down)))
    ]
    return measure_rounds(workers, seconds=seconds, seed=0, clock=clock)


def test_engines_that_differ_clearly_take_the_time_asked_for() -> None:
    assert rounds_of(noise=0.02, slow_down=1.5).seconds == pytest.approx(4.0, rel=0.05)


def test_engines_that_scatter_are_measured_longer_within_limits() -> None:
    assert rounds_of(noise=0.5, slow_down=1.05).seconds == pytest.approx(LOOKS[-1] * 4.0, rel=0.05)
