"""Python that a compiler cannot follow."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import torch
from jax import Array
from torch import Tensor

from comparisons.atlas.traps.trap import Raises, Trap


def if_pytorch() -> Tensor:
    @torch.compile(backend="eager")
    def step(x: Tensor) -> Tensor:
        return x + 1 if x.sum() > 0 else x - 1

    return step(torch.tensor([1.0, 2.0]))


def if_jax() -> Array:
    @jax.jit
    def step(x: Array) -> Array:
        return x + 1 if x.sum() > 0 else x - 1

    return step(jnp.array([1.0, 2.0]))


def if_jax_fixed() -> Array:
    @jax.jit
    def step(x: Array) -> Array:
        return jax.lax.cond(x.sum() > 0, lambda x: x + 1, lambda x: x - 1, x)

    return step(jnp.array([1.0, 2.0]))


PYTHON_IF_UNDER_JIT = Trap(
    id="python-if-under-jit",
    statement="An `if` on a value raises under jax.jit; torch.compile splits the graph there and "
    "works.",
    severity="error",
    symptoms="TracerBoolConversionError, Attempted boolean conversion of traced array, graph break",
    pytorch=if_pytorch,
    pytorch_gives=[2.0, 3.0],
    jax=if_jax,
    jax_gives=Raises("TracerBoolConversionError"),
    fix="lax.cond or jnp.where; a static argument where it is no tensor.",
    jax_fixed=if_jax_fixed,
    source="jax-ml/jax#16430; https://docs.jax.dev/en/latest/notebooks/Common_Gotchas_in_JAX.html",
)


def full_pytorch() -> Tensor:
    @torch.compile(backend="eager", fullgraph=True)
    def step(x: Tensor) -> Tensor:
        return x + 1 if x.sum() > 0 else x - 1

    return step(torch.tensor([1.0, 2.0]))


def full_pytorch_fixed() -> Tensor:
    @torch.compile(backend="eager", fullgraph=True)
    def step(x: Tensor) -> Tensor:
        return torch.where(x.sum() > 0, x + 1, x - 1)

    return step(torch.tensor([1.0, 2.0]))


FULLGRAPH_IF = Trap(
    id="fullgraph-if",
    statement="With fullgraph=True torch.compile is as strict about an `if` as jax.jit: both "
    "raise.",
    severity="error",
    symptoms="Unsupported Data-dependent branching, fullgraph, export",
    pytorch=full_pytorch,
    pytorch_gives=Raises("Unsupported", "branching"),
    jax=if_jax,
    jax_gives=Raises("TracerBoolConversionError"),
    fix="where or cond in both.",
    pytorch_fixed=full_pytorch_fixed,
    jax_fixed=if_jax_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.compile.html",
)


def number_pytorch() -> Tensor:
    @torch.compile(backend="eager")
    def scaled(x: Tensor) -> Tensor:
        return x * float(x.max())

    return scaled(torch.tensor([1.0, 2.0]))


def number_jax() -> Array:
    @jax.jit
    def scaled(x: Array) -> Array:
        return x * float(x.max())

    return scaled(jnp.array([1.0, 2.0]))


def number_jax_fixed() -> Array:
    @jax.jit
    def scaled(x: Array) -> Array:
        return x * x.max()

    return scaled(jnp.array([1.0, 2.0]))


FLOAT_UNDER_JIT = Trap(
    id="float-under-jit",
    statement="float(), int() and .item() of a value raise under jax.jit; torch.compile splits the "
    "graph there and works.",
    severity="error",
    symptoms="ConcretizationTypeError, Abstract tracer value encountered where concrete value",
    pytorch=number_pytorch,
    pytorch_gives=[2.0, 4.0],
    jax=number_jax,
    jax_gives=Raises("ConcretizationTypeError"),
    fix="Stay with arrays.",
    jax_fixed=number_jax_fixed,
    source="https://docs.jax.dev/en/latest/errors.html",
)


def range_pytorch() -> Any:
    @torch.compile(backend="eager")
    def power(x: Tensor, n: int) -> Tensor:
        for _ in range(n):
            x = x * 2
        return x

    return power(torch.tensor(1.0), 3)


def range_jax() -> Any:
    @jax.jit
    def power(x: Array, n: int) -> Array:
        for _ in range(n):
            x = x * 2
        return x

    return power(jnp.array(1.0), 3)


def range_jax_fixed() -> Any:
    def power(x: Array, n: int) -> Array:
        for _ in range(n):
            x = x * 2
        return x

    return jax.jit(power, static_argnames="n")(jnp.array(1.0), 3)


RANGE_OF_AN_ARGUMENT = Trap(
    id="range-of-an-argument",
    statement="jax.jit makes every argument a traced array, a Python int too: range(n) and shapes "
    "from it raise. torch.compile keeps it a number.",
    severity="error",
    symptoms="TracerIntegerConversionError, __index__, Shapes must be 1D sequences of concrete",
    pytorch=range_pytorch,
    pytorch_gives=8.0,
    jax=range_jax,
    jax_gives=Raises("TracerIntegerConversionError"),
    fix="static_argnames for what decides shapes and lengths.",
    jax_fixed=range_jax_fixed,
    source="https://docs.jax.dev/en/latest/errors.html",
)


def list_pytorch() -> Any:
    @torch.compile(backend="eager")
    def reshaped(x: Tensor, shape: list[int]) -> Tensor:
        return x.reshape(shape)

    return reshaped(torch.arange(4), [2, 2])


def list_jax() -> Any:
    def reshaped(x: Array, shape: list[int]) -> Array:
        return x.reshape(shape)

    return jax.jit(reshaped, static_argnums=1)(jnp.arange(4), [2, 2])


def list_jax_fixed() -> Any:
    def reshaped(x: Array, shape: tuple[int, ...]) -> Array:
        return x.reshape(shape)

    return jax.jit(reshaped, static_argnums=1)(jnp.arange(4), (2, 2))


STATIC_ARGUMENT_UNHASHABLE = Trap(
    id="static-argument-unhashable",
    statement="A static argument of jax.jit must be hashable: a list or dictionary raises; "
    "torch.compile takes it.",
    severity="error",
    symptoms="Non-hashable static arguments are not supported, unhashable type list, config dict",
    pytorch=list_pytorch,
    pytorch_gives=[[0, 1], [2, 3]],
    jax=list_jax,
    jax_gives=Raises("ValueError", "Non-hashable"),
    fix="A tuple, or a frozen dataclass.",
    jax_fixed=list_jax_fixed,
    source="https://docs.jax.dev/en/latest/_autosummary/jax.jit.html",
)
