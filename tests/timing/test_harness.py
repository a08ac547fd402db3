"""The harness on a fake machine: whom it believes, what it reports, what it survives."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import pytest
from timing_fakes import FakeClock, FakeSession, FakeWorker, crash_at

from twofold.errors import DeviceUnavailable, EngineFailed, FrameworkMissing
from twofold.timing import summary
from twofold.timing.harness import INTERRUPTED, Rounds, measure_rounds
from twofold.timing.protocol import Progress
from twofold.timing.result import EngineTiming, Ratio
from twofold.timing.statistics import outcome_of, paired_ratio
from twofold.timing.steady import WARM_UP_LIMIT_S
from twofold.timing.timed_engine import Block, lead_in_of, timed_block

# All calibration runs, A/A and slow-downs alike, get what two engines of four get of the default
# 20 s. Power depends on it: with 4 s and this noise, 5 % was found in 31 of 40 runs only.
CALIBRATION_S = 20.0 * 2 / 4


def session(clock: FakeClock, step_s: float = 1e-3, **options: object) -> FakeSession:
    return FakeSession(clock, step_s, **options)  # type: ignore[arg-type]


def measure(clock: FakeClock, *workers: FakeWorker, seconds: float = 4.0, seed: int = 0) -> Rounds:
    return measure_rounds(workers, seconds=seconds, seed=seed, clock=clock)


def timings(rounds: Rounds) -> dict[str, EngineTiming]:
    return {run.engine: summary.engine_timing(run, 0, rounds.quiet) for run in rounds.runs}


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


def test_what_is_compiled_while_blocks_are_sized_takes_nothing_of_the_warm_ups_limit() -> None:
    """An epoch's program may take longer to compile than the limit; it is steady at once then."""
    clock = FakeClock()
    steps = session(
        clock,
        noise=0.01,
        compiles=lambda call: call in (0, 1),
        compile_s=2 * WARM_UP_LIMIT_S,
        warming=lambda call: 1.0 + 4.0 * 0.8**call,
    )
    found = timings(measure(clock, FakeWorker("a", clock, steps)))["a"]
    assert found.warm_up is not None
    assert found.warm_up.seconds > 2 * WARM_UP_LIMIT_S
    assert found.warm_up.steady


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


def busy_between(clock: FakeClock, start: float, end: float, cores: float) -> Callable[[], float]:
    """What others have used so far: some processors between two moments, else nothing."""

    def used() -> float:
        return cores * min(max(clock.now / 1e9 - start, 0.0), end - start)

    return used


def measure_beside_others(start: float, end: float, seconds: float = 8.0) -> Rounds:
    """Two engines, the second 20 % slower, and four times slower while others are at work."""
    clock = FakeClock()

    def disturbed(now: float) -> float:
        return 4.0 if start <= now < end else 1.0

    workers = [
        FakeWorker("a", clock, session(clock, 1e-3, noise=0.01)),
        FakeWorker("b", clock, session(clock, 1.2e-3, noise=0.01, seed=1, drift=disturbed)),
    ]
    busy = busy_between(clock, start, end, cores=1.0)
    return measure_rounds(workers, seconds=seconds, seed=0, clock=clock, busy_seconds=busy, cores=2)


def ratio_in(rounds: Rounds) -> Ratio:
    found = timings(rounds)
    return summary.ratio_of(found["b"], found["a"], 0, rounds.quiet)


def test_rounds_that_others_disturbed_are_left_out_and_said_to_be() -> None:
    rounds = measure_beside_others(start=7.0, end=14.0)
    assert 10 <= rounds.quiet.count(False) < len(rounds.quiet) - 10
    ratio = ratio_in(rounds)
    assert ratio.outcome == "slower"
    assert ratio.median == pytest.approx(1.2, rel=0.02)
    found = timings(rounds)["b"]
    assert found.step_s is not None
    assert found.step_s.high < 1.3e-3
    assert len(found.samples_s) == len(rounds.quiet)  # raw samples are all kept
    warnings = summary.warnings_of(rounds, list(timings(rounds).values()), cores=2)
    assert any(warning.startswith("Left out of the figures") for warning in warnings)


def test_time_that_others_took_is_made_up_for_within_limits() -> None:
    quiet, disturbed = measure_beside_others(1e6, 2e6), measure_beside_others(7.0, 11.0)
    assert quiet.seconds < 8.0 + 1.0
    assert 8.0 + 2.0 < disturbed.seconds <= 16.0 + 1.0


def test_on_a_busy_machine_the_ratio_is_withheld_with_its_reason() -> None:
    rounds = measure_beside_others(start=0.0, end=1e6)
    assert not any(rounds.quiet)
    ratio = ratio_in(rounds)
    assert (ratio.outcome, ratio.median) == ("could not be measured", None)
    assert "other programs disturbed" in ratio.reason
    warnings = summary.warnings_of(rounds, list(timings(rounds).values()), cores=2)
    assert any(warning.startswith("No ratios, and step times are rough") for warning in warnings)


def test_a_handful_of_rounds_gives_no_ratio_however_clear_it_looks() -> None:
    clock = FakeClock()
    workers = [
        FakeWorker("a", clock, session(clock, 1.0, noise=0.001)),
        FakeWorker("b", clock, session(clock, 3.0, noise=0.001, seed=1)),
    ]
    rounds = measure(clock, *workers, seconds=12.0)
    assert len(rounds.quiet) == 6
    ratio = ratio_in(rounds)
    assert (ratio.outcome, ratio.median) == ("could not be measured", None)
    assert "only 6 rounds" in ratio.reason


def test_rounds_go_on_until_there_are_enough() -> None:
    clock = FakeClock()
    rounds = measure(clock, FakeWorker("a", clock, session(clock, 1.0, noise=0.0)), seconds=8.0)
    assert len(rounds.quiet) == 10


def test_what_is_unknown_about_the_machine_is_not_held_against_it() -> None:
    assert all(two_engines(1.0, seed=0).quiet)


def test_a_warm_start_finds_what_was_compiled_and_leaves_the_first_figures_alone() -> None:
    clock = FakeClock()
    again: list[str] = []

    def restart(engine: str) -> FakeWorker:
        again.append(engine)
        return FakeWorker(engine, clock, session(clock, noise=0.0, compile_s=0.1))

    first = FakeWorker("a", clock, session(clock, noise=0.0))
    rounds = measure_rounds([first], seconds=1.0, seed=0, clock=clock, restart=restart)
    found = timings(rounds)["a"]
    assert again == ["a"]
    assert found.cold_start is not None
    assert found.warm_start is not None
    assert found.cold_start.first_step_s == pytest.approx(0.501)
    assert found.warm_start.first_step_s == pytest.approx(0.101)
    assert found.status == "measured"


def test_a_warm_start_that_fails_costs_nothing_but_itself() -> None:
    clock = FakeClock()
    broken = FakeWorker("a", clock, session(clock), open_error=EngineFailed("cache burst"))
    rounds = measure_rounds(
        [FakeWorker("a", clock, session(clock))],
        seconds=1.0,
        seed=0,
        clock=clock,
        restart=lambda _: broken,
    )
    found = timings(rounds)["a"]
    assert (found.status, found.warm_start) == ("measured", None)
    assert broken.closed


def test_only_engines_that_are_admitted_take_part_in_the_rounds() -> None:
    clock, asked, before = FakeClock(), list[list[str]](), dict[str, int]()
    took: dict[str, float] = {}
    workers = {name: FakeWorker(name, clock, session(clock)) for name in "abc"}
    workers["d"] = FakeWorker("d", clock, session(clock), open_error=EngineFailed("burst"))

    def admit(engines: Mapping[str, float]) -> list[str]:
        asked.append(list(engines))
        took.update(engines)
        before.update({name: worker.blocks for name, worker in workers.items()})
        return ["a", "c"]

    rounds = measure_rounds(list(workers.values()), seconds=1.0, seed=0, clock=clock, admit=admit)
    assert asked == [["a", "b", "c"]]
    for run in rounds.runs[:2]:
        assert run.opened is not None
        assert run.first is not None
        assert run.warm_up is not None
        cold = run.opened.import_s + run.opened.open_s + run.first.seconds
        assert took[run.engine] == pytest.approx(cold + run.warm_up.seconds)
    assert [(run.engine, run.status) for run in rounds.runs] == [
        ("a", "measured"),
        ("c", "measured"),
        ("d", "failed"),
    ]
    assert (workers["b"].blocks, workers["b"].closed) == (before["b"], 1)
    for name in "ac":
        assert workers[name].blocks - before[name] == len(rounds.quiet) > 0


def test_nobody_is_asked_to_admit_where_nothing_starts() -> None:
    clock = FakeClock()
    broken = FakeWorker("a", clock, session(clock), open_error=EngineFailed("burst"))

    def admit(engines: Mapping[str, float]) -> list[str]:
        raise AssertionError(engines)

    rounds = measure_rounds([broken], seconds=1.0, seed=0, clock=clock, admit=admit)
    assert [run.reason for run in rounds.runs] == ["burst"]


def test_ctrl_c_while_admitting_ends_all_processes() -> None:
    clock = FakeClock()
    workers = [FakeWorker(name, clock, session(clock)) for name in "ab"]

    def admit(_: Mapping[str, float]) -> list[str]:
        raise KeyboardInterrupt

    rounds = measure_rounds(workers, seconds=1.0, seed=0, clock=clock, admit=admit)
    assert rounds.interrupted
    assert {run.reason for run in rounds.runs} == {INTERRUPTED}
    assert all(worker.closed for worker in workers)


def test_programs_compiled_after_the_first_step_are_counted() -> None:
    clock = FakeClock()
    steps = session(clock, noise=0.01, compiles=lambda call: call in (0, 1, 2))
    found = timings(measure(clock, FakeWorker("a", clock, steps)))["a"]
    assert (found.recompilations, found.compilations) == (2, 0)


def test_changing_batch_sizes_are_timed_in_whole_turns() -> None:
    clock = FakeClock()

    class Turns(FakeWorker):
        def first_step(self) -> Block:
            return timed_block(self.session, 4, self.clock)

        def block(self, steps: int) -> Block:
            return timed_block(self.session, -(-steps // 4) * 4, self.clock)

    found = timings(measure(clock, Turns("a", clock, session(clock, noise=0.0))))["a"]
    assert found.step_s is not None
    assert found.step_s.median == pytest.approx(1e-3)
    assert found.cold_start is not None
    assert found.cold_start.first_step_s == pytest.approx(0.504)


class _ColdAtFirst(FakeWorker):
    """The first 8 steps after any pause take half as long again: cold caches, sleeping threads."""

    def block(self, steps: int) -> Block:
        waking = _Waking(self.session)
        return timed_block(waking, steps, self.clock, lead_in_of(steps))


class _Waking:
    def __init__(self, session: FakeSession) -> None:
        self.session, self.cold = session, 8

    def run(self, steps: int, /) -> object:
        cold = min(self.cold, steps)
        self.cold -= cold
        return self.session.run(steps + cold // 2)

    def synchronize(self) -> None:
        self.session.synchronize()

    def compilations(self) -> int:
        return self.session.compilations()


def test_steps_that_wake_the_machine_are_not_timed() -> None:
    clock = FakeClock()
    found = timings(measure(clock, _ColdAtFirst("a", clock, session(clock, noise=0.0))))["a"]
    assert found.step_s is not None
    assert found.steps_per_block is not None
    assert lead_in_of(found.steps_per_block) >= 8  # 25 ms of 1 ms steps
    assert found.step_s.median == pytest.approx(1e-3)
    assert found.step_s.high == pytest.approx(1e-3)


def test_what_the_lead_in_compiles_is_counted() -> None:
    clock = FakeClock()
    steps = session(clock, noise=0.0, compiles=lambda call: call == 0)
    block = timed_block(steps, 6, clock, lead_in=2)
    assert (block.steps, block.compilations) == (6, 1)
    assert block.seconds == pytest.approx(6e-3)


@pytest.mark.parametrize(("steps", "turn", "lead_in"), [(1, 1, 1), (3, 1, 1), (7, 1, 3), (8, 4, 4)])
def test_the_lead_in_is_a_third_in_whole_turns(steps: int, turn: int, lead_in: int) -> None:
    assert lead_in_of(steps, turn) == lead_in


def test_blocks_sized_while_something_slowed_the_engine_down_grow_later() -> None:
    clock = FakeClock()
    steps = session(clock, noise=0.0, drift=lambda now: 50.0 if now < 3.0 else 1.0)
    found = timings(measure(clock, FakeWorker("a", clock, steps), seconds=10.0))["a"]
    assert found.step_s is not None
    assert found.steps_per_block is not None
    assert found.steps_per_block * 1e-3 >= 0.0125  # at least half of the shortest block
    assert found.step_s.median == pytest.approx(1e-3)
