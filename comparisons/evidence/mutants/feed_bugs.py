"""Bugs of the data feed, the initial values, the train state and the training loop."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Final
from unittest.mock import patch

import numpy as np

from comparisons.evidence.mutants.hosts import Host
from comparisons.evidence.mutants.mutant import Change, Mutant
from twofold.problem.problem import Batch, Problem
from twofold.problem.state import TrainState
from twofold.spec.initial_values import TRUNCATED_DEVIATION

SQUARE: Final = "layers.1.weight"


def data(**values: object) -> Change:
    """The session gets these data settings."""

    def change(problem: Problem) -> Problem:
        settings = problem.experiment.data.model_copy(update=values)
        return replace(problem, experiment=problem.experiment.model_copy(update={"data": settings}))

    return change


def rows(inputs: Any = None, targets: Any = None) -> Change:
    """The session's training rows are changed."""

    def change(problem: Problem) -> Problem:
        train = problem.train
        given = train.inputs if inputs is None else inputs(train.inputs)
        wanted = train.targets if targets is None else targets(train.targets)
        return replace(problem, train=Batch(given.astype(train.inputs.dtype), wanted))

    return change


def _dropout_rate(problem: Problem) -> Problem:
    model = problem.experiment.model
    assert model.kind == "mlp"
    changed = model.model_copy(update={"dropout": 1.0 - model.dropout})
    return replace(problem, experiment=problem.experiment.model_copy(update={"model": changed}))


def _other_seed(problem: Problem) -> Problem:
    return replace(problem, experiment=problem.experiment.model_copy(update={"seed": 1}))


def order(change: Any) -> Any:
    """Another order of the epoch; `change` gets the original function and its arguments."""
    return lambda host: host.epoch_order(change)


def initial(scale: Any) -> Any:
    """Initial values changed by `scale(name, array)`."""

    def change(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        return {name: scale(name, array).astype(array.dtype) for name, array in parameters.items()}

    return lambda host: host.initial(change)


def loaded(change: Any) -> Any:
    """A state that is changed on its way in."""

    def plant(host: Host) -> AbstractContextManager[Any]:
        return host.executor("load_state", lambda load, self, state: load(self, change(state)))

    return plant


def _transposed_square(state: TrainState) -> TrainState:
    parameters = {
        name: np.ascontiguousarray(array.T) if name == SQUARE else array
        for name, array in state.parameters.items()
    }
    return replace(state, parameters=parameters)


def _without_slots(state: TrainState) -> TrainState:
    slots = {
        slot: {name: np.zeros_like(array) for name, array in arrays.items()}
        for slot, arrays in state.slots.items()
    }
    return replace(state, slots=slots)


def _transposed_both_ways(host: Host) -> AbstractContextManager[Any]:
    """Import and export agree with each other, and both are wrong."""
    from comparisons.evidence.mutants.hosts import together

    return together(
        loaded(_transposed_square)(host),
        host.executor("state", lambda export, self: _transposed_square(export(self))),
    )


def _stale_gradients(host: Host) -> AbstractContextManager[Any]:
    """No `zero_grad`: gradients add up from call to call."""
    if host.is_torch:
        import torch

        return patch.object(torch.optim.Optimizer, "zero_grad", lambda *_, **__: None)
    import jax

    program = host.module("program").Program
    original = program.loss_and_gradients
    kept: list[Any] = []

    def accumulated(self: Any, state: Any, inputs: Any, targets: Any) -> Any:
        loss, gradients = original(self, state, inputs, targets)
        if kept:
            gradients = jax.tree.map(lambda a, b: a + b, gradients, kept[-1])
        kept[:] = [gradients]
        return loss, gradients

    return patch.object(program, "loss_and_gradients", accumulated)


def _stale_batch(host: Host) -> AbstractContextManager[Any]:
    def run(_: Any, self: Any, steps: int) -> Any:
        losses = [self.step(self.batch(max(self.state().step - 1, 0))) for _ in range(steps)]
        return np.array(losses, dtype=self._problem.dtype)

    return host.executor("run", run)


def _count_not_kept(host: Host) -> AbstractContextManager[Any]:
    return host.executor("state", lambda export, self: replace(export(self), step=0))


def _mutant(name: str, theme: str, description: str, how: Any, base: str = "classes") -> Mutant:
    return Mutant(name, theme, description, base, plant=how)


def _changed(
    name: str, theme: str, description: str, change: Change, base: str = "classes"
) -> Mutant:
    return Mutant(name, theme, description, base, change=change)


def model(**values: object) -> Change:
    """The session gets these values of the model; the oracle keeps the right ones."""

    def change(problem: Problem) -> Problem:
        changed = problem.experiment.model.model_copy(update=values)
        experiment = problem.experiment.model_copy(update={"model": changed})
        return replace(problem, experiment=experiment)

    return change


def _by_fan_in(_: str, array: np.ndarray) -> np.ndarray:
    """sqrt(3 / fan_in) for sqrt(6 / (fan_in + fan_out)): the same for a square weight."""
    if array.ndim == 1:
        return array
    fan_out, fan_in = array.shape
    scaled: np.ndarray = array * np.sqrt((fan_in + fan_out) / (2 * fan_in))
    return scaled


def _normal(name: str, array: np.ndarray) -> np.ndarray:
    drawn = np.random.default_rng(len(name)).standard_normal(array.shape)
    scaled: np.ndarray = drawn * array.std()
    return scaled


FEED: Final = (
    _mutant(
        "wrong-shuffle-seed",
        "data",
        "the order comes from the next seed",
        order(lambda make, seed, *rest: make(seed + 1, *rest)),
    ),
    _changed("no-shuffle", "data", "the rows are not shuffled", data(shuffle=False)),
    _mutant(
        "same-order-every-epoch",
        "data",
        "every epoch has the first one's order",
        order(lambda make, seed, _, *rest: make(seed, 0, *rest)),
    ),
    _mutant(
        "order-off-by-one",
        "data",
        "the order is rolled by one row",
        order(lambda make, *given: np.roll(make(*given), 1)),
    ),
    _mutant(
        "with-replacement",
        "data",
        "rows are drawn with replacement",
        order(lambda make, *given: make(*given)[np.arange(given[2]) // 2]),
    ),
    _changed("last-batch-dropped", "data", "the last batch is dropped", data(drop_last=True)),
    _changed("batch-size-off", "data", "batches of seven", data(batch_size=7)),
    _mutant("stale-batch", "data", "training sees the batch before", _stale_batch),
    _changed(
        "rows-misaligned",
        "data",
        "inputs and targets are shuffled apart",
        rows(targets=lambda y: np.roll(y, 1, axis=0)),
    ),
    _changed("not-standardised", "data", "inputs are not standardised", rows(lambda x: 2 * x + 1)),
    _changed(
        "standardised-with-n-minus-one",
        "data",
        "the sample's standard deviation for the population's",
        rows(lambda x: x * np.sqrt((len(x) - 1) / len(x))),
    ),
    _changed(
        "float16-inputs",
        "data",
        "inputs went through float16",
        rows(lambda x: x.astype(np.float16)),
    ),
    _changed(
        "one-row-repeated",
        "data",
        "the last row is a copy of the first",
        rows(lambda x: np.concatenate([x[:-1], x[:1]])),
    ),
)

STATE: Final = (
    _mutant(
        "init-sqrt-3",
        "initial values",
        "weights sqrt(3) too large, as Flax's default is",
        initial(lambda name, a: a * np.sqrt(3) if "weight" in name else a),
    ),
    _mutant(
        "init-zero-bias",
        "initial values",
        "biases start at zero, as Flax's do",
        initial(lambda name, a: 0 * a if "bias" in name else a),
    ),
    _mutant(
        "init-fan-out",
        "initial values",
        "the range comes from the outputs",
        initial(lambda _, a: a * np.sqrt(a.shape[-1] / a.shape[0])),
    ),
    _mutant("init-normal", "initial values", "normal in place of uniform draws", initial(_normal)),
    _changed(
        "he-for-lecun",
        "initial values",
        "He's variance in place of LeCun's",
        model(init="he_normal"),
        "classes, lecun_normal",
    ),
    _changed(
        "torch-linear-for-lecun",
        "initial values",
        "PyTorch's own start in place of Flax's",
        model(init="pytorch", bias_init="pytorch"),
        "classes, lecun_normal",
    ),
    _changed(
        "untruncated-normal",
        "initial values",
        "PyTorch's kaiming_normal_, which is not truncated, for JAX's he_normal",
        model(init="kaiming_normal"),
        "classes, he_normal",
    ),
    _mutant(
        "truncated-deviation",
        "initial values",
        "a truncated normal without the correction of its deviation",
        initial(lambda name, a: a * TRUNCATED_DEVIATION if "weight" in name else a),
        "classes, he_normal",
    ),
    _changed(
        "biases-drawn",
        "initial values",
        "biases are drawn where zeros are asked for",
        model(bias_init="pytorch"),
        "classes, he_normal",
    ),
    _mutant(
        "glorot-by-fan-in",
        "initial values",
        "Glorot's range from the inputs alone",
        initial(_by_fan_in),
        "classes, glorot_uniform",
    ),
    _changed("other-seed", "initial values", "another seed", _other_seed),
    _mutant(
        "transposed-import",
        "state",
        "a square weight is imported without transposing it",
        loaded(_transposed_square),
    ),
    _mutant(
        "transposed-both-ways",
        "state",
        "a square weight is transposed both on its way in and out",
        _transposed_both_ways,
    ),
    _mutant(
        "slots-not-restored",
        "state",
        "the optimizer's slots are not imported",
        loaded(_without_slots),
    ),
    _mutant(
        "step-not-restored",
        "state",
        "the step count is not imported",
        loaded(lambda state: replace(state, step=0)),
    ),
    _mutant("step-not-exported", "state", "the step count is not exported", _count_not_kept),
    _mutant(
        "gradients-accumulate",
        "training loop",
        "gradients are not set to zero between steps",
        _stale_gradients,
    ),
    _changed(
        "keep-for-drop",
        "dropout",
        "the probability of keeping taken for that of dropping",
        _dropout_rate,
    ),
)

MUTANTS: Final = (*FEED, *STATE)
