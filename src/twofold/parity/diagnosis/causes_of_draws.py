"""Known differences of what is drawn: the seed, the order of the rows, the dropout masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from twofold.parity.diagnosis.cause import Cause, with_values
from twofold.parity.ladder.reference import Reference
from twofold.spec.experiment import Experiment


def of_draws(experiment: Experiment) -> Iterator[Cause]:
    """Other initial values, orders and masks; these rungs ask the problem alone."""
    data, dropout = experiment.data, experiment.model.dropout

    def other(words: str, **values: Any) -> Cause:
        def change(reference: Reference) -> Reference:
            problem = reference.problem
            changed = with_values(problem.experiment, values)
            return replace(reference, problem=replace(problem, experiment=changed))

        return Cause(words, change)

    for seed in {0, 1, 42, experiment.seed + 1, experiment.seed - 1} - {experiment.seed}:
        if 0 <= seed < 2**32:
            yield other(f"seed = {seed}", seed=seed)
    words = "the rows are not shuffled" if data.shuffle else "the rows are shuffled"
    yield other(words, data__shuffle=not data.shuffle)
    words = "the last batch is kept" if data.drop_last else "the last batch is dropped"
    yield other(words, data__drop_last=not data.drop_last)
    if dropout > 0:
        yield other("the probability of keeping for that of dropping", model__dropout=1 - dropout)
