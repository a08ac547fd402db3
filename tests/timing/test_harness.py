"""The harness on a fake machine: whom it believes, what it reports, what it survives."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from timing_fakes import FakeClock, FakeSession, FakeWorker, crash_at

from twofold.errors import DeviceUnavailable, EngineFailed, FrameworkMissing
from twofold.timing import summary
from twofold.timing.harness import INTERRUPTED, Rounds, measure_rounds
from twofold.timing.protocol import Progress
from twofold.timing.result import EngineTiming
from twofold.timing.statistics import outcome_of, paired_ratio

# All calibration runs, A/A and slow-downs alike, get what two engines of four get of the default
# 20 s. Power depends on it: with 4 s and this noise, 5 % was found in 31 of 40 runs only.
CALIBRATION_S = 20.0 * 2 / 4


def session(clock: FakeClock, step_s: float = 1e-3, **options: object) -> FakeSession:
    return FakeSession(clock, step_s, **options)  # type: ignore[arg-type]


def measure(clock: FakeClock, *workers: FakeWorker, seconds: float = 4.0, seed: int = 0) -> Rounds:
    return measure_rounds(workers, seconds=seconds, seed=seed, clock=clock)


def timings(rounds: Rounds) -> dict[str, EngineTiming]:
    return {run.engine: summary.engine_timing(run, seed=0) for run in rounds.runs}


def two_engines(
    slow_down: float,
    seed: int,
    *,
    noise: float = 0.05,
    drift: Callable[[float], float] = lambda _: 1.0,
) -> Rounds:
    clock = FakeClock()
    workers = [
        FakeWorker(
            name, clock, session(clock, step_s, seed=10 * seed + index, noise=noise, drift=drift)
        )
        for index, (name, step_s) in enumerate((("a", 1e-3), ("b", 1e-3 * slow_down)))
    ]
    return measure(clock, *workers, seed=seed, seconds=CALIBRATION_S)


def outcome_of_two(rounds: Rounds, seed: int, resolution: float | None = None) -> str:
    a, b = (timings(rounds)[name] for name in "ab")
    ratio = paired_ratio(b.samples_s, a.samples_s, seed)
    return outcome_of(ratio) if resolution is None else outcome_of(ratio, resolution)


def test_an_engine_against_itself_is_called_different_in_at_most_5_of_100_runs() -> None:
    outcomes = [outcome_of_two(two_engines(1.0, seed), seed) for seed in range(100)]
    assert sum(outcome != "not distinguishable" for outcome in outcomes) <= 5


def test_the_interval_alone_does_not_cry_wolf_either() -> None:
    """Without the resolution, 5 % false alarms are promised; up to 10 in 100 may be chance."""
    outcomes = [outcome_of_two(two_engines(1.0, seed), seed, resolution=0.0) for seed in range(100)]
    assert sum(outcome != "not distinguishable" for outcome in outcomes) <= 10


@pytest.mark.parametrize(("slow_down", "share"), [(1.05, 0.80), (1.10, 0.95), (1.25, 1.0)])
def test_an_injected_slow_down_is_found(slow_down: float, share: float) -> None:
    runs = 40
    found = [outcome_of_two(two_engines(slow_down, seed), seed) for seed in range(runs)]
    assert found.count("slower") >= share * runs
    assert "faster" not in found


@pytest.mark.parametrize(
    "drift",
    [
        lambda seconds: 1.0 + 0.2 * seconds,
        lambda seconds: 1.5 + 0.5 * math.sin(seconds),
        lambda seconds: 1.0 if seconds < 3.5 else 3.0,
    ],
    ids=["slows down", "swings", "jumps"],
)
def test_a_drifting_machine_leaves_the_ratio_right(drift: Callable[[float], float]) -> None:
    rounds = two_engines(1.25, seed=3, noise=0.02, drift=drift)
    a, b = (timings(rounds)[name] for name in "ab")
    ratio = paired_ratio(b.samples_s, a.samples_s, seed=0)
    assert ratio.low <= 1.25 <= ratio.high
    assert ratio.median == pytest.approx(1.25, rel=0.02)


def test_rounds_are_in_random_order_and_the_same_seed_gives_the_same() -> None:
    def orders(seed: int) -> list[str]:
        clock, order = FakeClock(), list[str]()
        workers = [
            FakeWorker(name, clock, session(clock), before_block=lambda _, n=name: order.append(n))
            for name in "abc"
        ]
        measure(clock, *workers, seed=seed, seconds=3.0)
        return order

    order = orders(1)
    rounds = ["".join(order[-3 * index :][:3]) for index in range(1, 16)]
    assert all(sorted(each) == ["a", "b", "c"] for each in rounds)
    assert len(set(rounds)) > 2
    assert orders(1) == order
    assert orders(2) != order


def test_work_that_is_only_seen_when_synchronised_is_timed() -> None:
    clock = FakeClock()
    workers = [
        FakeWorker("now", clock, session(clock, noise=0.0)),
        FakeWorker("later", clock, session(clock, noise=0.0, asynchronous=True)),
    ]
    found = timings(measure(clock, *workers))
    for timing in found.values():
        assert timing.step_s is not None
        assert timing.step_s.median == pytest.approx(1e-3)


def test_work_asked_for_before_a_block_is_not_in_it() -> None:
    clock = FakeClock()
    steps = session(clock, noise=0.0, asynchronous=True)
    worker = FakeWorker("later", clock, steps)
    worker.open()
    worker.first_step()
    steps.run(1000)
    assert worker.block(10).seconds == pytest.approx(10e-3)


def test_cold_start_holds_import_open_and_the_compiling_first_step() -> None:
    clock = FakeClock()
    found = timings(measure(clock, FakeWorker("a", clock, session(clock, noise=0.0))))["a"]
    cold = found.cold_start
    assert cold is not None
    assert (cold.import_s, cold.open_s, cold.compilations) == (0.75, 0.25, 1)
    assert cold.first_step_s == pytest.approx(0.5 + 1e-3)
    assert cold.total_s == pytest.approx(1.501)


def test_the_steady_state_begins_after_compiling_and_trending_are_over() -> None:
    clock = FakeClock()
    steps = session(
        clock,
        noise=0.01,
        compiles=lambda call: call in (0, 1, 2, 7),
        warming=lambda call: 1.0 + 4.0 * 0.7**call,
    )
    found = timings(measure(clock, FakeWorker("a", clock, steps)))["a"]
    assert found.warm_up is not None
    assert found.warm_up.steady
    assert found.compilations == 0
    assert found.step_s is not None
    assert found.step_s.median == pytest.approx(1e-3, rel=0.01)


def test_an_engine_that_never_becomes_steady_is_timed_and_said_to_be_so() -> None:
    clock = FakeClock()
    steps = session(clock, noise=0.0, warming=lambda call: 1.1**call)
    rounds = measure(clock, FakeWorker("a", clock, steps), seconds=1.0)
    found = timings(rounds)["a"]
    assert found.warm_up is not None
    assert not found.warm_up.steady
    warnings = summary.warnings_of(rounds, [found], cores=2)
    assert any("never became steady" in warning for warning in warnings)


def test_compiling_in_the_steady_state_is_counted_and_reported() -> None:
    clock = FakeClock()
    steps = session(clock, compiles=lambda call: call == 0 or (call > 60 and call % 10 == 0))
    rounds = measure(clock, FakeWorker("leaky", clock, steps), seconds=5.0)
    found = timings(rounds)["leaky"]
    assert found.compilations is not None
    assert found.compilations >= 2
    warnings = summary.warnings_of(rounds, [found], cores=2)
    assert any(f"leaky compiled {found.compilations} more programs" in w for w in warnings)


def test_an_engine_that_compiles_in_every_block_cannot_be_measured() -> None:
    clock = FakeClock()
    rounds = measure(
        clock,
        FakeWorker("always", clock, session(clock, compiles=lambda _: True)),
        FakeWorker("fine", clock, session(clock)),
    )
    found = timings(rounds)
    assert found["always"].status == "failed"
    assert "compiles again and again" in found["always"].reason
    assert found["fine"].status == "measured"


@pytest.mark.parametrize("step_s", [2e-6, 3e-4, 0.02, 0.7])
def test_blocks_are_long_enough_for_the_clock_and_no_longer_than_needed(step_s: float) -> None:
    clock = FakeClock()
    rounds = measure(clock, FakeWorker("a", clock, session(clock, step_s, noise=0.01)))
    for block in rounds.runs[0].blocks:
        assert block.seconds >= 0.8 * 0.025
        assert block.steps == 1 or block.seconds < 0.1


@pytest.mark.parametrize("at_block", [0, 3, 30], ids=["first block", "warm-up", "rounds"])
def test_a_crash_ends_one_engine_and_not_the_others(at_block: int) -> None:
    clock = FakeClock()
    workers = [
        FakeWorker("broken", clock, session(clock), before_block=crash_at(at_block, "it broke")),
        FakeWorker("fine", clock, session(clock, seed=1)),
    ]
    rounds = measure(clock, *workers)
    found = timings(rounds)
    assert (found["broken"].status, found["broken"].reason) == ("failed", "it broke")
    assert found["broken"].step_s is None
    assert found["fine"].status == "measured"
    assert len(found["fine"].samples_s) > 30
    ratio = summary.all_ratios(list(found.values()), seed=0)[0]
    assert (ratio.outcome, ratio.median) == ("could not be measured", None)
    assert "it broke" in ratio.reason
    assert all(worker.closed for worker in workers)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (FrameworkMissing("jax not installed"), "unavailable"),
        (DeviceUnavailable("no cuda"), "unavailable"),
        (EngineFailed("no answer to 'open' for 600 s; ended"), "failed"),
    ],
)
def test_an_engine_that_cannot_open_is_named_with_its_reason(error: Exception, status: str) -> None:
    clock = FakeClock()
    rounds = measure(
        clock,
        FakeWorker("gone", clock, session(clock), open_error=error),
        FakeWorker("fine", clock, session(clock)),
    )
    found = timings(rounds)
    assert (found["gone"].status, found["gone"].reason) == (status, str(error))
    assert found["fine"].status == "measured"


def test_ctrl_c_ends_all_workers_and_keeps_complete_rounds() -> None:
    clock = FakeClock()

    def interrupt(block: int) -> None:
        if block == 40:
            raise KeyboardInterrupt

    workers = [
        FakeWorker("a", clock, session(clock), before_block=interrupt),
        FakeWorker("b", clock, session(clock, seed=1)),
    ]
    rounds = measure(clock, *workers, seconds=1000.0)
    assert rounds.interrupted
    assert all(worker.closed for worker in workers)
    counts = {len(run.blocks) for run in rounds.runs}
    assert len(counts) == 1
    assert counts.pop() > 5
    assert {timing.status for timing in timings(rounds).values()} == {"measured"}
    warnings = summary.warnings_of(rounds, list(timings(rounds).values()), cores=2)
    assert any(warning.startswith("Interrupted") for warning in warnings)


def test_ctrl_c_before_the_rounds_leaves_nothing_that_looks_measured() -> None:
    clock = FakeClock()
    workers = [
        FakeWorker("a", clock, session(clock)),
        FakeWorker("b", clock, session(clock), open_error=KeyboardInterrupt()),  # type: ignore[arg-type]
    ]
    rounds = measure(clock, *workers)
    assert rounds.interrupted
    assert [run.reason for run in rounds.runs] == [INTERRUPTED] * 2
    assert {timing.status for timing in timings(rounds).values()} == {"failed"}


def test_no_engine_at_all_ends_at_once() -> None:
    assert measure(FakeClock()).runs == ()


def test_progress_goes_through_the_phases_and_ends_at_one() -> None:
    clock, seen = FakeClock(), list[Progress]()
    measure_rounds(
        [FakeWorker("a", clock, session(clock))],
        seconds=1.0,
        seed=0,
        clock=clock,
        on_progress=seen.append,
    )
    assert list(dict.fromkeys(stage.phase for stage in seen)) == ["cold start", "warm-up", "rounds"]
    fractions = [stage.fraction for stage in seen if stage.phase == "rounds"]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_a_busy_and_unsteady_machine_is_reported() -> None:
    clock = FakeClock()
    worker = FakeWorker("a", clock, session(clock, noise=0.5))
    rounds = measure_rounds(
        [worker],
        seconds=4.0,
        seed=0,
        clock=clock,
        busy_seconds=lambda: 1.5 * clock.now / 1e9,
    )
    assert rounds.other_cores == pytest.approx(1.5)
    warnings = summary.warnings_of(rounds, list(timings(rounds).values()), cores=2)
    assert any("kept 1.5 of 2 cores at work" in warning for warning in warnings)
    assert any("unsteady" in warning for warning in warnings)


def test_a_quiet_machine_gives_no_warning() -> None:
    rounds = two_engines(1.3, seed=0, noise=0.01)
    assert summary.warnings_of(rounds, list(timings(rounds).values()), cores=2) == ()
