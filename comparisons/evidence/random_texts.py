"""Columns of texts for the random experiments: an embedding of odd sizes, and rows that read it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from comparisons.evidence.random_numbers import count
from twofold.problem.problem import Problem
from twofold.problem.state import Array
from twofold.spec.layers.embedding import Embedding
from twofold.spec.model import Mlp, embedding_of

MOST_COLUMNS: Final = 6
SKEWED: Final = 6.0  # so that nearly all rows have one of the first texts


def with_texts(random: np.random.Generator, problem: Problem, max_size: int) -> Problem:
    """The problem with some of its last columns, or all, as texts, and an embedding for them.

    A column has at most `max_size` texts, each of an eighth as many features.
    """
    model = problem.experiment.model
    assert isinstance(model, Mlp)
    assert model.in_features is not None
    columns = int(random.integers(1, min(model.in_features, MOST_COLUMNS) + 1))
    values = {
        "embedding_features": count(random, 1, max(1, max_size // 8)),
        "categories": tuple(count(random, 1, max_size) for _ in range(columns)),
    }
    experiment = problem.experiment.model_copy(update={"model": model.model_copy(update=values)})
    train, test = (
        replace(batch, inputs=with_rows(random, embedding_of(experiment.model), batch.inputs))
        for batch in (problem.train, problem.test)
    )
    return Problem(experiment, train, test)


def with_rows(random: np.random.Generator, embedding: Embedding | None, inputs: Array) -> Array:
    """The inputs (rows, in_features) with rows of the table in the columns of texts, if any."""
    if embedding is None:
        return inputs
    ends, firsts = np.array(embedding.first_rows[1:]), np.array(embedding.first_rows[:-1])
    power = random.choice([1.0, SKEWED], len(ends))
    places = random.random((len(inputs), len(ends))) ** power * (ends - firsts)
    changed = inputs.copy()
    changed[:, embedding.numbers(inputs.shape[1]) :] = firsts + np.floor(places)
    return changed
