"""What the judge keeps while it works: one optimizer at a time, and large runs on disk."""

from __future__ import annotations

import gc
import sys
import weakref
from functools import partial

import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from twofold_torch.port.steps import TorchStepper

from tests.port import flax_models, torch_models
from twofold import port
from twofold.port.causes.rates import MOST, _some
from twofold.port.judge import shelf as shelves
from twofold.port.judge.shelf import Points, Shelf
from twofold.port.side import Call
from twofold.port.twins import measure
from twofold.timing.memory import forget_peak, peak_memory_bytes

ROWS = np.random.default_rng(0).normal(size=(4, 6))


def torch_loss(outputs, batch):
    return (outputs - batch[1]).square().mean()


def jax_loss(outputs, batch):
    return jnp.square(outputs - batch[1]).mean()


@pytest.fixture
def alive(monkeypatch):
    """The number of optimizers with a state at each step that PyTorch takes."""
    seen: weakref.WeakSet[TorchStepper] = weakref.WeakSet()
    counts = []
    step = TorchStepper.step

    def counted(self, call):
        seen.add(self)
        answer = step(self, call)
        counts.append(sum(bool(each._optimizer.state) for each in seen))
        return answer

    monkeypatch.setattr(TorchStepper, "step", counted)
    return counts


@pytest.mark.parametrize("rate", [1e-3, 2e-3])
def test_one_optimizer_at_a_time_keeps_its_state(alive, rate):
    torch.manual_seed(0)
    target = np.random.default_rng(1).normal(size=(4, 3))
    pair = port.Pair(
        port.Torch(
            torch_models.MLP(), loss=torch_loss, optimizer=partial(torch.optim.Adam, lr=1e-3)
        ),
        port.Nnx(flax_models.MLP(), loss=jax_loss, optimizer=optax.adam(rate)),
        batches=[(ROWS, target)],
    )
    report = pair.certify(steps=2, precisions=())
    assert report.passed == (rate == 1e-3)
    assert len(alive) >= 6  # two steps of the point and of two twins
    assert set(alive) == {1}
    if rate != 1e-3:
        assert report.first_difference.cause.startswith("the learning rate")


@pytest.mark.parametrize(("limit", "files"), [(10**6, 0), (8, 4)])
def test_states_come_back_from_the_shelf(monkeypatch, limit, files):
    monkeypatch.setattr(shelves, "IN_MEMORY", limit)
    first = {"w": np.zeros(2), "b": np.zeros(1)}
    points = Points(first, 1)
    for step in (1.0, 2.0):
        points.add({"w": np.full(2, step), "b": np.full(1, -step), "other": np.ones(3)})
    assert points[0] is first
    assert [points[step]["w"].tolist() for step in (1, 2)] == [[1, 1], [2, 2]]
    assert list(points[2]) == ["w", "b"]
    assert points._shelf._files == files
    folder = points._shelf._folder
    points.close()
    assert folder is None or not folder.exists()


def test_a_run_above_the_limit_goes_to_disk_and_comes_back_one_by_one():
    shelf = Shelf(in_memory=100)
    shelf.add({"a": np.arange(3.0)})
    shelf.add({"a": np.arange(30.0)})
    assert shelf._files == 1
    assert shelf.one("a", 0).tolist() == [0, 1, 2]
    assert np.array_equal(shelf.one("a", 1), np.arange(30.0))
    shelf.close()


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone keeps such marks")
def test_of_filed_runs_no_more_than_four_copies_are_in_memory():
    count = 2**22
    point = np.random.default_rng(0).standard_normal(count)
    shelves_of_both = Shelf(in_memory=0), Shelf(in_memory=0)
    for shelf in shelves_of_both:
        for run in range(7):
            shelf.add({"a": point * (1 + run * 2.0**-52)})
    before = _peak_from_now_on()
    ratio = measure(*(shelf.stored("a") for shelf in shelves_of_both)).ratio
    grown = peak_memory_bytes() - before
    assert ratio == 0
    assert shelves_of_both[0].runs("a")[3].tobytes() == (point * (1 + 3 * 2.0**-52)).tobytes()
    for shelf in shelves_of_both:
        shelf.close()
    assert grown < 4.5 * point.nbytes  # 14 runs stay where they are


def _peak_from_now_on():
    forget_peak()
    return peak_memory_bytes()


@pytest.mark.parametrize(
    ("size", "kept"), [(0, 0), (5, 5), (MOST, MOST), (MOST + 1, MOST // 2 + 1)]
)
def test_of_a_large_tensor_every_nth_element_is_compared(size, kept):
    value = np.arange(float(size))
    some = _some(value)
    assert some.size == kept
    assert some.base is None
    assert np.array_equal(some, value[:: 2 if size > MOST else 1])


def test_a_compiled_step_does_not_keep_the_optimizer_that_it_was_made_for():
    side = port.Nnx(flax_models.MLP(), loss=jax_loss, optimizer=optax.adam(1e-3))
    target = np.random.default_rng(1).normal(size=(4, 3))
    stepper = side.stepper()
    stepper.step(Call({}, (ROWS, target), mode="training", want=frozenset({"loss", "gradients"})))
    gone = weakref.ref(stepper)
    del stepper
    gc.collect()
    assert side._programs
    assert gone() is None
