"""A machine whose engines cost exactly what a formula says, on a clock that only they move."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from timing_fakes import FakeClock, FakeSession

from twofold.errors import EngineFailed
from twofold.problem.data import prepare
from twofold.spec.experiment import Experiment
from twofold.studies.advice.workload import Workload, workload_of
from twofold.timing.protocol import Opened
from twofold.timing.timed_engine import Block, timed_block


@dataclass(frozen=True)
class Law:
    """Seconds of a step: overhead, for each layer, for each operation and for each byte."""

    overhead: float
    layer: float
    operation: float
    byte: float
    compile_s: float = 0.0
    compile_layer_s: float = 0.0

    def step_s(self, workload: Workload) -> float:
        terms = workload.terms()
        moved = float(terms[5] + terms[6])
        return (
            self.overhead
            + self.layer * workload.layers
            + self.operation * float(terms[4])
            + self.byte * moved
        )


LAWS: Mapping[str, Law] = {
    "torch:eager": Law(3e-4, 1e-4, 1e-11, 5e-11),
    "flax:jit": Law(5e-5, 2e-5, 2e-11, 1e-10, 0.8, 0.3),
    "torch:compile": Law(2e-5, 1e-5, 0.9e-11, 4e-11, 6.0, 1.5),
}


@cache
def workload_in(experiment: str) -> Workload:
    return workload_of(prepare(Experiment.model_validate_json(experiment)))


class LawfulWorker:
    """One engine that takes up one experiment after another."""

    def __init__(
        self, engine: str, clock: FakeClock, noise: float, *, breaks: bool = False
    ) -> None:
        self.engine, self.clock, self.noise, self.breaks = engine, clock, noise, breaks
        self.law, self.opened, self.closed = LAWS[engine], 0, 0
        self.random = random.Random(engine)
        self.experiment = ""

    def take_up(self, experiment: str) -> None:
        self.experiment = experiment

    def open(self) -> Opened:
        if self.breaks:
            raise EngineFailed("it burst")
        workload = workload_in(self.experiment)
        compile_s = self.law.compile_s + self.law.compile_layer_s * workload.layers
        self.session = FakeSession(
            self.clock,
            self.law.step_s(workload),
            seed=self.random.randrange(2**32),
            noise=self.noise,
            compile_s=compile_s,
        )
        import_s = 0.0 if self.opened else 2.0
        self.opened += 1
        self.clock.advance(import_s)
        return Opened(import_s, 0.0, workload.rows, False, 1e-7)

    def first_step(self) -> Block:
        return timed_block(self.session, 1, self.clock)

    def block(self, steps: int) -> Block:
        return timed_block(self.session, steps, self.clock)

    def describe(self) -> Mapping[str, Any]:
        return {}

    def processor_seconds(self) -> float:
        return 0.0

    def close(self) -> None:
        self.closed += 1
