"""Small problems of random numbers, made without `twofold.problem.data`."""

from __future__ import annotations

import numpy as np

from twofold.problem.problem import Batch, Problem, initial_state
from twofold.problem.state import Array, TrainState
from twofold.spec.experiment import (
    AdamW,
    CrossEntropy,
    Data,
    Experiment,
    Loss,
    Mlp,
    Optimizer,
    Precision,
    Rng,
    Training,
)
from twofold.spec.model import Sequential, embedding_of


def make_problem(
    *,
    model: Mlp | Sequential | None = None,
    loss: Loss | None = None,
    optimizer: Optimizer | None = None,
    precision: Precision = "float64",
    rng: Rng = "shared",
    seed: int = 2**32 - 5,
    rows: int = 22,
    batch_size: int = 8,
    drop_last: bool = False,
    device: str = "cpu",
    micro_batches: int = 1,
) -> Problem:
    """A problem whose last batch is partial: 22 rows in batches of 8, unless told otherwise."""
    model = model or Mlp(in_features=5, hidden=(7, 6), out_features=3, dropout=0.3)
    experiment = Experiment(
        seed=seed,
        precision=precision,
        device=device,
        rng=rng,
        model=model,
        loss=loss or CrossEntropy(),
        optimizer=optimizer or AdamW(),
        data=Data(batch_size=batch_size, drop_last=drop_last),
        training=Training(epochs=10, micro_batches=micro_batches),
    )
    return Problem(experiment, random_batch(experiment, rows, 1), random_batch(experiment, 9, 2))


def random_batch(experiment: Experiment, rows: int, seed: int) -> Batch:
    """A batch of random rows that fits the experiment."""
    random = np.random.default_rng(seed)
    features, outputs = experiment.model.in_features, experiment.model.out_features
    assert features is not None
    assert outputs is not None
    inputs = random.standard_normal((rows, features)).astype(experiment.parameter_dtype)
    embedding = embedding_of(experiment.model)
    if embedding is not None:  # a row of each column's own, the last one of other texts too
        firsts, ends = embedding.first_rows[:-1], embedding.first_rows[1:]
        inputs[:, embedding.numbers(features) :] = random.integers(firsts, ends, (rows, len(ends)))
    if experiment.loss.kind == "cross_entropy":
        return Batch(inputs, random.integers(0, outputs, rows))
    return Batch(inputs, random.random((rows, outputs)).astype(experiment.parameter_dtype))


def random_state(problem: Problem, step: int = 12, seed: int = 3) -> TrainState:
    """A warm state of random numbers; slots are positive, as second moments are."""
    random = np.random.default_rng(seed)
    fresh = initial_state(problem)

    def like(array: Array) -> Array:
        return random.uniform(0.01, 0.5, array.shape).astype(array.dtype)

    signs = {name: random.choice([-1, 1], array.shape) for name, array in fresh.parameters.items()}
    return TrainState(
        {n: (like(a) * signs[n]).astype(a.dtype) for n, a in fresh.parameters.items()},
        {s: {n: like(a) for n, a in arrays.items()} for s, arrays in fresh.slots.items()},
        step,
        {n: like(a) for n, a in fresh.buffers.items()},
    )
