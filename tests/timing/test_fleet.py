"""Several processes of an engine: taken in turn, their differences in the interval."""

from __future__ import annotations

import random

import numpy as np
import pytest
from scipy import stats
from timing_fakes import FakeClock, FakeSession, FakeWorker

from twofold.errors import BadInput
from twofold.spec.experiment import Experiment
from twofold.timing import summary
from twofold.timing.conditions import Conditions
from twofold.timing.fleet import Fleet
from twofold.timing.harness import Rounds, measure_rounds
from twofold.timing.measure import measure
from twofold.timing.result import Ratio
from twofold.timing.statistics import Interval, centre, interval_of, outcome_of, paired_ratio

PROCESSES = 8
LAYOUT = 0.035  # how far processes of one program were seen to lie apart on one machine


def fleet(clock: FakeClock, name: str, step_s: float, seed: int, processes: int) -> Fleet:
    """Processes whose speeds differ by up to `LAYOUT` for good."""
    draws = random.Random(seed)
    return Fleet(
        [
            FakeWorker(
                name,
                clock,
                FakeSession(
                    clock,
                    step_s * (1 + LAYOUT * draws.uniform(-0.5, 0.5)),
                    seed=1000 * seed + index,
                    noise=0.005,
                ),
            )
            for index in range(processes)
        ]
    )


def outcome(slow_down: float, seed: int, processes: int) -> str:
    return ratio(slow_down, seed, processes).outcome


def ratio(slow_down: float, seed: int, processes: int) -> Ratio:
    clock = FakeClock()
    sides = [
        fleet(clock, name, step_s, 2 * seed + index, processes)
        for index, (name, step_s) in enumerate((("a", 1e-3), ("b", 1e-3 * slow_down)))
    ]
    rounds = measure_rounds(sides, seconds=2.0, seed=seed, clock=clock)
    return ratio_of_two(rounds, seed)


def ratio_of_two(rounds: Rounds, seed: int) -> Ratio:
    first, second = (summary.engine_timing(run, seed, rounds.quiet) for run in rounds.runs)
    return summary.ratio_of(second, first, seed, rounds.quiet)


def test_processes_take_turns_and_only_the_first_starts_cold() -> None:
    clock = FakeClock()
    workers = [FakeWorker("a", clock, FakeSession(clock, 1e-3)) for _ in range(3)]
    together = Fleet(workers)
    opened = together.open()
    assert [worker.session.calls for worker in workers] == [0, 0, 0]
    assert opened.import_s == 0.75
    assert together.first_step().compilations == 1
    assert [worker.session.compiled for worker in workers] == [1, 1, 1]
    assert [together.block(4).process for _ in range(5)] == [0, 1, 2, 0, 1]
    assert [worker.blocks for worker in workers] == [2, 2, 1]
    together.close()
    assert [worker.closed for worker in workers] == [1, 1, 1]


def test_the_processes_of_each_sample_are_told() -> None:
    clock = FakeClock()
    rounds = measure_rounds([fleet(clock, "a", 1e-3, 0, 3)], seconds=1.0, seed=0, clock=clock)
    timing = summary.engine_timing(rounds.runs[0], 0, rounds.quiet)
    assert len(timing.processes) == len(timing.samples_s)
    assert set(timing.processes) == {0, 1, 2}
    assert timing.step_s is not None
    assert timing.step_s.low < timing.step_s.median < timing.step_s.high


def test_one_process_each_is_fooled_by_how_processes_differ() -> None:
    """Why there are fleets: at the resolution of several, this is what happens without."""
    found = [ratio(1.0, seed, processes=1) for seed in range(60)]
    intervals = [Interval(each.median, each.low, each.high) for each in found]  # type: ignore[arg-type]
    assert sum(outcome_of(each) != "not distinguishable" for each in intervals) > 3


def test_one_process_each_tells_nothing_apart_that_processes_differ_by() -> None:
    outcomes = [outcome(1.0, seed, processes=1) for seed in range(60)]
    assert outcomes.count("not distinguishable") == 60
    slower = [outcome(1.10, seed, processes=1) for seed in range(40)]
    assert slower.count("slower") >= 38


def test_several_processes_against_themselves_are_called_different_in_at_most_5_of_100() -> None:
    outcomes = [outcome(1.0, seed, PROCESSES) for seed in range(100)]
    assert sum(found != "not distinguishable" for found in outcomes) <= 5


def test_several_processes_find_a_slow_down_of_5_percent() -> None:
    outcomes = [outcome(1.05, seed, PROCESSES) for seed in range(40)]
    assert outcomes.count("slower") >= 32
    assert "faster" not in outcomes


def pairs_median(values: np.ndarray) -> float:
    """Hodges and Lehmann's estimate, pair by pair."""
    pairs = [(a + b) / 2 for n, a in enumerate(values) for b in values[n:]]
    return float(np.median(pairs))


def test_the_centre_is_the_median_of_the_means_of_pairs() -> None:
    assert centre(np.array([1.0, 2.0, 9.0])) == 3.5  # of 1, 1.5, 2, 5, 5.5, 9
    values = np.random.default_rng(0).normal(size=31)
    assert centre(values) == pytest.approx(pairs_median(values))
    assert centre(np.append(values, [1e9] * 8)) < 1.5  # a fifth spoilt
    assert centre(np.full(2500, 3.0)) == 3.0


def test_the_centre_of_two_humps_is_steadier_than_their_median() -> None:
    draws = np.random.default_rng(1)
    series = draws.normal(0.0, 0.04, (400, 24)) + 0.36 * draws.integers(0, 2, (400, 24))
    assert np.std([centre(row) for row in series]) < 0.75 * np.std(np.median(series, axis=1))


def test_the_interval_is_students_of_the_processes_centres() -> None:
    draws = np.random.default_rng(5)
    processes = np.arange(60) % 4
    samples = np.exp(draws.normal(0.0, 0.01, 60) + 0.02 * processes)
    centres = [pairs_median(np.log(samples[processes == process])) for process in range(4)]
    expected = stats.t.interval(0.95, 3, np.mean(centres), stats.sem(centres))
    found = interval_of(samples, 0, processes.tolist())
    assert np.log([found.low, found.high]) == pytest.approx(expected, rel=1e-9)
    assert np.log(found.median) == pytest.approx(np.mean(centres), rel=1e-9)
    assert paired_ratio(samples, np.ones(60), 0, processes.tolist()) == found


@pytest.mark.parametrize("processes", [0, 65])
def test_a_number_of_processes_that_makes_no_sense_is_refused(processes: int) -> None:
    with pytest.raises(BadInput, match=r"processes: \d+ given; allowed is 1 to 64"):
        measure(Experiment.load("digits"), conditions=Conditions(processes=processes))
