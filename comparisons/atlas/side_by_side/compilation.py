"""Compilation: torch.compile and jax.jit on the same function, and what a new shape costs."""

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

INPUTS = np.linspace(-2, 2, 60, dtype=np.float32)


def with_pytorch() -> Values:
    def swish(x):
        return x * torch.sigmoid(x)

    x = torch.from_numpy(INPUTS)
    compiled = torch.compile(swish)  # C++ or Triton, at a call

    graphs = []

    def count(graph, _):
        graphs.append(graph)  # called for every compilation
        return graph.forward

    torch.compiler.reset()
    counted = torch.compile(swish, backend=count)
    for length in (10, 10, 20, 30, 40, 50):
        counted(x[:length])
    return {
        "compiled": compiled(x),
        "not compiled": swish(x),
        "compilations for 5 lengths": len(graphs),
    }


def with_jax() -> Values:
    traces = []

    def swish(x):
        traces.append(x.shape)  # runs while tracing only
        return x * jax.nn.sigmoid(x)

    x = jnp.array(INPUTS)
    compiled = jax.jit(swish)(x)
    not_compiled = swish(x)

    traces.clear()
    counted = jax.jit(swish)
    for length in (10, 10, 20, 30, 40, 50):
        counted(x[:length])
    return {
        "compiled": compiled,
        "not compiled": not_compiled,
        "compilations for 5 lengths": len(traces),
    }


TOPIC = Topic(
    title="Compilation",
    about="""`torch.compile` reads the bytecode of a function that already works eagerly, and
    falls back to Python where it must. `jax.jit` runs the function once with tracers and keeps
    the operations it saw; it is how JAX is meant to run, not an extra. Both compile at the first
    call. A new shape is a new program in JAX, every time; PyTorch compiles a second time with the
    size left open and then stays with that program.""",
    pytorch=with_pytorch,
    jax=with_jax,
    different={
        "compilations for 5 lengths": Different(
            "after the first change PyTorch leaves the size open",
            pytorch=2,
            jax=5,
        )
    },
)

if __name__ == "__main__":
    show(TOPIC)
