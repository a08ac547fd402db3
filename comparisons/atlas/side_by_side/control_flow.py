"""Control flow that depends on values: a branch, a loop of unknown length, a recurrence."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import torch

from comparisons.atlas.side_by_side.topic import (
    Different,
    Topic,
    Values,
    show,
)

START = np.array([3.0, -4.0], np.float32)


def with_pytorch() -> Values:
    def clipped(x):
        size = x.norm()
        if size > 1:  # plain Python
            return x / size
        return x

    def halvings(x):
        count = 0
        while x.abs().max() > 0.1:
            x, count = x / 2, count + 1
        return count

    def recurrence(x):
        states = []
        for _ in range(4):
            x = torch.tanh(x + 0.5)
            states.append(x)
        return torch.stack(states)

    x = torch.from_numpy(START)
    try:
        torch.compile(clipped, backend="eager")(x)
        compiled = "works"
    except Exception as error:
        compiled = type(error).__name__
    return {
        "branch": clipped(x),
        "loop until small": halvings(x),
        "recurrence": recurrence(x),
        "the plain `if`, compiled": compiled,
    }


def with_jax() -> Values:
    @jax.jit
    def clipped(x):
        size = jnp.linalg.norm(x)
        return jax.lax.cond(
            size > 1, lambda x: x / size, lambda x: x, x
        )

    @jax.jit
    def halvings(x):
        def large(carry):
            return jnp.abs(carry[0]).max() > 0.1

        def half(carry):
            return carry[0] / 2, carry[1] + 1

        return jax.lax.while_loop(large, half, (x, 0))[1]

    @jax.jit
    def recurrence(x):
        def step(x, _):
            x = jnp.tanh(x + 0.5)
            return x, x

        return jax.lax.scan(step, x, length=4)[1]

    def with_if(x):
        return x / 5 if jnp.linalg.norm(x) > 1 else x

    x = jnp.array(START)
    try:
        jax.jit(with_if)(x)
        compiled = "works"
    except jax.errors.JAXTypeError as error:
        compiled = type(error).__name__
    return {
        "branch": clipped(x),
        "loop until small": halvings(x),
        "recurrence": recurrence(x),
        "the plain `if`, compiled": compiled,
    }


TOPIC = Topic(
    title="Control flow",
    about="""In PyTorch `if`, `while` and `for` are Python's own and look at the values; compiled,
    a branch on a value splits the graph and the parts go on working. Under `jax.jit` there are no
    values yet, only shapes: an `if` on one raises, and `lax.cond`, `lax.while_loop` and
    `lax.scan` put the branch or the loop into the compiled program. A Python `for` of fixed
    length is allowed, and unrolled. Without `jit` JAX runs plain Python too, slowly.""",
    pytorch=with_pytorch,
    jax=with_jax,
    different={
        "the plain `if`, compiled": Different(
            "a traced value has no truth yet",
            pytorch="works",
            jax="TracerBoolConversionError",
        )
    },
)

if __name__ == "__main__":
    show(TOPIC)
