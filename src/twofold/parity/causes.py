"""Known differences between ports, each as a change of the oracle.

A cause takes the oracle's `Reference` and gives what the oracle would say if the difference were
intended. The states and batches that the engine is given stay as they are.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np

from twofold.experiment import Adam, AdamW, Experiment, Sgd
from twofold.oracle.adam import BiasCorrections, standard_corrections
from twofold.oracle.arithmetic import Arithmetic
from twofold.oracle.bounded import Bounded, exact, scale, subtract
from twofold.oracle.losses import evaluate_loss
from twofold.oracle.network import LossAndGradients, loss_and_gradients
from twofold.oracle.optimizers import BoundedState, Variant, update
from twofold.parity.reference import Moment, Reference, moment
from twofold.problem import Problem, dropout_masks
from twofold.state import Parameters, TrainState, bias_name, weight_name

ChangeMoment = Callable[[Moment, Problem, Arithmetic], Moment]


@dataclass(frozen=True)
class Cause:
    """A difference in words, and the oracle with it.

    It accounts for a rung whose worst ratio it brings to `largest_ratio` or below.
    """

    words: str
    change: Callable[[Reference], Reference]
    largest_ratio: float = 1.0


def causes_of(experiment: Experiment, rung: str) -> tuple[Cause, ...]:
    """The causes that can show on a rung first, for this kind of experiment."""
    if rung in ("init", "data order", "dropout masks"):
        return tuple(_of_draws(experiment))
    if rung == "forward":
        return (*_of_model(experiment), *_of_precision(experiment))
    if rung == "loss":
        return (*_of_loss(experiment), *_of_precision(experiment))
    if rung == "gradients":
        return (*_of_gradients(experiment), *_of_precision(experiment))
    return (*_of_optimizer(experiment), *_of_gradients(experiment), *_of_precision(experiment))


# What a cause may change


def _settings(words: str, **values: Any) -> Cause:
    """Other values of the experiment, by dotted path with `__` for the dot."""

    def change(reference: Reference) -> Reference:
        problem = reference.problem
        changed = replace(problem, experiment=_with_values(problem.experiment, values))
        return _every_moment(
            reference, lambda m, _, arithmetic: _seen(m, changed, arithmetic), changed
        )

    return Cause(words, change)


def _with_values(experiment: Experiment, values: dict[str, Any]) -> Experiment:
    for path, value in values.items():
        section, _, field = path.partition("__")
        if field:
            value = getattr(experiment, section).model_copy(update={field: value})
        experiment = experiment.model_copy(update={section: value})
    return experiment


def _seen(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
    """The moment as the changed problem has it, with the engine's own batch."""
    return replace(moment(given.label, problem, given.state, arithmetic), batch=given.batch)


def _every_moment(
    reference: Reference, change: ChangeMoment, problem: Problem | None = None
) -> Reference:
    arithmetic = reference.arithmetic
    fresh, warm = (change(m, reference.problem, arithmetic) for m in reference.moments)
    return replace(reference, problem=problem or reference.problem, fresh=fresh, warm=warm)


def _moments(words: str, change: ChangeMoment) -> Cause:
    return Cause(words, lambda reference: _every_moment(reference, change))


def _of_draws(experiment: Experiment) -> Iterator[Cause]:
    data, dropout = experiment.data, experiment.model.dropout

    def other(words: str, **values: Any) -> Cause:
        def change(reference: Reference) -> Reference:
            problem = reference.problem
            changed = _with_values(problem.experiment, values)
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


def _of_model(experiment: Experiment) -> Iterator[Cause]:
    model = experiment.model
    others = {"gelu": ("gelu_tanh",), "gelu_tanh": ("gelu",), "relu": ("gelu", "silu", "identity")}
    for activation in others.get(model.activation, ("identity",)):
        words = f"activation {activation} in place of {model.activation}"
        yield _settings(words, model__activation=activation)
    sizes = (model.in_features, *model.hidden, model.out_features)
    for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        if fan_in == fan_out:
            words = f"the square weight of layer {layer} is used without transposing it"
            yield _moments(words, _transposed(layer))
    if model.bias:
        for layer in range(len(model.hidden) + 1):
            yield _moments(f"layer {layer} has no bias", _without_bias(layer))
    if model.dropout > 0:
        yield _settings("training runs in evaluation mode (no dropout)", model__dropout=0.0)
        yield _moments("evaluation runs in training mode (with dropout)", _always_training)
        yield _moments("kept units are not divided by the probability of keeping", _unscaled)


def _of_loss(experiment: Experiment) -> Iterator[Cause]:
    kind = experiment.loss.kind
    if kind == "mse":
        yield _moments("a factor one half in the squared error", _loss_times(lambda *_: 0.5))
    yield _moments("a sum over the batch for the mean", _loss_times(lambda rows, _: float(rows)))
    if kind == "cross_entropy":
        yield _moments("softmax applied twice", _softmax_twice)
        yield _moments("labels shifted by one", _labels_shifted)
        if experiment.loss.kind == "cross_entropy":
            for smoothing in {0.0, 0.01, 0.1} - {experiment.loss.label_smoothing}:
                yield _settings(f"label smoothing {smoothing}", loss__label_smoothing=smoothing)
        words = "a mean over batch and classes"
        yield _moments(words, _loss_times(lambda _, outputs: 1.0 / outputs))
    else:
        yield _moments(
            "a sum over batch and outputs for the mean",
            _loss_times(lambda rows, outputs: float(rows * outputs)),
        )
        yield _moments(
            "a mean over the batch alone", _loss_times(lambda _, outputs: float(outputs))
        )
    if experiment.model.dropout > 0:
        yield _settings("training runs in evaluation mode (no dropout)", model__dropout=0.0)


def _of_gradients(experiment: Experiment) -> Iterator[Cause]:
    yield _moments("gradients added to those before (no zero_grad)", _gradients_times(2.0))
    if experiment.model.bias:
        for layer in range(len(experiment.model.hidden) + 1):
            words = f"the bias of layer {layer} gets no gradient"
            yield _moments(words, _without_gradients(partial(operator.eq, bias_name(layer))))
    for layer in range(1, len(experiment.model.hidden) + 1):
        words = f"no gradient flows below layer {layer}"
        yield _moments(words, _without_gradients(partial(_below, layer)))


def _below(layer: int, name: str) -> bool:
    """Whether a parameter belongs to a layer before this one."""
    return int(name.split(".")[1]) < layer


def _of_optimizer(experiment: Experiment) -> Iterator[Cause]:
    optimizer = experiment.optimizer
    for decay in {0.0, 1e-4, 1e-2, 5e-2} - {optimizer.weight_decay}:
        yield _settings(f"weight decay {decay:g}", optimizer__weight_decay=decay)
    for factor in (0.1, 0.5, 0.999, 1.001, 2.0, 10.0):
        rate = factor * optimizer.learning_rate
        yield _settings(f"learning rate {rate:g}", optimizer__learning_rate=rate)
    if optimizer.weight_decay > 0:
        yield _moments("biases do not decay", _biases_do_not_decay)
    yield _moments("the update applied twice", _updated_twice)
    if isinstance(optimizer, Sgd):
        yield from _of_sgd(optimizer)
    else:
        yield from _of_adam(optimizer)


def _of_sgd(optimizer: Sgd) -> Iterator[Cause]:
    if optimizer.momentum > 0:
        words = "without Nesterov momentum" if optimizer.nesterov else "with Nesterov momentum"
        yield _settings(words, optimizer__nesterov=not optimizer.nesterov)
        damping = 1.0 - optimizer.momentum
        yield _moments("momentum dampened as much as it decays", _gradients_times(damping))
        yield _moments("momentum dampened by 0.1", _gradients_times(0.9))


def _of_adam(optimizer: Adam | AdamW) -> Iterator[Cause]:
    for factor in (0.1, 10.0, 100.0):
        eps = factor * optimizer.eps
        yield _settings(f"eps {eps:g}", optimizer__eps=eps)
    yield _moments("eps inside the root", _eps_inside_root)
    yield _moments("no bias correction", _corrected(lambda *_: _no_correction()))
    yield _moments("the step in the bias correction is one ahead", _corrected(_count_ahead))
    for betas in {(0.9, 0.99), (0.9, 0.95), (0.9, 0.999)} - {optimizer.betas}:
        yield _settings(f"betas {betas}", optimizer__betas=betas)
    other: type[Adam] | type[AdamW] = Adam if optimizer.kind == "adamw" else AdamW
    words = {"adam": "L2 in place of decoupled decay", "adamw": "decoupled in place of L2 decay"}
    swapped = other(**optimizer.model_dump(exclude={"kind"}))
    if optimizer.weight_decay > 0:
        yield _settings(words[swapped.kind], optimizer=swapped)
    if optimizer.kind == "adamw" and optimizer.weight_decay > 0:
        yield _moments("decay of the updated parameter", _decay_after_update)


MANTISSAS: Final = {
    "float32": {"TF32 (11 bits)": 11, "bfloat16 (8 bits)": 8},
    "mixed_bfloat16": {},
    "float64": {"float32 (24 bits)": 24, "TF32 (11 bits)": 11, "bfloat16 (8 bits)": 8},
}


# Rounding errors seldom use more of a worst-case bound; another formula usually does.
ROUNDING_SHARE: Final = 0.03


def _of_precision(experiment: Experiment) -> Iterator[Cause]:
    for words, bits in MANTISSAS[experiment.precision].items():
        yield Cause(f"arithmetic in {words}", _in_precision(bits), ROUNDING_SHARE)


def _in_precision(bits: int) -> Callable[[Reference], Reference]:
    def change(reference: Reference) -> Reference:
        coarse = replace(reference.arithmetic, unit_roundoff=2.0**-bits)
        widened = replace(reference, arithmetic=coarse)
        return _every_moment(widened, lambda m, problem, arithmetic: _seen(m, problem, arithmetic))

    return change


# The changes of one moment


def _transposed(layer: int) -> ChangeMoment:
    """A square weight acts as its transpose."""

    def change(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
        turned = weight_name(layer)
        parameters = {n: a.T if n == turned else a for n, a in given.state.parameters.items()}
        return replace(_seen(_at(given, parameters), problem, arithmetic), state=given.state)

    return change


def _without_bias(layer: int) -> ChangeMoment:
    def change(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
        absent = bias_name(layer)
        parameters = {n: a * (n != absent) for n, a in given.state.parameters.items()}
        return replace(_seen(_at(given, parameters), problem, arithmetic), state=given.state)

    return change


def _at(given: Moment, parameters: Parameters) -> Moment:
    state = TrainState(parameters, given.state.slots, given.state.step)
    return replace(given, state=state)


def _always_training(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
    del problem, arithmetic
    return replace(
        given, evaluation_logits=given.training.logits, evaluation_loss=given.training.loss
    )


def _unscaled(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
    """Masks alone: what dropout at a rate near zero would divide by."""
    masks = dropout_masks(problem, given.state.step, given.batch.rows)
    plain = _with_values(problem.experiment, {"model__dropout": 0.0})
    training = loss_and_gradients(plain, given.state.parameters, given.batch, masks, arithmetic)
    return replace(given, training=training)


def _loss_times(factor_of: Callable[[int, int], float]) -> ChangeMoment:
    def change(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
        factor = factor_of(given.batch.rows, problem.layer_sizes[-1])
        loss = scale(given.training.loss, factor, 1, arithmetic)
        evaluation = scale(given.evaluation_loss, factor, 1, arithmetic)
        return replace(
            given, evaluation_loss=evaluation, training=replace(given.training, loss=loss)
        )

    return change


def _softmax_twice(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
    def loss_of(logits: Bounded) -> Bounded:
        shifted = logits.value - logits.value.max(axis=1, keepdims=True)
        p = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
        spread = 2.0 * logits.bound.max() + arithmetic.gamma(2.0 * p.shape[1] + 40.0)
        taken = Bounded(p, np.full(p.shape, spread))
        targets = given.batch.targets
        return evaluate_loss(problem.experiment.loss, taken, targets, arithmetic).loss

    training = replace(given.training, loss=loss_of(given.training.logits))
    return replace(given, evaluation_loss=loss_of(given.evaluation_logits), training=training)


def _labels_shifted(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
    shifted = (given.batch.targets + 1) % problem.layer_sizes[-1]

    def loss_of(logits: Bounded) -> Bounded:
        return evaluate_loss(problem.experiment.loss, logits, shifted, arithmetic).loss

    training = replace(given.training, loss=loss_of(given.training.logits))
    return replace(given, evaluation_loss=loss_of(given.evaluation_logits), training=training)


def _gradients_times(factor: float) -> ChangeMoment:
    def change(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
        gradients = {
            name: scale(gradient, factor, 1, arithmetic)
            for name, gradient in given.training.gradients.items()
        }
        return _after_gradients(given, problem, gradients, arithmetic)

    return change


def _without_gradients(absent: Callable[[str], bool]) -> ChangeMoment:
    def change(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
        gradients = {
            name: exact(np.zeros_like(gradient.value), arithmetic) if absent(name) else gradient
            for name, gradient in given.training.gradients.items()
        }
        return _after_gradients(given, problem, gradients, arithmetic)

    return change


def _after_gradients(
    given: Moment, problem: Problem, gradients: dict[str, Bounded], arithmetic: Arithmetic
) -> Moment:
    training: LossAndGradients = replace(given.training, gradients=gradients)
    after = update(problem.experiment, given.state, gradients, arithmetic)
    return replace(given, training=training, after=after)


def _corrected(
    corrections_of: Callable[[Adam | AdamW, int, Arithmetic], BiasCorrections],
) -> ChangeMoment:
    def change(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
        optimizer = problem.experiment.optimizer
        assert not isinstance(optimizer, Sgd)
        variant = Variant(corrections_of(optimizer, given.state.step + 1, arithmetic))
        gradients = given.training.gradients
        after = update(problem.experiment, given.state, gradients, arithmetic, variant)
        return replace(given, after=after)

    return change


def _no_correction() -> BiasCorrections:
    return BiasCorrections(np.asarray(1.0), np.asarray(1.0), 0.0, 0.0)


def _count_ahead(optimizer: Adam | AdamW, step: int, arithmetic: Arithmetic) -> BiasCorrections:
    return standard_corrections(optimizer, step + 1, arithmetic)


def _eps_inside_root(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
    """sqrt(v / c + eps): a second moment larger by c eps before the step, and no eps after."""
    optimizer = problem.experiment.optimizer
    assert not isinstance(optimizer, Sgd)
    step = given.state.step + 1
    more = float(standard_corrections(optimizer, step, arithmetic).second) * optimizer.eps
    kind = arithmetic.oracle_dtype
    beta = optimizer.betas[1]
    slots = {
        slot: {
            name: a.astype(kind) + more / beta if slot == "second_moment" else a
            for name, a in arrays.items()
        }
        for slot, arrays in given.state.slots.items()
    }
    state = TrainState(given.state.parameters, slots, given.state.step)
    bare = _with_values(problem.experiment, {"optimizer__eps": 1e-300})
    after = update(bare, state, given.training.gradients, arithmetic)
    return replace(given, after=BoundedState(after.parameters, given.after.slots))


def _without_decay(given: Moment, problem: Problem, arithmetic: Arithmetic) -> BoundedState:
    plain = _with_values(problem.experiment, {"optimizer__weight_decay": 0.0})
    return update(plain, given.state, given.training.gradients, arithmetic)


def _biases_do_not_decay(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
    plain = _without_decay(given, problem, arithmetic)

    def mixed(decayed: dict[str, Bounded], bare: dict[str, Bounded]) -> dict[str, Bounded]:
        return {n: bare[n] if n.endswith(".bias") else decayed[n] for n in decayed}

    slots = {slot: mixed(arrays, plain.slots[slot]) for slot, arrays in given.after.slots.items()}
    return replace(
        given, after=BoundedState(mixed(given.after.parameters, plain.parameters), slots)
    )


def _decay_after_update(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
    optimizer = problem.experiment.optimizer
    plain = _without_decay(given, problem, arithmetic)
    shrink = 1.0 - optimizer.learning_rate * optimizer.weight_decay
    parameters = {n: scale(a, shrink, 3, arithmetic) for n, a in plain.parameters.items()}
    return replace(given, after=BoundedState(parameters, given.after.slots))


def _updated_twice(given: Moment, problem: Problem, arithmetic: Arithmetic) -> Moment:
    del problem
    before = given.state.parameters
    parameters = {
        name: subtract(
            scale(after, 2.0, 0, arithmetic), exact(before[name], arithmetic), arithmetic
        )
        for name, after in given.after.parameters.items()
    }
    return replace(given, after=BoundedState(parameters, given.after.slots))
