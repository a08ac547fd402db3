"""The world that a process finds itself in, and what its engines refuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from twofold.engines.registry import default_engines, find_engine, open_session, single_engines
from twofold.engines.world import ALONE, World, fingerprint, require_same, this_world, world_of
from twofold.errors import BadInput, DataError, SpecError
from twofold.problem.data import prepare
from twofold.problem.state import fresh_state
from twofold.spec.experiment import Experiment

SECOND_OF_THREE = {
    "RANK": "1",
    "WORLD_SIZE": "3",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
}


def test_a_process_without_variables_is_alone() -> None:
    assert this_world({}) == ALONE
    assert this_world({"RANK": "3", "WORLD_SIZE": "1"}) == ALONE
    assert ALONE.first


def test_the_variables_of_torchrun_are_read_and_can_be_written() -> None:
    world = this_world(SECOND_OF_THREE)
    assert world == World(rank=1, size=3, address="127.0.0.1:29500")
    assert not world.first
    assert world.variables() == SECOND_OF_THREE
    assert world_of("127.0.0.1:29500", 1, 3) == world


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"RANK": "3"}, "RANK: 3 given; allowed is 0 to 2"),
        ({"RANK": "x"}, "RANK: 'x' given; allowed is a number"),
        ({"MASTER_PORT": ""}, "MASTER_PORT: '' given"),
        ({"MASTER_ADDR": ""}, "MASTER_ADDR: not set, and WORLD_SIZE is 3"),
    ],
)
def test_variables_that_do_not_fit_are_named(change: dict[str, str], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        this_world({**SECOND_OF_THREE, **change})


@pytest.mark.parametrize(
    ("coordinator", "process", "says"),
    [
        ("here", 0, "--coordinator: 'here' given; allowed is HOST:PORT"),
        (":29500", 0, "--coordinator: ':29500' given"),
        ("here:port", 0, "--coordinator: 'here:port' given"),
        ("here:29500", 2, "--process: 2 given; allowed is 0 to 1"),
    ],
)
def test_options_that_do_not_fit_are_named(coordinator: str, process: int, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        world_of(coordinator, process, 2)


def test_a_fingerprint_tells_a_single_bit_and_a_step() -> None:
    name = "layers.0.bias"
    state = fresh_state({name: np.ones(3, np.float32)}, ("momentum",))
    assert fingerprint(state) == fingerprint(replace(state))
    nudged = state.parameters[name].copy()
    nudged[0] = np.nextafter(nudged[0], np.float32(2))
    changed = replace(state, parameters={**state.parameters, name: nudged})
    others = [fingerprint(changed), fingerprint(replace(state, step=1))]
    assert len({fingerprint(state), *others}) == 3


def test_a_process_with_another_state_is_named() -> None:
    require_same([b"same"] * 3, World(0, 3))
    with pytest.raises(DataError, match="process 0 of 3: process 2 was given another train state"):
        require_same([b"same", b"same", b"other"], World(0, 3))


def test_engines_of_processes_take_part_only_where_they_are_asked_for() -> None:
    for name in ("torch:ddp", "flax:sharded", "flax:sharded-weights"):
        assert find_engine(name)[1].processes
        assert name not in default_engines()
        assert name not in single_engines()
    assert "torch:eager" in single_engines()


@pytest.mark.parametrize(
    ("engine", "spec", "values", "says"),
    [
        ("torch:ddp", "diabetes", {"training__micro_batches": 2}, "given; torch:ddp allows 1"),
        ("flax:sharded", "diabetes", {"rng": "native"}, 'given; flax:sharded allows "shared"'),
        ("torch:ddp", "tabular-resnet", {}, "torch:ddp allows none.*nn.SyncBatchNorm"),
    ],
)
def test_what_processes_cannot_share_is_refused(
    engine: str, spec: str, values: dict[str, object], says: str
) -> None:
    problem = prepare(Experiment.load(spec).with_values(**values))
    with pytest.raises(SpecError, match=says):
        open_session(problem, engine)
