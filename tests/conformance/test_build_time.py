"""Seconds of tracing and of compiling: each engine's own, told once, within what passed."""

from __future__ import annotations

from time import perf_counter

import jax
import jax.numpy as jnp
import pytest
import torch
from problems import make_problem
from twofold_jax.building import COMPILING, TRACING, BuildClock
from twofold_torch.building import DynamoClock

from twofold.engines.build_time import BuildTime
from twofold.engines.registry import open_session

TO_JAXPR, TO_MLIR = sorted(TRACING, key=len)
BUILDING = [
    "flax:op-by-op",
    "flax:nnx-jit",
    "flax:jit",
    "flax:aot",
    "flax:scan",
    pytest.param("torch:compile", marks=pytest.mark.slow),
    pytest.param("torch:compile-step", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("engine", BUILDING)
def test_building_is_told_once_and_within_the_time_it_took(engine: str) -> None:
    start = perf_counter()
    session = open_session(make_problem(), engine)
    session.run(1)
    session.synchronize()
    whole, built = perf_counter() - start, session.build_time()
    assert built.trace_s > 0
    assert built.compile_s > 0
    assert built.total_s <= whole
    session.run(1)
    assert session.build_time() == built


@pytest.mark.parametrize("engine", ["torch:eager", "torch:eager-fused", "torch:lesson"])
def test_an_engine_that_runs_what_python_says_builds_nothing(engine: str) -> None:
    session = open_session(make_problem(), engine)
    session.run(2)
    assert session.build_time() == BuildTime(0.0, 0.0)


def test_an_engine_that_compiles_ahead_does_so_while_opening() -> None:
    session = open_session(make_problem(), "flax:aot")
    built = session.build_time()
    assert built.compile_s > 0
    session.run(1)
    assert session.build_time() == built


def test_a_session_is_not_charged_for_what_others_build() -> None:
    session = open_session(make_problem(), "flax:jit")
    session.run(1)
    built = session.build_time()
    open_session(make_problem(rows=52), "flax:jit").run(1)
    jax.jit(lambda x: x * 3.25 - 1.0)(jnp.ones(11))
    assert session.build_time() == built


def test_dynamos_time_goes_to_the_calls_that_caused_it() -> None:
    clock = DynamoClock()
    compiled = clock.around(torch.compile(lambda x: x * 3.25 - 1.0, backend="eager"))
    compiled(torch.ones(3))
    built = clock.build_time()
    assert built.trace_s > 0
    assert built.compile_s == 0  # Inductor had no part in it
    torch.compile(lambda x: x + 0.5, backend="eager")(torch.ones(3))
    compiled(torch.ones(3))
    assert clock.build_time() == built


def test_what_goes_on_inside_something_else_is_counted_once() -> None:
    clock = BuildClock()
    clock.add(TO_JAXPR, 11.0, 12.0)  # inside the first of the next three
    clock.add(COMPILING, 12.0, 12.5)
    clock.add(TO_JAXPR, 10.0, 14.0)
    clock.add(TO_MLIR, 14.0, 15.0)
    clock.add(COMPILING, 15.0, 18.0)
    assert clock.build_time() == BuildTime(trace_s=1.0 + 2.5 + 1.0, compile_s=0.5 + 3.0)


def test_a_clock_that_is_set_back_takes_nothing_away() -> None:
    clock = BuildClock()
    clock.add(COMPILING, 10.0, 9.0)
    assert clock.build_time() == BuildTime(0.0, 0.0)


def test_only_jaxs_events_of_building_count_and_only_while_listening() -> None:
    clock, inner = BuildClock(), BuildClock()
    record = jax.monitoring.record_event_time_span
    record(COMPILING, 1.0, 2.0)
    with clock.listening():
        record("/jax/something/else", 1.0, 2.0)
        record(TO_MLIR, 2.0, 2.25)
        with inner.listening():
            record(COMPILING, 3.0, 5.0)
        record(COMPILING, 6.0, 6.5)
    record(COMPILING, 7.0, 8.0)
    assert clock.build_time() == BuildTime(0.25, 0.5)
    assert inner.build_time() == BuildTime(0.0, 2.0)
