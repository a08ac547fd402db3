"""Known differences of what is drawn: the seed, the order of the rows, the dropout masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, get_args

from twofold.parity.diagnosis.cause import Cause, with_values
from twofold.parity.diagnosis.causes_of_layers import model_with, with_rate
from twofold.parity.ladder.reference import Reference
from twofold.spec.experiment import Experiment
from twofold.spec.initial_values import BiasInit, Init
from twofold.spec.layers.linear import Linear
from twofold.spec.layers.sequence import kinds_in
from twofold.spec.model import dropouts


def of_draws(experiment: Experiment) -> Iterator[Cause]:
    """Other initial values, orders and masks; these rungs ask the problem alone."""
    data = experiment.data

    def other(words: str, **values: Any) -> Cause:
        def change(reference: Reference) -> Reference:
            problem = reference.problem
            changed = with_values(problem.experiment, values)
            return replace(reference, problem=replace(problem, experiment=changed))

        return Cause(words, change)

    for seed in {0, 1, 42, experiment.seed + 1, experiment.seed - 1} - {experiment.seed}:
        if 0 <= seed < 2**32:
            yield other(f"seed = {seed}", seed=seed)
    linear = [x for x in kinds_in(experiment.model.layers) if isinstance(x, Linear)]
    for init in set(get_args(Init)) - {x.init for x in linear}:
        for bias_init in get_args(BiasInit):
            words = f"init = {init}, bias_init = {bias_init}"
            values = {"init": init, "bias_init": bias_init}
            yield other(words, model=model_with(experiment, Linear, **values))
    for bias_init in set(get_args(BiasInit)) - {x.bias_init for x in linear}:
        model = model_with(experiment, Linear, bias_init=bias_init)
        yield other(f"bias_init = {bias_init}", model=model)
    words = "the rows are not shuffled" if data.shuffle else "the rows are shuffled"
    yield other(words, data__shuffle=not data.shuffle)
    words = "the last batch is kept" if data.drop_last else "the last batch is dropped"
    yield other(words, data__drop_last=not data.drop_last)
    if dropouts(experiment.model):
        swapped = with_rate(experiment, lambda rate: 1 - rate)
        yield other("the probability of keeping for that of dropping", model=swapped.model)
