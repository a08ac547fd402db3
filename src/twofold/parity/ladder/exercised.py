"""What an experiment asks for and the ladder could not have found wrong: *not exercised*.

An option is exercised where some judged step comes out otherwise without it: a logit, a loss, a
gradient or a number of the state after is then outside the bounds of the experiment as it stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from twofold.parity.diagnosis.cause import changed_model
from twofold.parity.diagnosis.causes_of_layers import without_residuals
from twofold.parity.judging.subject import steps_in
from twofold.parity.ladder.evaluation import rows_to_evaluate
from twofold.parity.ladder.multistep import STEPS as IN_ONE_CALL
from twofold.parity.ladder.multistep import starts
from twofold.parity.ladder.reference import (
    Reference,
    TrainingStep,
    is_in_range,
    rounded_state,
    seen_after,
    training_step,
)
from twofold.parity.oracle.arithmetic import Arithmetic
from twofold.parity.oracle.bounded import Bounded
from twofold.problem.metrics import METRIC_OF_LOSS
from twofold.problem.problem import Batch, Problem, epoch_order
from twofold.problem.state import TrainState
from twofold.spec.experiment import Experiment
from twofold.spec.layers.activation import Activation
from twofold.spec.layers.batch_norm import BatchNorm
from twofold.spec.layers.dropout import Dropout
from twofold.spec.layers.embedding import Embedding
from twofold.spec.layers.kind import LayerKind
from twofold.spec.layers.normalization import Normalization
from twofold.spec.layers.residual import Residual
from twofold.spec.layers.sequence import kinds_in
from twofold.spec.model import embedding_of, has

EPOCHS: Final = 2  # whose order the ladder judges


@dataclass(frozen=True)
class Option:
    """Something that an experiment asks for, in words, and the experiment without it."""

    words: str
    without: Experiment


def not_exercised(references: Sequence[Reference], steps: int) -> tuple[str, ...]:
    """A sentence for each option that no precision exercises, and for what the rows cannot show.

    `steps` are those of step-locked training in float32.
    """
    problem = references[0].problem
    idle = [option.words for option in options(problem.experiment)]
    for reference in references:
        count = steps_in(reference.problem.experiment.precision, steps)
        still = {option.words for option in idle_options(reference, count)}
        idle = [words for words in idle if words in still]
    return (*idle, *_of_data(problem))


def options(experiment: Experiment) -> Iterator[Option]:
    """The options that an experiment has switched on."""
    optimizer = experiment.optimizer
    yield from _of_layers(experiment)
    yield from _of_the_loss(experiment)
    if optimizer.weight_decay > 0:
        yield Option(
            f"optimizer.weight_decay = {optimizer.weight_decay:g}: within the bounds of none",
            _with(experiment, "optimizer", weight_decay=0.0),
        )
        if not optimizer.decay_biases:
            yield Option(
                "optimizer.decay_biases = false: within the bounds of decay on all parameters",
                _with(experiment, "optimizer", decay_biases=True),
            )
    if optimizer.clip_norm is not None:
        yield Option(
            f"optimizer.clip_norm = {optimizer.clip_norm:g}: clipping acts in no judged step",
            _with(experiment, "optimizer", clip_norm=None),
        )
    if optimizer.schedule.kind != "constant":
        yield Option(
            f"optimizer.schedule = {optimizer.schedule.kind}: the rate is the constant one in "
            "every judged step",
            _with(
                experiment, "optimizer", schedule=type(optimizer).model_fields["schedule"].default
            ),
        )
    yield from _of_the_rule(experiment)


def _of_the_loss(experiment: Experiment) -> Iterator[Option]:
    """What changes the loss's own formula."""
    loss = experiment.loss
    if loss.kind == "cross_entropy" and loss.label_smoothing > 0:
        yield Option(
            f"loss.label_smoothing = {loss.label_smoothing:g}: within the bounds of none",
            _with(experiment, "loss", label_smoothing=0.0),
        )
    if loss.kind == "cross_entropy" and loss.class_weights is not None:
        yield Option(
            "loss.class_weights: within the bounds of no weights",
            _with(experiment, "loss", class_weights=None),
        )
    if loss.kind == "bce_with_logits" and loss.pos_weight is not None:
        yield Option(
            "loss.pos_weight: within the bounds of no weights",
            _with(experiment, "loss", pos_weight=None),
        )
    if loss.kind == "huber":
        yield Option(
            f"loss.delta = {loss.delta:g}: twice as much is within the bounds, for no error of "
            "the judged steps is as large",
            _with(experiment, "loss", delta=2 * loss.delta),
        )


def _of_layers(experiment: Experiment) -> Iterator[Option]:
    """The model's layers, every kind's values changed wherever they stand."""

    def changed(kind: type[LayerKind], value: object, **values: object) -> Experiment:
        (field,) = values

        def change(layer: LayerKind) -> LayerKind:
            if isinstance(layer, kind) and getattr(layer, field) == value:
                return layer.model_copy(update=values)
            return layer

        return experiment.model_copy(update={"model": changed_model(experiment.model, change)})

    layers = list(kinds_in(experiment.model.layers))
    functions = (layer.function for layer in layers if isinstance(layer, Activation))
    for function in dict.fromkeys(each for each in functions if each != "identity"):
        yield Option(
            f"model.activation = {function}: the judged values are those of identity",
            changed(Activation, function, function="identity"),
        )
    rates = (layer.rate for layer in layers if isinstance(layer, Dropout))
    for rate in dict.fromkeys(each for each in rates if each > 0):
        yield Option(
            f"model.dropout = {rate:g}: no mask of the judged steps changes anything",
            changed(Dropout, rate, rate=0.0),
        )
    norms = (layer for layer in layers if isinstance(layer, Normalization))
    for kind, words, eps in dict.fromkeys((type(norm), norm.words(), norm.eps) for norm in norms):
        yield Option(
            f"{words} eps = {eps:g}: ten times as much is within the bounds",
            changed(kind, eps, eps=10 * eps),
        )
    for momentum in dict.fromkeys(x.momentum for x in layers if isinstance(x, BatchNorm)):
        yield Option(
            f"batch_norm momentum = {momentum:g}: half of it is within the bounds",
            changed(BatchNorm, momentum, momentum=momentum / 2),
        )
    if has(experiment.model, Residual):
        model = without_residuals(experiment)
        yield Option(
            "residual: what is added to the blocks is within the bounds",
            experiment.model_copy(update={"model": model}),
        )


def _of_the_rule(experiment: Experiment) -> Iterator[Option]:
    """The numbers of the optimizer's own formula."""
    optimizer = experiment.optimizer
    if optimizer.kind == "sgd":
        if optimizer.momentum > 0:
            yield Option(
                f"optimizer.momentum = {optimizer.momentum:g}: half of it is within the bounds",
                _with(experiment, "optimizer", momentum=optimizer.momentum / 2),
            )
        if optimizer.nesterov:
            yield Option(
                "optimizer.nesterov: within the bounds of plain momentum",
                _with(experiment, "optimizer", nesterov=False),
            )
        return
    first, second = optimizer.betas
    for number, betas in enumerate(((first / 2, second), (first, second / 2))):
        if optimizer.betas[number] > 0:
            yield Option(
                f"optimizer.betas[{number}] = {optimizer.betas[number]:g}: half of it is within "
                "the bounds",
                _with(experiment, "optimizer", betas=betas),
            )
    yield Option(
        f"optimizer.eps = {optimizer.eps:g}: ten times as much is within the bounds",
        _with(experiment, "optimizer", eps=10 * optimizer.eps),
    )


def _with(experiment: Experiment, section: str, **changes: Any) -> Experiment:
    part = getattr(experiment, section).model_copy(update=changes)
    return experiment.model_copy(update={section: part})


def idle_options(reference: Reference, steps: int) -> list[Option]:
    """The options without which every judged step would have come out within its bounds."""
    idle = list(options(reference.problem.experiment))
    for seen in judged_steps(reference, steps):
        idle = [option for option in idle if not _acts(option, seen, reference)]
        if not idle:
            break
    return idle


def judged_steps(reference: Reference, steps: int) -> Iterator[TrainingStep]:
    """The oracle's own steps at the places that the ladder judges, the moments' first."""
    problem, arithmetic = reference.problem, reference.arithmetic
    first, later = starts(reference)
    for state in (first, reference.warm.state):
        yield from _free_run(problem, state, 1, arithmetic)
    yield from _free_run(problem, first, max(steps, IN_ONE_CALL), arithmetic)
    yield from _free_run(problem, later, IN_ONE_CALL, arithmetic)


def _free_run(
    problem: Problem, state: TrainState, steps: int, arithmetic: Arithmetic
) -> Iterator[TrainingStep]:
    """Steps in a row from a state, as long as they stay in range."""
    for _ in range(steps):
        step = training_step(problem, state, arithmetic)
        if not is_in_range(step, arithmetic):
            return
        yield step
        state = rounded_state(step, state.step + 1, arithmetic)


def _acts(option: Option, seen: TrainingStep, reference: Reference) -> bool:
    """Whether a step without the option gives a number outside the bounds of the step with it."""
    arithmetic = reference.arithmetic
    problem = replace(reference.problem, experiment=option.without)
    other = training_step(problem, seen.state, arithmetic)
    engine = rounded_state(other, seen.state.step + 1, arithmetic)
    allowed = _numbers(seen_after(seen, reference.problem, engine, arithmetic))
    return any(_outside(found, allowed[name]) for name, found in _numbers(other).items())


def _outside(found: Bounded, allowed: Bounded) -> bool:
    """Whether a value is outside its bound, or not a number; where nothing is known, none is."""
    with np.errstate(over="ignore", invalid="ignore"):
        inside = np.abs(found.value - allowed.value) <= allowed.bound
    return bool(np.any(~inside & np.isfinite(allowed.bound)))


def _numbers(step: TrainingStep) -> dict[str, Bounded]:
    training = step.training
    gradients = {f"gradient of {name}": array for name, array in training.gradients.items()}
    after = {**step.after.parameters, **step.after.named_slots, **training.buffers}
    return {"logits": training.logits, "loss": training.loss, **gradients, **after}


def _has_other_texts(embedding: Embedding, batch: Batch) -> bool:
    """Whether an input names the last row of its column."""
    texts = batch.inputs[:, embedding.numbers(batch.inputs.shape[1]) :]
    return bool(np.any(texts == np.array(embedding.first_rows[1:]) - 1))


def _of_data(problem: Problem) -> Iterator[str]:
    """What the rows cannot show, whatever the engine does with them."""
    experiment, rows = problem.experiment, problem.train.rows
    optimizer, data = experiment.optimizer, experiment.data
    if optimizer.kind == "adamw" and optimizer.weight_decay == 0:
        yield "optimizer.weight_decay = 0: adamw is adam then, its decoupled decay is not seen"
    if data.shuffle and all(
        np.array_equal(epoch_order(experiment.seed, epoch, rows, True), np.arange(rows))
        for epoch in range(EPOCHS)
    ):
        yield f"data.shuffle: the order of {rows:,} training rows is their own"
    if data.drop_last and rows % data.batch_size == 0:
        yield f"data.drop_last: {rows:,} training rows fill every batch, so none is dropped"
    judged, words = rows_to_evaluate(problem)
    embedding = embedding_of(experiment.model)
    if embedding is not None and not any(
        _has_other_texts(embedding, batch) for batch in (problem.train, judged)
    ):
        yield f"embedding: no training row, and none of {words}, reads a row of other texts"
    if judged.rows == 1:
        yield f"evaluation metric: judged on {words}, on which most mistakes give the same metric"
    elif METRIC_OF_LOSS[experiment.loss.kind] == "R^2" and np.any(
        np.ptp(judged.targets, axis=0) == 0
    ):
        yield f"evaluation metric: R^2 has no value, for the targets of {words} are all equal"
