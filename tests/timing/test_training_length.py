"""Only steps of the experiment are timed: training begins anew before it would go beyond them."""

from __future__ import annotations

import numpy as np
import pytest

from comparisons.loops.worker import LoopWorker
from twofold.spec.experiment import Experiment
from twofold.timing.timed_engine import TrainingLength
from twofold.timing.worker import Worker


def small() -> Experiment:
    """Two epochs of four steps, without a smaller last batch."""
    return Experiment.load("lesson").with_values(
        data__rows=64, data__batch_size=16, model__hidden=[8], training__epochs=2
    )


def test_training_begins_anew_before_it_would_go_too_far() -> None:
    events: list[str] = []
    length = TrainingLength(10, lambda: events.append("begin"))
    for steps in (1, 4, 5, 1, 9, 3):
        length.make_room(steps)
        events.append(str(steps))
    assert events == ["1", "4", "5", "begin", "1", "9", "begin", "3"]


def test_a_block_longer_than_training_begins_at_the_start() -> None:
    events: list[str] = []
    length = TrainingLength(10, lambda: events.append("begin"))
    for steps in (25, 25, 3):
        length.make_room(steps)
        events.append(str(steps))
    assert events == ["25", "begin", "25", "begin", "3"]


@pytest.mark.parametrize("engine", ["torch:eager", "flax:jit", "flax:scan", "flax:nnx-jit"])
def test_a_worker_stays_within_the_experiment_and_compiles_nothing_more(engine: str) -> None:
    worker = Worker()
    worker.open(small().model_dump_json(), engine)
    worker.first_step()
    session = worker._session
    assert session is not None
    steps, compiled = [], []
    for _ in range(6):
        compiled.append(worker.block(3)["compilations"])
        steps.append(session.state().step)
    assert steps == [5, 4, 8, 4, 8, 4]  # lead-ins of one step, and the first step of all
    assert sum(compiled[2:]) == 0


def test_blocks_after_beginning_anew_are_the_first_ones_again() -> None:
    worker = Worker()
    worker.open(small().model_dump_json(), "torch:eager")
    worker.first_step()
    session = worker._session
    assert session is not None
    states = []
    for _ in range(2):
        worker.block(6)  # and two before: the whole of training, from its start
        states.append(session.state())
    for name, array in states[0].parameters.items():
        np.testing.assert_array_equal(array, states[1].parameters[name])


@pytest.mark.parametrize("loop", ["handwritten:torch", "handwritten:flax"])
def test_hand_written_loops_begin_anew_as_well(loop: str) -> None:
    worker = LoopWorker()
    worker.open(small().model_dump_json(), loop)
    worker.first_step()
    compiled = [worker.block(6)["compilations"] for _ in range(3)]
    assert compiled == [0, 0, 0]
    assert worker._loop._step == 8  # type: ignore[union-attr]
    worker.block(3)
    assert worker._loop._step == 4  # type: ignore[union-attr]


def test_a_feed_has_no_end() -> None:
    worker = LoopWorker()
    worker.open(small().model_dump_json(), "feed:torch-on-device")
    feed = worker._loop
    worker.first_step()
    for _ in range(3):
        worker.block(6)
    assert worker._loop is feed
