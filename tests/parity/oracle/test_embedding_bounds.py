"""The embedding in the oracle: values by NumPy and differences, bounds that hold and bite."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from judged import ratio

from twofold.parity.oracle.arithmetic import arithmetic_for
from twofold.parity.oracle.bounded import Bounded, exact
from twofold.parity.oracle.layers.applied import Applied, Pass
from twofold.parity.oracle.layers.embedding import added_by_row
from twofold.parity.oracle.layers.sequence import through
from twofold.parity.oracle.network import loss_and_gradients
from twofold.problem.problem import Batch
from twofold.problem.state import TrainState
from twofold.spec.experiment import Experiment
from twofold.spec.layers.embedding import Embedding
from twofold.spec.layers.linear import Linear
from twofold.spec.layers.sequence import place

Array = np.ndarray[Any, Any]
PRECISIONS = {np.float32: "float32", np.float64: "float64"}


def rows_of(
    random: np.random.Generator, batch: int, numbers: int, categories: tuple[int, ...]
) -> Array:
    """Random numbers, then for each column of texts a row of the table, its last one too."""
    columns, first = [random.standard_normal((batch, numbers))], 0
    for count in categories:
        columns.append(first + random.integers(0, count + 1, (batch, 1)).astype(float))
        first += count + 1
    return np.hstack(columns)


def oracle(
    inputs: Array, weight: Array, categories: tuple[int, ...], precision: str = "float32"
) -> Applied:
    layer = Embedding(features=weight.shape[1], categories=categories)
    (placed, _) = place([layer, Linear()], inputs.shape[1], 2)
    arithmetic = arithmetic_for(precision)
    given_pass = Pass({"layers.0.weight": weight}, {}, (), arithmetic)
    return through([placed], exact(inputs, arithmetic), given_pass)


def gradient(applied: Applied, delta: Array, precision: str = "float32") -> Bounded:
    pulled = applied.pull(exact(delta, arithmetic_for(precision)), False)
    assert pulled.inputs is None
    return pulled.parameters["layers.0.weight"]


def test_rows_and_their_gradient_by_hand() -> None:
    """Two columns of 2 texts and 1; rows 2 and 4 are those of other texts."""
    weight = np.arange(10, dtype=np.float32).reshape(5, 2)
    inputs = np.array([[0.5, 1, 3], [0.25, 1, 4]], np.float32)
    applied = oracle(inputs, weight, (2, 1))
    assert applied.outputs.value.tolist() == [[0.5, 2, 3, 6, 7], [0.25, 2, 3, 8, 9]]
    assert not applied.outputs.bound.any()
    delta = np.array([[9, 1, 2, 3, 4], [9, 10, 20, 30, 40]], np.float32)
    found = gradient(applied, delta)
    assert found.value.tolist() == [[0, 0], [11, 22], [0, 0], [3, 4], [30, 40]]
    assert found.bound[1] == pytest.approx(np.array([11, 22]) * 2.0**-24, rel=1e-6)
    assert not found.bound[[0, 2]].any()
    assert (found.bound[3:] == np.finfo(np.float32).smallest_normal).all()  # one term: no rounding


@settings(max_examples=60, derandomize=True, deadline=None, database=None)
@given(
    batch=st.integers(1, 40),
    numbers=st.integers(0, 3),
    categories=st.lists(st.integers(0, 9), min_size=1, max_size=4),
    features=st.integers(1, 5),
    seed=st.integers(0, 10_000),
    dtype=st.sampled_from([np.float32, np.float64]),
    order=st.sampled_from(["forward", "backward", "pairs"]),
)
def test_any_order_of_summation_stays_inside(
    batch: int,
    numbers: int,
    categories: list[int],
    features: int,
    seed: int,
    dtype: type,
    order: str,
) -> None:
    """Against a product with 0 and 1, and sums in the engine's precision in several orders."""
    random = np.random.default_rng(seed)
    inputs = rows_of(random, batch, numbers, tuple(categories)).astype(dtype)
    weight = random.standard_normal((sum(categories) + len(categories), features)).astype(dtype)
    width = numbers + features * len(categories)
    delta = (random.standard_normal((batch, width)) * 10.0 ** random.integers(-6, 7)).astype(dtype)
    applied = oracle(inputs, weight, tuple(categories), PRECISIONS[dtype])
    chosen = inputs[:, numbers:, None] == np.arange(len(weight))  # (batch, columns, rows)
    expected = np.hstack([inputs[:, :numbers], (chosen @ weight).reshape(batch, -1)])
    np.testing.assert_array_equal(applied.outputs.value.astype(dtype), expected)
    found = gradient(applied, delta, PRECISIONS[dtype])
    terms = delta[:, numbers:].reshape(batch * len(categories), features)
    rows = inputs[:, numbers:].reshape(-1)
    summed = np.zeros_like(weight)
    for row in range(len(weight)):
        own = terms[rows == row]
        if order == "pairs":
            own = np.add.reduce([own[0::2].sum(0, dtype=dtype), own[1::2].sum(0, dtype=dtype)])
            summed[row] = own
            continue
        for term in own if order == "forward" else own[::-1]:
            summed[row] = summed[row] + term
    assert ratio(summed, found) <= 1


MODEL = {
    "kind": "sequential",
    "in_features": 5,
    "out_features": 3,
    "layers": [
        {"kind": "embedding", "features": 2, "categories": [3, 1, 4]},
        {"kind": "activation", "function": "tanh"},
        {"kind": "linear"},
    ],
}


def test_every_gradient_is_that_of_finite_differences() -> None:
    """Of the cross entropy written out in NumPy; a row that is named several times adds up."""
    experiment = Experiment.model_validate({"model": MODEL, "precision": "float64"})
    random = np.random.default_rng(0)
    shapes = {"layers.0.weight": (11, 2), "layers.1.weight": (3, 8), "layers.1.bias": (3,)}
    parameters = {name: random.standard_normal(shape) for name, shape in shapes.items()}
    batch = Batch(rows_of(random, 9, 2, (3, 1, 4)), random.integers(0, 3, 9))

    def loss(values: dict[str, Array]) -> float:
        rows = values["layers.0.weight"][batch.inputs[:, 2:].astype(int)].reshape(9, 6)
        hidden = np.tanh(np.hstack([batch.inputs[:, :2], rows]))
        logits = hidden @ values["layers.1.weight"].T + values["layers.1.bias"]
        chosen = logits[np.arange(9), batch.targets]
        return float(np.mean(np.log(np.exp(logits).sum(1)) - chosen))

    state = TrainState(parameters, {}, 0)
    found = loss_and_gradients(experiment, state, batch, (), arithmetic_for("float64"))
    assert float(found.loss.value) == pytest.approx(loss(parameters), rel=1e-14)
    h = 1e-5
    for name, gradients in found.gradients.items():
        for index in np.ndindex(gradients.value.shape):
            ends = []
            for by in (h, -h):
                moved = {each: array.copy() for each, array in parameters.items()}
                moved[name][index] += by
                ends.append(loss(moved))
            difference = (ends[0] - ends[1]) / (2 * h)
            assert float(gradients.value[index]) == pytest.approx(difference, abs=1e-9)


@pytest.mark.parametrize("batch", [64, 1024])
def test_bounds_are_not_far_from_the_errors_of_an_engine(batch: int) -> None:
    """At most 100 times the largest float32 error of `nn.Embedding`, of 20 texts on random rows.

    Measured: once for 64 rows (a row of two terms is rounded once) and 16 times for 1,024.
    """
    worst = 0.0
    for seed in range(10):
        random = np.random.default_rng(seed)
        inputs = rows_of(random, batch, 0, (20,)).astype(np.float32)
        weight = random.standard_normal((21, 8)).astype(np.float32)
        delta = random.standard_normal((batch, 8)).astype(np.float32)
        table = torch.nn.Embedding.from_pretrained(torch.tensor(weight), freeze=False)
        table(torch.tensor(inputs[:, 0]).long()).backward(torch.tensor(delta))
        assert table.weight.grad is not None
        found = gradient(oracle(inputs, weight, (20,)), delta)
        worst = max(worst, ratio(table.weight.grad.numpy(), found))
    print(batch, 1 / worst)
    assert 1 / 100 < worst <= 1


def test_mistakes_fall_outside_in_float32() -> None:
    random = np.random.default_rng(7)
    inputs = rows_of(random, 64, 2, (5, 8)).astype(np.float32)
    weight = random.standard_normal((15, 4)).astype(np.float32)
    delta = random.standard_normal((64, 10)).astype(np.float32)
    applied = oracle(inputs, weight, (5, 8))
    found = gradient(applied, delta)
    rows, terms = inputs[:, 2:].astype(int).ravel(), delta[:, 2:].reshape(-1, 4)

    def added(at: Array, what: Array) -> Array:
        sums = np.zeros_like(weight)
        np.add.at(sums, at, what)
        return sums

    assert ratio(added(rows, terms), found) <= 1
    last = np.zeros_like(weight)
    last[rows] = terms  # the last row that names it alone
    counts = np.bincount(rows, minlength=15)[:, None]
    mistakes = {
        "not added up": last,
        "mean in place of sum": added(rows, terms) / counts,
        "off by one": added((rows + 1) % 15, terms),
        "columns exchanged": added(inputs[:, [3, 2]].astype(int).ravel(), terms),
        "no gradient of other texts": np.where(np.isin(np.arange(15), [5, 14])[:, None], 0, last),
    }
    for name, wrong in mistakes.items():
        assert ratio(wrong.astype(np.float32), found) > 1000, name


def test_in_mixed_precision_rows_are_exact_and_the_table_is_cast() -> None:
    """bfloat16 has no 257: the row is read before anything is cast."""
    random = np.random.default_rng(3)
    weight = random.standard_normal((302, 3)).astype(np.float32)
    inputs = np.array([[0.3, 257.0], [0.7, 299.0]], np.float32)
    applied = oracle(inputs, weight, (301,), "mixed_bfloat16")
    np.testing.assert_array_equal(applied.outputs.value[:, 1:], weight[[257, 299]])
    cast = torch.tensor(weight).bfloat16().float().numpy()[[257, 299]]
    assert ratio(cast, Bounded(applied.outputs.value[:, 1:], applied.outputs.bound[:, 1:])) <= 1
    assert (applied.outputs.bound[:, 1:] < 2.0**-8 * (np.abs(weight[[257, 299]]) + 1e-30)).all()


def test_a_sum_in_bfloat16_stays_inside() -> None:
    """One number after the other, each sum rounded, as XLA on the CPU may add."""
    random = np.random.default_rng(4)
    terms = torch.tensor(random.standard_normal((40, 6)), dtype=torch.bfloat16)
    rows = random.integers(0, 3, 40)
    sums = torch.zeros(3, 6, dtype=torch.bfloat16)
    for row, term in zip(rows.tolist(), terms, strict=True):
        sums[row] += term
    arithmetic = arithmetic_for("mixed_bfloat16")
    found = added_by_row(exact(terms.double().numpy(), arithmetic), rows, 3, arithmetic.layers)
    assert 0.01 < ratio(sums.float().numpy(), found) <= 1
