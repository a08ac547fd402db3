"""The engines of JAX: each is one short function from a program to what executes.

What is pure functions of a state is the same whatever library built the model.
"""

from __future__ import annotations

from jax import Array

from twofold_jax.counting import AheadOfTime, CountingJit
from twofold_jax.execution import Execution, never, python_loop
from twofold_jax.feed import Steps, take
from twofold_jax.program import Program
from twofold_jax.scan import device_loop, one_turn, whole_then_partial
from twofold_jax.state import State


def op_by_op(program: Program) -> Execution:
    """The program as it stands: JAX dispatches each operation on its own.

    Compiles nothing as a whole; JAX compiles every kind of operation and shape once, which makes
    even this start slowly. It pays for debugging alone: values can be printed and looked at
    anywhere, errors name their line. It costs a dispatch for each of several hundred operations,
    so that a step of a small model takes tens of milliseconds, nearly all of it in Python. Batches
    of any shape are welcome; a new shape is compiled again, operation by operation. Nobody trains
    this way: it is here to show what `jax.jit` does.
    """
    return Execution(
        logits=program.logits,
        training_logits=program.training_logits,
        evaluate=program.evaluate,
        loss_and_gradients=program.loss_and_gradients,
        train_step=program.train_step,
        train_steps=python_loop(take, program.train_step),
        compilations=never,
    )


def jit(program: Program) -> Execution:
    """Each function under `jax.jit`; the training step gives its old state's buffers away.

    Compiles the whole step, forward, backward and optimizer, into one program of XLA for each
    shape of batch: the smaller last batch of an epoch makes a second one. It pays nearly always:
    compiling takes about a second, and a step then costs little more than its arithmetic. It costs
    pure functions: the state goes in and comes out, and what Python prints or decides in between
    happens once, while tracing. Donated buffers (`donate_argnums`) let XLA write the new
    parameters over the old ones. What remains is a call from Python for each step and another to
    gather its batch; `scan` saves both.
    """
    compiled = CountingJit()
    train_step = compiled(program.train_step, donate_argnums=0)
    return Execution(
        logits=compiled(program.logits),
        training_logits=compiled(program.training_logits),
        evaluate=compiled(program.evaluate),
        loss_and_gradients=compiled(program.loss_and_gradients),
        train_step=train_step,
        train_steps=python_loop(compiled(take), train_step),
        compilations=lambda: compiled.traces,
    )


def aot(program: Program) -> Execution:
    """As `jit`, but the training step is compiled when the session opens.

    Compiles the same program ahead, `jax.jit(f).lower(arguments).compile()`, for the shapes that an
    epoch will bring: the whole batch and the smaller last one. It pays where the first step must
    not wait, where compiling has to be a step of its own (its time, memory and text can be asked
    for), and where nothing may compile unseen: a compiled program refuses other shapes. (Here a
    shape that was not foreseen is compiled then, and counted.) It costs that waiting at the start,
    used or not, and a call of a compiled program goes through more Python than one of `jax.jit`:
    on small steps it is not faster. The other functions are those of `jit`.
    """
    compiled = CountingJit()
    train_step = AheadOfTime(compiled(program.train_step, donate_argnums=0))
    gather = AheadOfTime(compiled(take))

    def prepare(state: State, inputs: Array, targets: Array, epoch: Steps) -> None:
        for rows in {each.shape: each for each in epoch.rows}.values():
            gather.compile(inputs, targets, rows)
            train_step.compile(state, *gather(inputs, targets, rows))

    return Execution(
        logits=compiled(program.logits),
        training_logits=compiled(program.training_logits),
        evaluate=compiled(program.evaluate),
        loss_and_gradients=compiled(program.loss_and_gradients),
        train_step=train_step,
        train_steps=python_loop(gather, train_step),
        compilations=lambda: compiled.traces,
        prepare=prepare,
    )


def scan(program: Program) -> Execution:
    """An epoch on the device: the loop over its batches is part of the compiled program.

    Compiles gather, forward, backward and optimizer into the body of one while loop, which is what
    `lax.scan` becomes in XLA; any number of whole batches runs in one call of one program. The
    smaller last batch of an epoch is a second program. It pays where a step is short: Python is
    entered once an epoch, not once a step. It costs sight: nothing can be printed, logged or
    stopped between two steps, all training rows must lie on the device, and every batch must have
    one shape. On large steps there is nothing left to gain over `jit`. A single `step` runs the
    same loop once, on the batch it was given.
    """
    compiled = CountingJit()
    loop = compiled(device_loop(program), donate_argnums=0)
    train_step = one_turn(loop)
    return Execution(
        logits=compiled(program.logits),
        training_logits=compiled(program.training_logits),
        evaluate=compiled(program.evaluate),
        loss_and_gradients=compiled(program.loss_and_gradients),
        train_step=train_step,
        train_steps=whole_then_partial(loop, train_step, compiled(take)),
        compilations=lambda: compiled.traces,
    )
