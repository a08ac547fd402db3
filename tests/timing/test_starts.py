"""The parts of a start: they add up, none is negative, and what is not known is said to be so."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console
from timing_fakes import FakeClock, FakeSession, FakeWorker

from twofold.cli.time_starts import print_starts
from twofold.engines.build_time import BuildTime
from twofold.spec.experiment import Experiment
from twofold.timing import summary
from twofold.timing.harness import measure_rounds
from twofold.timing.process import with_built
from twofold.timing.result import ColdStart, EngineTiming, Noise, TimingResult
from twofold.timing.statistics import Interval

UNKNOWN = ColdStart(1.0, 2.0, 3.0, 1)
KNOWN = ColdStart(1.23, 0.456, 17.8, 1, trace_s=0.0612, compile_s=17.1, built_in_open_s=0.1)


def start_of(**of_session: Any) -> ColdStart:
    """The cold start of a fake engine that takes 1 ms for a step and is open after 0.25 s."""
    clock = FakeClock()
    built_in_open = of_session.pop("built_in_open", BuildTime())
    session = FakeSession(clock, 1e-3, noise=0.0, **of_session)
    worker = FakeWorker("a", clock, session, built_in_open=built_in_open)
    rounds = measure_rounds([worker], seconds=1.0, seed=0, clock=clock)
    start = summary.engine_timing(rounds.runs[0], 0).cold_start
    assert start is not None
    return start


def parts_of(start: ColdStart) -> list[float]:
    parts = (start.import_s, start.opening_s, start.trace_s, start.compile_s, start.first_run_s)
    known = [part for part in parts if part is not None]
    assert len(known) == len(parts)
    return known


def test_the_first_step_is_tracing_compiling_and_a_run() -> None:
    start = start_of(compile_s=0.5, trace_s=0.2)
    assert parts_of(start) == pytest.approx([0.75, 0.25, 0.2, 0.3, 1e-3])
    assert sum(parts_of(start)) == pytest.approx(start.total_s)


def test_what_is_built_while_opening_counts_there() -> None:
    start = start_of(built_in_open=BuildTime(0.05, 0.1), compile_s=0.5, trace_s=0.2)
    assert (start.open_s, start.first_step_s) == pytest.approx((0.25, 0.501))  # as the wall has it
    assert parts_of(start) == pytest.approx([0.75, 0.1, 0.25, 0.4, 1e-3])
    assert sum(parts_of(start)) == pytest.approx(start.total_s)


def test_an_engine_that_builds_nothing_runs_at_once() -> None:
    start = start_of(compiles=lambda _: False)
    assert (start.trace_s, start.compile_s) == (0.0, 0.0)
    assert (start.opening_s, start.first_run_s) == (start.open_s, start.first_step_s)


def test_later_building_is_not_the_starts() -> None:
    start = start_of(compiles=lambda call: call < 3, trace_s=0.1)
    assert (start.trace_s, start.compile_s) == pytest.approx((0.1, 0.4))
    assert start.later_build_s == pytest.approx(1.0)
    assert sum(parts_of(start)) == pytest.approx(start.total_s)


def test_parts_that_come_out_longer_than_their_whole_are_cut_to_it() -> None:
    start = start_of(built_in_open=BuildTime(0.1, 0.3), compiles=lambda _: False)
    assert parts_of(start) == pytest.approx([0.75, 0.0, 0.0625, 0.1875, 1e-3])
    assert sum(parts_of(start)) == pytest.approx(start.total_s)


def test_a_worker_that_cannot_tell_leaves_the_parts_open() -> None:
    start = start_of(built_in_open=None)
    assert start.first_step_s == pytest.approx(0.501)
    assert (start.trace_s, start.opening_s, start.first_run_s) == (None, None, None)
    assert start.to_json()["first_run_s"] is None


@pytest.mark.parametrize("built", [None, {"trace_s": 1.0, "compile_s": 2.0}])
def test_an_answer_carries_its_building_or_leaves_it_out(built: Any) -> None:
    answer = {"steps": 1} if built is None else {"steps": 1, "built": built}
    expected = None if built is None else BuildTime(1.0, 2.0)
    assert with_built(answer).get("built") == expected


def result_of(*engines: EngineTiming, steps: int | None = None) -> TimingResult:
    return TimingResult(
        experiment=Experiment(),
        environment={},
        unchecked=False,
        seed=0,
        seconds=1.0,
        interrupted=False,
        reference=None,
        engines=engines,
        ratios=(),
        noise=Noise(None, None),
        warnings=(),
        steps=steps,
    )


def shown(width: int, *engines: EngineTiming) -> str:
    result = result_of(*engines)
    stream = io.StringIO()
    narrow = width < 100
    print_starts(result, Console(file=stream, width=width, highlight=False), narrow=narrow)
    return stream.getvalue()


def test_both_starts_are_shown_and_add_up_to_the_total() -> None:
    warm = replace(KNOWN, first_step_s=2.8, compile_s=2.1)
    text = shown(120, EngineTiming("flax:jit", "measured", cold_start=KNOWN, warm_start=warm))
    rows = [" ".join(line.split()) for line in text.splitlines()]
    assert "flax:jit empty 1.23 s 356 ms 61.2 ms 17.1 s 739 ms 19.5 s" in rows
    assert "full 1.23 s 356 ms 61.2 ms 2.1 s 739 ms 4.49 s" in rows
    assert "not known" not in text


def test_the_time_to_a_result_stands_apart_for_both_caches() -> None:
    """1.25 s or 0.5 s to the end of the first step, 0.25 s or nothing for another program, then 99
    steps of 10 ms: 2.49 s or 1.49 s.
    """
    cold = ColdStart(0.75, 0.25, 0.25, 1, 0.0, 0.125, 0.0, later_build_s=0.25)
    warm = ColdStart(0.25, 0.125, 0.125, 1)
    step = Interval(0.01, 0.009, 0.011)
    engines = (
        EngineTiming("a", "measured", cold_start=cold, warm_start=warm, step_s=step),
        EngineTiming("b", "measured", cold_start=cold, step_s=step),
        EngineTiming("c", "failed", cold_start=cold, warm_start=warm),
    )
    times = [
        (entry["result_s"], entry["warm_result_s"])
        for entry in result_of(*engines, steps=100).to_json()["engines"]
    ]
    to_result = pytest.approx(2.49)
    assert times == [(to_result, pytest.approx(1.49)), (to_result, None), (None, None)]
    varying = replace(result_of(*engines, steps=100), batch_sizes=(8, 16))
    assert {entry["result_s"] for entry in varying.to_json()["engines"]} == {None}


def test_what_is_not_known_is_a_dash_and_nothing_is_a_nought() -> None:
    nothing = replace(KNOWN, trace_s=0.0, compile_s=0.0, built_in_open_s=0.0)
    text = shown(
        120,
        EngineTiming("loop:keras", "measured", cold_start=UNKNOWN),
        EngineTiming("torch:eager", "measured", cold_start=nothing),
        EngineTiming("torch:compile", "failed", cold_start=KNOWN),
    )
    rows = [" ".join(line.split()) for line in text.splitlines()]
    assert "loop:keras empty 1 s 2 s - - 3 s 6 s" in rows
    assert "torch:eager empty 1.23 s 456 ms 0 0 17.8 s 19.5 s" in rows
    assert "torch:compile" not in text
    assert "-: not known" in text


@pytest.mark.parametrize("width", [80, 120])
def test_the_longest_names_and_figures_fit(width: int) -> None:
    long = ColdStart(0.0612, 0.1, 0.2, 1, trace_s=0.0123, compile_s=0.0234, built_in_open_s=0.0345)
    engine = EngineTiming("torch:reduce-overhead", "measured", cold_start=long, warm_start=UNKNOWN)
    text = shown(width, engine)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "…" not in text
    assert "torch:reduce-overhead" in text
    assert "65.5 ms" in text
    assert "first run: without the tracing and compiling in them" in text
