"""The engine that Flax's documentation teaches: stateful model and optimizer under `nnx.jit`."""

from __future__ import annotations

from typing import NamedTuple

import jax
from flax import nnx
from jax import Array
from twofold_jax.accumulation import MicroBatch, accumulated
from twofold_jax.counting import CountingJit
from twofold_jax.execution import Execution, python_loop
from twofold_jax.feed import take
from twofold_jax.program import Program
from twofold_jax.state import Params, State

from twofold_flax.model import Merged, Network


class Held(NamedTuple):
    """A model and its optimizer, which `nnx.jit` changes in place."""

    model: Network
    optimizer: nnx.Optimizer[Network]


def nnx_jit(program: Program) -> Execution:
    """Stateful objects under `nnx.jit`, as Flax's documentation teaches.

    Compiles the same whole step as `jit`; XLA sees no difference. Model and `nnx.Optimizer` are
    arguments that the step changes in place, so that the code reads like PyTorch's. It pays in
    readability, and on a large model costs nothing that could be seen. It costs time in Python at
    every call: `nnx.jit` takes both objects apart into a graph and arrays and puts the new arrays
    into them, which does not shrink with the model: on a small one it is most of the step.
    `nnx.split` once and `jax.jit` of a pure function (`jit`) avoid that. (Flax 0.12,
    `flax/nnx/transforms/compilation.py`; Flax's guide "Performance considerations".)
    """
    compiled, calls = CountingJit(nnx.jit), CountingJit()

    def gradients_of(model: Network, part: MicroBatch) -> tuple[Array, Params]:
        def loss_of(model: Network) -> Array:
            logits = model(part.inputs, part.draws, training=True)
            return part.weighted(program.loss(logits, part.targets))  # ()

        return nnx.value_and_grad(loss_of)(model)  # type: ignore[no-any-return]

    def loss_and_gradients(
        model: Network, optimizer: nnx.Optimizer[Network], inputs: Array, targets: Array
    ) -> tuple[Array, Params]:
        parts = program.cut(inputs, targets, optimizer.step[...])
        return accumulated([gradients_of(model, part) for part in parts])

    def train_step(
        model: Network, optimizer: nnx.Optimizer[Network], inputs: Array, targets: Array
    ) -> Array:
        loss, gradients = loss_and_gradients(model, optimizer, inputs, targets)
        optimizer.update(model, gradients)
        return loss

    def asked_gradients(
        model: Network, optimizer: nnx.Optimizer[Network], inputs: Array, targets: Array
    ) -> tuple[Array, Params]:
        # Of a copy: a model that is differentiated moves its running statistics.
        return loss_and_gradients(nnx.clone(model), optimizer, inputs, targets)

    jitted_step, jitted_gradients = compiled(train_step), compiled(asked_gradients)

    @compiled
    def logits(model: Network, inputs: Array) -> Array:
        return model(inputs)

    @compiled
    def training_logits(model: Network, optimizer: nnx.Optimizer[Network], inputs: Array) -> Array:
        draws = program.draws(optimizer.step[...], inputs.shape[0])
        return nnx.clone(model)(inputs, draws, training=True)

    @compiled
    def evaluate(model: Network, inputs: Array, targets: Array) -> Array:
        return program.loss(model(inputs), targets)

    def step(held: Held, inputs: Array, targets: Array) -> tuple[Held, Array]:
        return held, jitted_step(held.model, held.optimizer, inputs, targets)

    return Execution(
        logits=lambda held, inputs: logits(held.model, inputs),
        training_logits=lambda held, inputs: training_logits(held.model, held.optimizer, inputs),
        evaluate=lambda held, inputs, targets: evaluate(held.model, inputs, targets),
        loss_and_gradients=lambda held, inputs, targets: jitted_gradients(
            held.model, held.optimizer, inputs, targets
        ),
        train_step=step,
        train_steps=python_loop(calls(take), step),
        compilations=lambda: compiled.traces + calls.traces,
        hold=lambda state: hold(program, state),
        release=release,
    )


def hold(program: Program, state: State) -> Held:
    """Objects with the values of a state."""
    merged = program.model.apply
    assert isinstance(merged, Merged)
    model = nnx.merge(merged.graph, state.params, state.buffers)
    # Of shapes alone: to compute its zeros, JAX would compile a program for every shape.
    optimizer = nnx.eval_shape(
        lambda model: nnx.Optimizer(model, program.optimizer, wrt=nnx.Param), model
    )
    structure = jax.tree.structure(optimizer.opt_state)
    slots = jax.tree.unflatten(structure, jax.tree.leaves(state.optimizer))
    optimizer.opt_state = nnx.data(slots)
    optimizer.step.set_value(state.step)
    return Held(model, optimizer)


def release(held: Held) -> State:
    """The state that objects hold, in the structure of Optax's own."""
    params: Params = nnx.state(held.model, nnx.Param)
    structure = jax.tree.structure(jax.eval_shape(held.optimizer.tx.init, params))
    slots = jax.tree.unflatten(structure, jax.tree.leaves(held.optimizer.opt_state))
    buffers: Params = nnx.state(held.model, nnx.BatchStat)
    return State(params, slots, held.optimizer.step[...], buffers)
