"""The work of a step, the roofline, and the number of steps at which engines draw level."""

from __future__ import annotations

import pytest
from timing_fakes import FakeClock

from twofold.spec.layers.linear import Linear
from twofold.spec.layers.sequence import Placed, place
from twofold.timing.breakeven import Pace, all_break_evens, break_even, soonest
from twofold.timing.operations import Work, count_work
from twofold.timing.roofline import Roofline, best_seconds, measure_roofline
from twofold.timing.statistics import Interval


def mlp(*sizes: int, bias: bool = True) -> tuple[Placed, ...]:
    layers = [Linear(out_features=size, bias=bias) for size in sizes[1:]]
    return place(layers, sizes[0], sizes[-1])


def test_the_products_of_a_step_are_those_counted_by_hand() -> None:
    # 3-4-2, batch 5: forward 2*5*12 + 2*5*8 = 200; weights the same; inputs of layer 1 only: 80.
    assert count_work(mlp(3, 4, 2), 5, slots=2, itemsize=4).flops == 200 + 200 + 80


def test_the_traffic_of_a_single_layer_is_that_counted_by_hand() -> None:
    # 2-1 without bias: 2 parameters, SGD. Weights 5 times, inputs twice, logits 5 times, batch 3.
    work = count_work(mlp(2, 1, bias=False), 3, slots=0, itemsize=8)
    assert work.flops == 2 * (2 * 3 * 2)
    assert work.traffic_bytes == 8 * (2 * 5 + 3 * (2 * 2 + 5))
    assert work.working_set_bytes == 8 * (2 * 2 + 3 * (2 + 2))


def test_a_step_is_bounded_by_its_products_or_by_its_memory() -> None:
    limits = Roofline("float32", 1, flops_per_s=1e9, bandwidth=((2**10, 4e9), (2**20, 1e9)))
    assert limits.shortest_step_s(Work(2e9, 1e6, 2**20)) == pytest.approx(2.0)
    assert limits.shortest_step_s(Work(1e6, 3e9, 2**30)) == pytest.approx(3.0)
    assert limits.bandwidth_for(1) == pytest.approx(4e9)
    assert limits.bandwidth_for(2**15) == pytest.approx(2e9)  # halfway on both logarithmic scales


def test_the_best_of_some_trials_counts() -> None:
    clock, costs = FakeClock(), iter([5.0, 0.5, 0.3, 0.1, 0.4, 0.2])
    assert best_seconds(lambda: clock.advance(next(costs)), clock) == pytest.approx(0.1)


def test_a_machine_of_known_speed_is_measured_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    monkeypatch.setattr("numpy.matmul", lambda left, *_, **__: clock.advance(len(left) ** 3 / 1e10))
    monkeypatch.setattr("numpy.copyto", lambda target, _: clock.advance(target.nbytes / 1e9))
    limits = measure_roofline("float32", 1, clock)
    assert limits.flops_per_s == pytest.approx(2e10, rel=1e-3)
    assert [rate for _, rate in limits.bandwidth] == pytest.approx([2e9] * 5, rel=1e-3)


def pace(engine: str, cold: float, step: float, spread: float = 0.0) -> Pace:
    return Pace(engine, cold, Interval(step, step * (1 - spread), step * (1 + spread)))


def test_the_break_even_is_where_both_have_taken_the_same_time() -> None:
    eager, compiled = pace("eager", 2.0, 1e-3), pace("compiled", 10.0, 0.5e-3)
    found = break_even(compiled, eager)
    assert (found.starter, found.overtaker) == ("eager", "compiled")
    assert found.steps is not None
    assert found.steps == pytest.approx(16001)
    assert eager.time_to(found.steps) == pytest.approx(compiled.time_to(found.steps))


def test_the_break_even_carries_the_intervals_of_both_sides() -> None:
    found = break_even(pace("a", 1.0, 1.0, 0.2), pace("b", 2.0, 0.5, 0.2))
    assert found.low == pytest.approx(1 + 1 / (1.2 - 0.4))
    assert found.high == pytest.approx(1 + 1 / (0.8 - 0.6))
    vague = break_even(pace("a", 1.0, 1.0, 0.2), pace("b", 2.0, 0.9, 0.2))
    assert vague.high is None
    assert break_even(pace("a", 1.0, 0.5), pace("b", 2.0, 1.0)).steps is None


def test_every_pair_has_a_break_even_and_the_soonest_are_in_order() -> None:
    paces = [
        pace("never", 9.0, 2.0),
        pace("late", 100.0, 0.1),
        pace("middle", 10.0, 0.5),
        pace("first", 1.0, 1.0),
    ]
    assert len(all_break_evens(paces)) == 6
    assert [(round(steps), each.engine) for steps, each in soonest(paces)] == [
        (1, "first"),
        (19, "middle"),
        (226, "late"),
    ]
    for steps, each in soonest(paces):
        assert min(p.time_to(steps + 1) for p in paces) == each.time_to(steps + 1)
    assert soonest([]) == []
