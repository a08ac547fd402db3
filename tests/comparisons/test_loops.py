"""Loops that are no engines: the hand-written ones compute what the engines compute."""

from __future__ import annotations

import numpy as np
import pytest

from comparisons.loops import feeds_flax, feeds_torch, handwritten_flax, handwritten_torch
from comparisons.loops.parts import Parts
from comparisons.loops.worker import LOOPS
from twofold import Experiment, open_session, prepare
from twofold.errors import DeviceUnavailable
from twofold.problem import Problem, batch_indices


@pytest.fixture(scope="module")
def problem() -> Problem:
    """The lesson in small, all batches of one size."""
    return prepare(
        Experiment.load("lesson").with_values(
            data__rows=96, data__batch_size=32, model__hidden=[16, 16]
        )
    )


def test_the_hand_written_loop_in_pytorch_is_torch_eager(problem: Problem) -> None:
    loop = handwritten_torch.build(problem)
    np.testing.assert_array_equal(loop.run(7), open_session(problem, "torch:eager").run(7))


def test_the_hand_written_loop_in_flax_is_flax_jit(problem: Problem) -> None:
    loop = handwritten_flax.build(problem)
    expected = open_session(problem, "flax:jit").run(7)
    np.testing.assert_allclose(loop.run(7), expected, rtol=1e-5)
    assert loop.compilations() == 1


def test_parts_make_whole_batches_of_at_most_an_epoch(problem: Problem) -> None:
    assert [len(inputs) for inputs, _ in Parts(problem).of(8)] == [96, 96, 64]


@pytest.mark.parametrize(
    "build", [feeds_torch.build_indexing, feeds_torch.build_on_device, feeds_torch.build_loader]
)
def test_torch_feeds_bring_every_row_once_an_epoch(problem: Problem, build: object) -> None:
    feed = build(problem)  # type: ignore[operator]
    rows = []
    for _ in range(3):
        feed.run(1)
        rows.append(feed._last[0].numpy())
    given = np.sort(np.concatenate(rows), axis=0)
    np.testing.assert_array_equal(given, np.sort(problem.train.inputs, axis=0))


@pytest.mark.parametrize(
    "build", [feeds_flax.build_device_put, feeds_flax.build_prefetch, feeds_flax.build_on_device]
)
def test_flax_feeds_bring_the_problems_batches(problem: Problem, build: object) -> None:
    feed = build(problem)  # type: ignore[operator]
    for step in range(4):
        feed.run(1)
        feed.synchronize()
        expected = problem.train.inputs[batch_indices(problem, step)]
        np.testing.assert_array_equal(np.asarray(feed._last[0]), expected)


def test_pinned_memory_without_an_accelerator_says_so(problem: Problem) -> None:
    if feeds_torch.device().type != "cpu":
        pytest.skip("an accelerator is present here")
    with pytest.raises(DeviceUnavailable, match="pinned memory"):
        feeds_torch.build_pinned(problem)


def test_every_loop_exists() -> None:
    from importlib.util import find_spec

    for target in LOOPS.values():
        assert find_spec(target.split(":")[0]) is not None
