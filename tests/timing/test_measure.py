"""Measuring for real: the gate, bad input, and worker processes on a small experiment."""

from __future__ import annotations

import io
import json
import sys
import threading
from collections.abc import Sequence
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
from twofold.parity.ladder.rungs import LADDER
from twofold.results.json_files import read_json, write_json
from twofold.spec.experiment import Experiment
from twofold.timing.certifiers import PooledCertifier, Processes
from twofold.timing.conditions import Conditions
from twofold.timing.gate import open_gate, together
from twofold.timing.measure import measure
from twofold.timing.protocol import Certification, Progress
from twofold.timing.result import SCHEMA, TimingResult

ENGINES = ("torch:eager", "flax:jit")
ASKED = Certification(("float32",))
SHORT = Conditions(seconds=0.5)
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


def rung(engine: str, verdict: Verdict, precision: Any = "float32") -> Rung:
    return Rung("update (fresh)", engine, precision, verdict, None, None, "a note")


def passing(engine: str, precision: Any = "float32") -> list[Rung]:
    """The rungs that a pass rests on."""
    names = ("forward", "loss", "gradients", "update (fresh)")
    return [Rung(name, engine, precision, "certified", 0.5, None, "") for name in names]


def report(engine: str, verdict: Verdict = "certified") -> ParityReport:
    return ParityReport(small(), {}, (*passing(engine)[:3], rung(engine, verdict)))


class Certifier:
    """Answers with a verdict, with rungs, or with an error."""

    def __init__(self, engine: str, answer: Verdict | Sequence[Rung] | Exception) -> None:
        self.engine, self.answer, self.closed = engine, answer, False

    def certify(self) -> ParityReport:
        if isinstance(self.answer, Exception):
            raise self.answer
        if isinstance(self.answer, str):
            return report(self.engine, self.answer)
        return ParityReport(small(), {}, tuple(self.answer))

    def close(self) -> None:
        self.closed = True


def test_only_engines_that_pass_parity_go_through_the_gate() -> None:
    certifiers = [
        Certifier("a", "certified"),
        Certifier("b", "diverges"),
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
    assert gate.refused[0].reason == "parity diverges at update (fresh): a note"
    assert gate.report is not None
    assert [rung.engine for rung in gate.report.rungs] == [*"aaaabbbb"]
    assert all(certifier.closed for certifier in certifiers)


class Waiting:
    """Answers only when its process is ended."""

    def __init__(self, engine: str) -> None:
        self.engine, self.ended = engine, threading.Event()

    def certify(self) -> ParityReport:
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

    gate = open_gate([slow, Certifier("b", "certified")], tell, at_once=2)
    assert (gate.passed, gate.refused[0].engine) == (("b",), "slow")
    assert [(at.engine, at.fraction) for at in said] == [("slow, b", 0.0), ("slow", 0.5)]


def test_a_lane_that_is_done_takes_the_next_engine_of_the_other() -> None:
    """The one engine of `y` is done while the first of `x` still works."""
    slow, said = Waiting("x:slow"), list[str]()
    others = [Certifier(name, "certified") for name in ("x:next", "x:last", "y:only")]

    def tell(at: Progress) -> None:
        said.append(at.engine or "")
        if at.fraction >= 0.75:
            slow.close()

    gate = open_gate([slow, *others], tell, at_once=2)
    assert gate.passed == ("x:next", "x:last", "y:only")
    assert said == ["x:slow, y:only", "x:slow, x:next", "x:slow, x:last", "x:slow"]


def test_of_a_backend_those_that_took_longest_to_start_are_certified_first() -> None:
    told: list[str] = []
    names = ("x:a", "x:b", "x:unknown", "x:c")
    gate = open_gate(
        [Certifier(name, "certified") for name in names],
        lambda _: None,
        seconds={"x:a": 1.0, "x:b": 3.0, "x:c": 2.0},
        on_report=lambda report: told.append(report.rungs[0].engine),
    )
    assert told == ["x:b", "x:c", "x:a", "x:unknown"]
    assert gate.passed == names


class FakeProcess:
    def __init__(self, engine: str) -> None:
        self.engine, self.certified, self.closed = engine, list[str](), 0

    def certify(self, asked: Certification) -> ParityReport:
        assert asked is ASKED
        self.certified.append(self.engine)
        if self.engine == "x:bursts":
            raise EngineFailed("it burst")
        return report(self.engine)

    def close(self) -> None:
        self.closed += 1


def test_a_process_certifies_all_engines_of_its_backend_until_it_breaks() -> None:
    started: list[FakeProcess] = []

    def start(engine: str) -> FakeProcess:
        started.append(FakeProcess(engine))
        return started[-1]

    processes = Processes(start)
    names = ("x:a", "x:bursts", "x:b", "y:c", "x:d")
    gate = open_gate([PooledCertifier(name, processes, ASKED) for name in names], lambda _: None)
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
    certifier = PooledCertifier("x:a", processes, ASKED)
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


def test_the_gate_judges_in_the_experiments_own_precision_and_keeps_the_others() -> None:
    rungs = {
        "a": [*passing("a"), rung("a", "explained"), rung("a", "diverges", "float64")],
        "b": [rung("b", "diverges"), *passing("b", "float64")],
        "c": passing("c", "float64"),
        "d": [rung("d", "not run")],
        "e": [],
        "f": [*passing("f"), replace(rung("f", "out of range"), beyond_step=6)],
        "g": passing("g")[1:],
    }
    told: list[ParityReport] = []
    certifiers = [Certifier(name, own) for name, own in rungs.items()]
    gate = open_gate(certifiers, lambda _: None, on_report=told.append)
    assert gate.passed == ("a",)
    assert [(entry.engine, entry.status) for entry in gate.refused] == [
        ("b", "diverges"),
        ("c", "failed"),
        ("d", "failed"),
        ("e", "failed"),
        ("f", "out of range"),
        ("g", "vacuous"),
    ]
    reasons = {entry.engine: entry.reason for entry in gate.refused}
    assert reasons["b"] == "parity diverges at update (fresh): a note"
    assert reasons["c"] == "parity: no rung was judged"
    assert reasons["d"] == "parity not run at update (fresh): a note"
    assert reasons["f"].startswith(
        "the training itself leaves the range of float32 at step 6; parity holds up to there; lower"
    )
    assert "no evidence for forward: forward not judged (g float32)" in reasons["g"]
    assert gate.report is not None
    precisions = [each.precision for each in gate.report.rungs]
    assert precisions == sorted(precisions)  # float32, then float64
    assert [each.rungs for each in told] == [tuple(own) for own in rungs.values()]


def test_an_engine_certified_in_parts_passes_if_its_own_precision_does_and_nothing_breaks() -> None:
    parts = [
        Certifier("a", passing("a")),
        Certifier("b", passing("b")),
        Certifier("a", [rung("a", "diverges", "float64")]),
        Certifier("b", EngineFailed("it burst")),
    ]
    said: list[str | None] = []
    gate = open_gate(parts, lambda at: said.append(at.engine), at_once=2)
    assert gate.passed == ("a",)
    assert [(entry.engine, entry.reason) for entry in gate.refused] == [
        ("b", "parity could not be judged: it burst")
    ]
    assert gate.report is not None
    assert [each.verdict for each in gate.report.rungs] == [*["certified"] * 8, "diverges"]
    assert set(said) <= {"a", "b", "a, b", "b, a"}  # an engine is named once


def test_reports_of_several_processes_are_one_with_all_their_backends() -> None:
    def of(name: str, load: float, *idle: str) -> ParityReport:
        surroundings = {"load": load, "backends": {name: {"v": 1}}}
        return replace(report(name), environment=surroundings, not_exercised=idle)

    assert together([]) is None
    found = together([of("x", 0.5, "clipping"), of("y", 0.75, "clipping", "decay")])
    assert found is not None
    assert found.environment == {"load": 0.5, "backends": {"x": {"v": 1}, "y": {"v": 1}}}
    assert found.not_exercised == ("clipping", "decay")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threads": 0}, "threads: 0 given"),
        ({"threads": 10_000}, "threads: 10000 given"),
        ({"seconds": 0.0}, "seconds: 0.0 given"),
        ({"seconds": float("nan")}, "seconds: nan given"),
        ({"seed": -1}, "seed: -1 given"),
        ({"batch_sizes": (8,)}, "allowed are two or more of 1 to 100"),
        ({"batch_sizes": (8, 101)}, "batch sizes: 8, 101 given"),
    ],
)
def test_conditions_that_make_no_sense_are_refused_before_anything_starts(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        measure(small(), conditions=Conditions(**options))


@pytest.mark.parametrize(
    ("engines", "kind", "message"),
    [
        (["torch:eagre"], UnknownEngine, "did you mean torch:eager"),
        ([], BadInput, "engines: none given"),
    ],
)
def test_unknown_engines_are_refused_before_anything_starts(
    engines: list[str], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        measure(small(), engines=engines)


def test_draws_that_parity_cannot_judge_are_refused() -> None:
    with pytest.raises(SpecError, match="--unchecked"):
        measure(small(rng="native"))


@pytest.fixture(scope="module")
def result() -> TimingResult:
    return measure(
        small(),
        engines=list(reversed(ENGINES)),
        conditions=Conditions(threads=1, seconds=0.5),
        certification=None,
    )


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
    absent = measure(small(device=device), engines=ENGINES, conditions=SHORT, certification=None)
    assert {engine.status for engine in absent.engines} == {"unavailable"}
    assert all(device in engine.reason for engine in absent.engines)


@frameworks
def test_certified_engines_are_timed_and_their_report_is_kept() -> None:
    told: list[ParityReport] = []
    found = measure(
        small(training__epochs=1),
        engines=ENGINES,
        conditions=replace(SHORT, warm_start=True),
        certification=Certification(("float64",), steps=1, ladder="whole"),
        on_report=told.append,
    )
    assert [(engine.engine, engine.status) for engine in found.engines] == [
        ("torch:eager", "measured"),
        ("flax:jit", "measured"),
    ]
    assert found.parity is not None
    assert found.parity.passed
    pairs = list(dict.fromkeys((each.engine, each.precision) for each in found.parity.rungs))
    assert sorted(pairs) == [(name, p) for name in sorted(ENGINES) for p in ("float32", "float64")]
    assert {rung.rung for rung in found.parity.rungs if rung.engine == "flax:jit"} >= {
        name for name, _ in LADDER if not name.startswith("update")
    }
    assert {each.rungs[0].engine for each in told} == set(ENGINES)
    assert set(found.parity.environment["backends"]) == {"torch", "flax"}
    starts = {engine.engine: (engine.cold_start, engine.warm_start) for engine in found.engines}
    for cold, warm in starts.values():
        assert cold is not None
        assert warm is not None
        assert cold.compilations == warm.compilations
    entry = found.to_json()["engines"][1]
    assert entry["result_s"] > entry["cold_start_s"] > 0
    assert entry["warm_result_s"] > entry["warm_start_s"] > 0
