"""Loops that are no engines: the hand-written ones compute what the engines compute."""

from __future__ import annotations

import numpy as np
import pytest

from comparisons import step_parts
from comparisons.loops import (
    feeds_flax,
    feeds_torch,
    floor_flax,
    floor_torch,
    handwritten_flax,
    handwritten_torch,
    products_flax,
    products_torch,
)
from comparisons.loops.parts import Parts
from comparisons.loops.worker import LOOPS
from twofold import Experiment, open_session, prepare
from twofold.errors import DeviceUnavailable
from twofold.problem.problem import Problem, batch_indices
from twofold.timing.harness import Rounds
from twofold.timing.operations import Work, work_of
from twofold.timing.result import EngineTiming
from twofold.timing.roofline import Roofline
from twofold.timing.statistics import Interval


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


@pytest.mark.parametrize("module", [products_torch, products_flax])
def test_products_are_those_that_the_work_counts(problem: Problem, module: object) -> None:
    loop = module.build(problem)  # type: ignore[attr-defined]
    loop.run(2)
    loop.synchronize()
    pairs = [tuple(np.shape(side) for side in product[:2]) for product in loop._products]
    flops = sum(2 * left[0] * left[1] * right[1] for left, right in pairs)
    assert flops == work_of(problem, 32).flops
    assert all(left[1] == right[0] for left, right in pairs)


@pytest.mark.parametrize("steps", [1, 7])
def test_a_floor_counts_its_steps_and_does_no_more(problem: Problem, steps: int) -> None:
    in_torch, in_flax = floor_torch.build(problem), floor_flax.build(problem)
    for loop in (in_torch, in_flax):
        loop.run(steps)
        loop.synchronize()
        assert loop.compilations() == 1
    assert in_torch.position == steps
    per_epoch = len(problem.train.inputs) // 32
    noted = np.zeros(per_epoch)
    for step in range(steps):
        noted[step % per_epoch] += step % per_epoch
    np.testing.assert_array_equal(in_flax.noted, noted)


def interval(seconds: float) -> Interval:
    return Interval(seconds, seconds, seconds)


def test_a_step_says_where_it_goes() -> None:
    work, limits = Work(8e9, 3e7, 1e7), Roofline("float32", 2, 1e12, ((1000, 1e10),))
    timings = {
        name: EngineTiming(name, "measured", step_s=interval(step), samples_s=(step,) * 12)
        for name, step in {"flax:scan": 2e-2, "products:flax": 1e-2, "floor:flax": 1e-3}.items()
    }
    rounds = Rounds((), 1.0, None, False, (True,) * 12)
    part = step_parts.part_of("flax:scan", timings, work, limits, rounds)
    measured = {key: part[key] for key in ("step_s", "products_s", "traffic_s")}
    assert measured == {
        "step_s": 2e-2,
        "products_s": 1e-2,
        "traffic_s": pytest.approx(3e-3),
    }
    assert part["rate_of_step"] == pytest.approx(0.4)
    assert part["rate_of_products"] == pytest.approx(0.8)
    assert step_parts.line_of(part) == (
        "flax:scan: step 20.0 ms, 40.0% of the machine's product rate; its products alone take "
        "50.0% of it, at 80.0% of the rate; a call that only counts takes 5.00% of it; all bytes "
        "of the step, copied, would take 3.00 ms"
    )
    timings["flax:scan"] = EngineTiming("flax:scan", "failed", "no memory")
    broken = step_parts.part_of("flax:scan", timings, work, limits, rounds)
    assert step_parts.line_of(broken).endswith(
        "could not be measured: flax:scan: failed: no memory"
    )


def test_an_engine_that_steps_in_another_way_has_no_floor() -> None:
    work, limits = Work(8e9, 3e7, 1e7), Roofline("float32", 2, 1e12, ((1000, 1e10),))
    timings = {
        name: EngineTiming(name, "measured", step_s=interval(0.02), samples_s=(0.02,) * 12)
        for name in ("flax:jit", "products:flax")
    }
    rounds = Rounds((), 1.0, None, False, (True,) * 12)
    part = step_parts.part_of("flax:jit", timings, work, limits, rounds)
    assert part["floor"] is None
    assert "counts" not in step_parts.line_of(part)


@pytest.mark.parametrize(
    ("share", "told"), [(0.4, "40.0%"), (0.0038, "0.380%"), (1.02, "102%"), (0.0, "0%")]
)
def test_a_small_share_is_not_told_as_nothing(share: float, told: str) -> None:
    assert step_parts.percent(share) == told


@pytest.mark.parametrize("seconds", ["0", "-1", "nan"])
def test_no_time_to_measure_in_is_refused(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        step_parts.main(["--seconds", seconds])
    assert ended.value.code == 2
    assert "allowed is a number above 0" in capsys.readouterr().err
