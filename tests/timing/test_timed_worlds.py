"""Engines of several processes as one worker: asked at once, and ended together."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from twofold.errors import BadInput, EngineFailed
from twofold.results.environment import usable_cpus
from twofold.spec.experiment import Experiment
from twofold.timing.conditions import Conditions
from twofold.timing.measure import checked_engines, measure
from twofold.timing.process import ProcessWorker
from twofold.timing.protocol import Certification
from twofold.timing.world import WorldWorker, require_shared, sentences, share_of

CONDITIONS = Conditions(seconds=1.0, world=2, warm_start=True)
SCRIPT = """
import os, socket, sys
from pathlib import Path
from twofold.timing import worker

rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])

class Fake:
    def open(self, experiment, engine, batch_sizes=()):
        Path(sys.argv[1], f"{rank}-of-{size}").touch()
        while len(os.listdir(sys.argv[1])) < size:  # as engines do: nobody opens alone
            pass
        return dict(import_s=rank, open_s=0.2, rows_per_step=8, dropped_partial_batch=False,
                    clock_reading_s=1e-7)
    def first_step(self): return dict(steps=1, seconds=0.5, compilations=1)
    def block(self, steps, slow_down=0.0):
        if steps == 7:
            if rank == 1:
                raise RuntimeError("the network is gone")
            while True:  # as engines do that wait for another
                pass
        return dict(steps=steps, seconds=steps + rank, compilations=0, settled=True)
    def certify(self): return {}
    def roofline(self): return {}
    def describe(self): return dict(port=os.environ["MASTER_PORT"])

worker.serve(Fake(), *worker.protected_streams())
"""


@pytest.fixture
def fake(tmp_path: Path) -> WorldWorker:
    program = tmp_path / "program.py"
    program.write_text(SCRIPT)
    met = tmp_path / "met"
    met.mkdir()

    def start(cpus: Sequence[int], variables: Mapping[str, str]) -> ProcessWorker:
        command = (sys.executable, str(program), str(met))
        return ProcessWorker("torch:ddp", "{}", cpus, command=command, variables=variables)

    return WorldWorker(start, usable_cpus(), 3)


def test_all_are_asked_at_once_and_the_first_ones_answer_counts(fake: WorldWorker) -> None:
    try:
        assert fake.engine == "torch:ddp"
        assert fake.open().import_s == 0  # of three that each waited for the others
        assert fake.first_step().seconds == 0.5
        assert fake.block(4).seconds == 4
        assert int(fake.describe()["port"]) > 0
        assert fake.processor_seconds() > 0
    finally:
        fake.close()


def test_one_that_breaks_is_named_and_ends_those_that_wait_for_it(fake: WorldWorker) -> None:
    fake.open()
    start = time.monotonic()
    with pytest.raises(EngineFailed, match=r"process 1 of 3: .*the network is gone"):
        fake.block(7)
    assert time.monotonic() - start < 30
    fake.close()


def test_processors_are_shared_out() -> None:
    assert [share_of((4, 5, 6, 7), rank, 2) for rank in range(2)] == [(4, 6), (5, 7)]
    assert [share_of((4, 5), rank, 3) for rank in range(3)] == [(4,), (5,), (4,)]


def test_a_world_is_of_engines_that_can_share() -> None:
    require_shared(["torch:eager"], 1)
    require_shared(["torch:eager", "torch:ddp"], 2)
    with pytest.raises(BadInput, match="world: 2 given with torch:eager; allowed above 1"):
        require_shared(["torch:eager"], 2)
    with pytest.raises(BadInput, match="world: 0 given; allowed is 1 to 64"):
        Conditions(world=0).require_possible(8)
    said = sentences(checked_engines(["torch:eager", "torch:ddp"]), 2, 2)
    assert said == (
        "torch:ddp: a world of 2 processes on 2 cores of one machine tests correctness, not speed.",
    )
    assert sentences(["torch:ddp"], 1, 2) == ()
    assert sentences(["torch:ddp"], 2, 8) == (
        "torch:ddp: a world of 2 processes on 8 cores of one machine; this says nothing of several "
        "machines.",
    )


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["torch:ddp", "flax:sharded-weights"])
def test_a_world_is_certified_and_timed(engine: str) -> None:
    experiment = Experiment.load("diabetes")
    result = measure(experiment, engines=[engine], conditions=CONDITIONS)
    (timing,) = result.engines
    assert timing.status == "measured", timing.reason
    assert timing.step_s is not None
    assert timing.rows_per_step == experiment.data.batch_size
    assert timing.warm_start is not None
    assert result.parity is not None
    assert result.parity.passed
    assert any("tests correctness, not speed" in each for each in result.warnings)
    assert result.to_json()["world"] == 2


def test_a_report_that_does_not_pass_counts_whoever_made_it(
    fake: WorldWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Report:
        def __init__(self, passed: bool) -> None:
            self.passed = passed

    good, bad = Report(True), Report(False)
    for answers, counted in (([good, bad, good], bad), ([good, good, good], good)):
        monkeypatch.setattr(fake, "_answers", lambda _, found=answers: found)
        assert fake.certify(Certification(("float32",))) is counted
    fake.close()
