"""Measuring for real: the gate, bad input, and worker processes on a small experiment."""

from __future__ import annotations

import io
import json
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from twofold.cli import time as command
from twofold.cli.time_view import print_result
from twofold.engines import registry
from twofold.errors import BadInput, EngineFailed, FrameworkMissing, SpecError, UnknownEngine
from twofold.parity.judging.verdict import ParityReport, Rung, Verdict
from twofold.report.results import read_json, write_json
from twofold.spec.experiment import Experiment
from twofold.timing.certifiers import PooledCertifier, Processes
from twofold.timing.gate import gate_of_report, open_gate
from twofold.timing.measure import measure
from twofold.timing.protocol import Progress
from twofold.timing.result import SCHEMA, TimingResult

ENGINES = ("torch:eager", "flax:jit")
frameworks = pytest.mark.skipif(
    any(registry.find_engine(engine)[0].missing_frameworks() for engine in ENGINES),
    reason="PyTorch or JAX is not installed",
)


def small(**values: object) -> Experiment:
    defaults: dict[str, object] = {
        "model__hidden": (8,),
        "model__in_features": 4,
        "model__out_features": 3,
        "data__rows": 100,
        "data__batch_size": 16,
    }
    return Experiment.load("lesson").with_values(**(defaults | values))


class Certifier:
    def __init__(self, engine: str, answer: Mapping[str, Any] | Exception) -> None:
        self.engine, self.answer, self.closed = engine, answer, False

    def certify(self) -> Mapping[str, Any]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def close(self) -> None:
        self.closed = True


def test_only_engines_that_pass_parity_go_through_the_gate() -> None:
    certifiers = [
        Certifier("a", {"passed": True}),
        Certifier("b", {"passed": False, "status": "diverges", "reason": "at update"}),
        Certifier("c", EngineFailed("it burst")),
        Certifier("d", FrameworkMissing("jax not installed")),
    ]
    gate = open_gate(certifiers, lambda _: None)
    assert gate.passed == ("a",)
    assert [(entry.engine, entry.status) for entry in gate.refused] == [
        ("b", "diverges"),
        ("c", "failed"),
        ("d", "unavailable"),
    ]
    assert gate.refused[0].reason == "at update"
    assert all(certifier.closed for certifier in certifiers)


class Waiting:
    """Answers only when its process is ended."""

    def __init__(self, engine: str) -> None:
        self.engine, self.ended = engine, threading.Event()

    def certify(self) -> Mapping[str, Any]:
        assert self.ended.wait(20)
        raise EngineFailed("ended")

    def close(self) -> None:
        self.ended.set()


def test_engines_are_certified_side_by_side_and_kept_in_their_order() -> None:
    slow, said = Waiting("slow"), list[Progress]()

    def tell(at: Progress) -> None:
        said.append(at)
        if at.fraction > 0:
            slow.close()

    gate = open_gate([slow, Certifier("b", {"passed": True})], tell, at_once=2)
    assert (gate.passed, gate.refused[0].engine) == (("b",), "slow")
    assert [(at.engine, at.fraction) for at in said] == [("slow, b", 0.0), ("slow", 0.5)]


def test_a_lane_that_is_done_takes_the_last_engine_of_the_other() -> None:
    """The one engine of `y` is done while the first of `x` still works."""
    slow, said = Waiting("x:slow"), list[str]()
    others = [Certifier(name, {"passed": True}) for name in ("x:next", "x:last", "y:only")]

    def tell(at: Progress) -> None:
        said.append(at.engine or "")
        if at.fraction >= 0.75:
            slow.close()

    gate = open_gate([slow, *others], tell, at_once=2)
    assert gate.passed == ("x:next", "x:last", "y:only")
    assert said == ["x:slow, y:only", "x:slow, x:last", "x:slow, x:next", "x:slow"]


class FakeProcess:
    def __init__(self, engine: str) -> None:
        self.engine, self.certified, self.closed = engine, list[str](), 0

    def certify(self) -> Mapping[str, Any]:
        self.certified.append(self.engine)
        if self.engine == "x:bursts":
            raise EngineFailed("it burst")
        return {"passed": True}

    def close(self) -> None:
        self.closed += 1


def test_a_process_certifies_all_engines_of_its_backend_until_it_breaks() -> None:
    started: list[FakeProcess] = []

    def start(engine: str) -> FakeProcess:
        started.append(FakeProcess(engine))
        return started[-1]

    processes = Processes(start)
    names = ("x:a", "x:bursts", "x:b", "y:c", "x:d")
    gate = open_gate([PooledCertifier(name, processes) for name in names], lambda _: None)
    assert gate.passed == ("x:a", "x:b", "y:c", "x:d")
    assert [process.certified for process in started] == [
        ["x:a", "x:bursts"],
        ["x:b", "x:d"],
        ["y:c"],
    ]
    assert [process.closed for process in started] == [1, 0, 0]
    processes.close()
    assert [process.closed for process in started] == [1, 1, 1]


def test_what_is_ended_before_it_began_certifies_nothing() -> None:
    started: list[FakeProcess] = []
    processes = Processes(lambda engine: started.append(FakeProcess(engine)) or started[-1])
    certifier = PooledCertifier("x:a", processes)
    certifier.close()
    with pytest.raises(EngineFailed, match="ended before"):
        certifier.certify()
    certifier.close()
    assert [(process.certified, process.closed) for process in started] == [([], 1)]


def test_ctrl_c_at_the_gate_ends_every_process() -> None:
    waiting = [Waiting(name) for name in "abc"]

    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_gate(waiting, interrupt, at_once=2)
    assert all(each.ended.is_set() for each in waiting)


def rung(engine: str, verdict: Verdict, precision: Any = "float32") -> Rung:
    return Rung("update", engine, precision, verdict, None, None, "a note")


def test_a_report_at_hand_opens_the_gate_in_its_own_precision_only() -> None:
    experiment = small()
    report = ParityReport(
        experiment,
        {},
        (
            rung("a", "explained"),
            rung("a", "diverges", "float64"),
            rung("b", "diverges"),
            rung("c", "certified", "float64"),
            rung("d", "not run"),
        ),
    )
    gate = gate_of_report(report, experiment, ["a", "b", "c", "d"])
    assert gate.passed == ("a",)
    assert [entry.status for entry in gate.refused] == ["diverges", "failed", "failed"]
    assert gate.refused[0].reason == "parity diverges at update: a note"
    with pytest.raises(BadInput, match="very experiment"):
        gate_of_report(report, small(seed=1), ["a"])


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"engines": ["torch:eagre"]}, UnknownEngine, "did you mean torch:eager"),
        ({"engines": []}, BadInput, "engines: none given"),
        ({"threads": 0}, BadInput, "threads: 0 given"),
        ({"threads": 10_000}, BadInput, "threads: 10000 given"),
        ({"seconds": 0.0}, BadInput, "seconds: 0.0 given"),
        ({"seconds": float("nan")}, BadInput, "seconds: nan given"),
        ({"seed": -1}, BadInput, "seed: -1 given"),
    ],
)
def test_bad_input_is_refused_before_anything_starts(
    options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        measure(small(), **options)


def test_draws_that_parity_cannot_judge_are_refused() -> None:
    with pytest.raises(SpecError, match="--unchecked"):
        measure(small(rng="native"))


@pytest.fixture(scope="module")
def result() -> TimingResult:
    return measure(small(), engines=list(reversed(ENGINES)), threads=1, seconds=0.5, unchecked=True)


@frameworks
def test_real_workers_measure_both_frameworks(result: TimingResult) -> None:
    assert [(e.engine, e.status, e.reason) for e in result.engines] == [
        ("torch:eager", "measured", ""),
        ("flax:jit", "measured", ""),
    ]
    for engine in result.engines:
        assert engine.step_s is not None
        assert 0 < engine.step_s.low <= engine.step_s.median <= engine.step_s.high
        assert engine.cold_start is not None
        assert engine.cold_start.total_s > engine.step_s.median
        assert engine.compilations == 0
        assert engine.rows_per_step == 16
        assert engine.dropped_partial_batch is True  # 100 training rows in batches of 16
        assert engine.peak_memory_bytes is not None
        assert engine.peak_memory_bytes > 2**24
        assert engine.framework is not None
    assert result.reference == "torch:eager"
    assert result.unchecked


@frameworks
def test_a_real_result_is_written_and_read(result: TimingResult, tmp_path: Path) -> None:
    path = write_json(tmp_path / "timing.json", result.to_json(), non_finite="refuse")
    found = read_json(path, SCHEMA)
    assert found["environment"]["threads"] == 1
    assert len(found["environment"]["cpus"]) == 1
    assert Experiment.model_validate_json(json.dumps(found["experiment"])) == result.experiment
    entry = found["engines"][0]
    assert len(entry["samples_s"]) == found["rounds"]
    assert set(entry["step_s"]) == {"median", "low", "high"}
    assert entry["cold_start_s"] == pytest.approx(
        sum(entry["cold_start"][part] for part in ("import_s", "open_s", "first_step_s"))
    )
    for engine in found["engines"]:
        parts = ("import_s", "opening_s", "trace_s", "compile_s", "first_run_s")
        start = engine["cold_start"]
        assert engine["cold_start_s"] == pytest.approx(sum(start[part] for part in parts))
        assert (start["compile_s"] > 0) == (engine["engine"] == "flax:jit")
    (ratio,) = found["ratios"]
    assert (ratio["engine"], ratio["reference"]) == ("flax:jit", "torch:eager")


@frameworks
@pytest.mark.parametrize("width", [80, 120])
def test_a_real_result_is_readable_at_both_widths(result: TimingResult, width: int) -> None:
    stream = io.StringIO()
    print_result(result, Console(file=stream, width=width, highlight=False))
    text = stream.getvalue()
    assert max(len(line) for line in text.splitlines()) <= width
    assert "…" not in text
    for words in ("torch:eager", "flax:jit", "cold start", "first run", "reference", "unchecked"):
        assert words in text


@frameworks
@pytest.mark.parametrize("width", [80, 120])
def test_the_longest_names_and_figures_are_not_cut_short(result: TimingResult, width: int) -> None:
    longest = {
        "warm_start": replace(result.engines[0].cold_start, first_step_s=12.3),  # type: ignore[type-var]
        "flops_per_s": 123.4e9,
        "roofline_share": 1.0,
        "peak_memory_bytes": 12345 * 2**20,
        "recompilations": 12,
    }
    names = dict(zip(ENGINES, ("torch:reduce-overhead", "torch:compile-epoch"), strict=True))
    engines = tuple(replace(each, engine=names[each.engine], **longest) for each in result.engines)
    ratios = tuple(
        replace(each, engine=names[each.engine], reference=names[each.reference])
        for each in result.ratios
    )
    long = replace(result, engines=engines, ratios=ratios, reference=names[result.reference])  # type: ignore[index]
    stream = io.StringIO()
    print_result(long, Console(file=stream, width=width, highlight=False))
    text = stream.getvalue()
    assert "…" not in text
    assert "12345 MiB" in text


@frameworks
def test_an_engine_nobody_can_run_here_leaves_a_reason(result: TimingResult) -> None:
    assert command.exit_code(result) == 0
    device = "cuda" if sys.platform == "darwin" else "mps"
    absent = measure(small(device=device), engines=ENGINES, seconds=0.5, unchecked=True)
    assert {engine.status for engine in absent.engines} == {"unavailable"}
    assert all(device in engine.reason for engine in absent.engines)
