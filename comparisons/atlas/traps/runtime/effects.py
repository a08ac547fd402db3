"""Effects that a compiled function has once, or not at all."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import jax
import jax.numpy as jnp
import torch
from jax import Array
from torch import Tensor

from comparisons.atlas.traps.trap import Raises, Trap


def print_pytorch() -> Any:
    @torch.compile(backend="eager")
    def step(x: Tensor) -> Tensor:
        print("step")
        return x * 2

    with contextlib.redirect_stdout(io.StringIO()) as text:
        for _ in range(3):
            step(torch.ones(2))
    return text.getvalue().count("step")


def print_jax() -> Any:
    @jax.jit
    def step(x: Array) -> Array:
        print("step")
        return x * 2

    with contextlib.redirect_stdout(io.StringIO()) as text:
        for _ in range(3):
            step(jnp.ones(2))
    return text.getvalue().count("step")


def print_jax_fixed() -> Any:
    @jax.jit
    def step(x: Array) -> Array:
        jax.debug.print("step")
        return x * 2

    with contextlib.redirect_stdout(io.StringIO()) as text:
        for _ in range(3):
            step(jnp.ones(2))
        jax.effects_barrier()
    return text.getvalue().count("step")


PRINT_UNDER_JIT = Trap(
    id="print-under-jit",
    statement="print in a jitted function prints once, while tracing; under torch.compile at every "
    "call (lines of 3 calls).",
    severity="silent wrong result",
    symptoms="print shows Traced or tracer, log only once, debugging jit",
    pytorch=print_pytorch,
    pytorch_gives=3,
    jax=print_jax,
    jax_gives=1,
    fix="jax.debug.print.",
    jax_fixed=print_jax_fixed,
    source="https://docs.jax.dev/en/latest/debugging.html",
)


def effect_pytorch() -> Any:
    seen = []

    @torch.compile(backend="eager")
    def step(x: Tensor) -> Tensor:
        seen.append("step")
        return x * 2

    for _ in range(3):
        step(torch.ones(2))
    return len(seen)


def effect_jax() -> Any:
    seen = []

    @jax.jit
    def step(x: Array) -> Array:
        seen.append("step")
        return x * 2

    for _ in range(3):
        step(jnp.ones(2))
    return len(seen)


def effect_jax_fixed() -> Any:
    seen = []

    @jax.jit
    def step(x: Array) -> Array:
        return x * 2

    for _ in range(3):
        step(jnp.ones(2))
        seen.append("step")
    return len(seen)


SIDE_EFFECT_RUNS_ONCE = Trap(
    id="side-effect-runs-once",
    statement="A counter or list that a jitted function changes is changed once, while tracing; "
    "under torch.compile at every call.",
    severity="silent wrong result",
    symptoms="step counter stays at 1, history has one entry, metrics list, global variable",
    pytorch=effect_pytorch,
    pytorch_gives=3,
    jax=effect_jax,
    jax_gives=1,
    fix="Return what changes, and keep it outside.",
    jax_fixed=effect_jax_fixed,
    source="https://docs.jax.dev/en/latest/notebooks/Common_Gotchas_in_JAX.html",
)


def leak_pytorch() -> Any:
    hidden = []

    @torch.compile(backend="eager")
    def model(x: Tensor) -> Tensor:
        hidden.append(x * 2)
        return x.sum()

    model(torch.ones(2))
    return hidden[0] + 1


def leak_jax() -> Any:
    hidden = []

    @jax.jit
    def model(x: Array) -> Array:
        hidden.append(x * 2)
        return x.sum()

    model(jnp.ones(2))
    return hidden[0] + 1


def leak_jax_fixed() -> Any:
    @jax.jit
    def model(x: Array) -> tuple[Array, Array]:
        return x.sum(), x * 2

    _, hidden = model(jnp.ones(2))
    return hidden + 1


LEAKED_TRACER = Trap(
    id="leaked-tracer",
    statement="A value put aside inside a jitted function (a hook, self.hidden = ...) is a tracer "
    "without a number, and using it later raises; under torch.compile it is a tensor.",
    severity="error",
    symptoms="UnexpectedTracerError, leaked trace, save activations, forward hook, attention maps",
    pytorch=leak_pytorch,
    pytorch_gives=[3.0, 3.0],
    jax=leak_jax,
    jax_gives=Raises("UnexpectedTracerError"),
    fix="Return it.",
    jax_fixed=leak_jax_fixed,
    source="https://docs.jax.dev/en/latest/errors.html",
)


def mutate_pytorch() -> Any:
    @torch.compile(backend="eager")
    def step(state: dict[str, Tensor]) -> Tensor:
        state["count"] = state["count"] + 1
        return state["x"] * 2

    state = {"count": torch.tensor(0), "x": torch.tensor(1)}
    step(state)
    return state["count"]


def mutate_jax() -> Any:
    @jax.jit
    def step(state: dict[str, Array]) -> Array:
        state["count"] = state["count"] + 1
        return state["x"] * 2

    state = {"count": jnp.array(0), "x": jnp.array(1)}
    step(state)
    return state["count"]


def mutate_jax_fixed() -> Any:
    @jax.jit
    def step(state: dict[str, Array]) -> tuple[dict[str, Array], Array]:
        return state | {"count": state["count"] + 1}, state["x"] * 2

    state = {"count": jnp.array(0), "x": jnp.array(1)}
    state, _ = step(state)
    return state["count"]


ARGUMENT_MUTATION_LOST = Trap(
    id="argument-mutation-lost",
    statement="A dictionary changed inside a jitted function is a copy: the caller's is as before, "
    "without a word. torch.compile changes the caller's.",
    severity="silent wrong result",
    symptoms="state not updated, step count zero, running statistics unchanged, dict argument",
    pytorch=mutate_pytorch,
    pytorch_gives=1,
    jax=mutate_jax,
    jax_gives=0,
    fix="Return the new state.",
    jax_fixed=mutate_jax_fixed,
    source="https://docs.jax.dev/en/latest/notebooks/Common_Gotchas_in_JAX.html",
)


class Scale:
    """Something with an attribute that a compiled function reads."""

    factor = 1.0


def stale_pytorch() -> Any:
    scale = Scale()

    @torch.compile(backend="eager")
    def step(x: Tensor) -> Tensor:
        return x * scale.factor

    step(torch.tensor(2.0))
    scale.factor = 10.0
    return step(torch.tensor(2.0))


def stale_jax() -> Any:
    scale = Scale()

    @jax.jit
    def step(x: Array) -> Array:
        return x * scale.factor

    step(jnp.array(2.0))
    scale.factor = 10.0
    return step(jnp.array(2.0))


def stale_jax_fixed() -> Any:
    scale = Scale()

    @jax.jit
    def step(x: Array, factor: float) -> Array:
        return x * factor

    step(jnp.array(2.0), scale.factor)
    scale.factor = 10.0
    return step(jnp.array(2.0), scale.factor)


CLOSURE_CONSTANT_STALE = Trap(
    id="closure-constant-stale",
    statement="jax.jit freezes globals, closures and attributes as they were while tracing; "
    "torch.compile guards them and compiles again when they change.",
    severity="silent wrong result",
    symptoms="learning rate schedule has no effect, changed hyperparameter ignored, global config",
    pytorch=stale_pytorch,
    pytorch_gives=20.0,
    jax=stale_jax,
    jax_gives=2.0,
    fix="Pass it as an argument.",
    jax_fixed=stale_jax_fixed,
    source="https://docs.jax.dev/en/latest/notebooks/Common_Gotchas_in_JAX.html",
)


def sorted_pytorch() -> Any:
    @torch.compile(backend="eager")
    def doubled(values: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: value * 2 for name, value in values.items()}

    return list(doubled({"b": torch.tensor(1), "a": torch.tensor(2)}))


def sorted_jax() -> Any:
    @jax.jit
    def doubled(values: dict[str, Array]) -> dict[str, Array]:
        return {name: value * 2 for name, value in values.items()}

    return list(doubled({"b": jnp.array(1), "a": jnp.array(2)}))


def sorted_jax_fixed() -> Any:
    @jax.jit
    def doubled(values: dict[str, Array]) -> dict[str, Array]:
        return {name: value * 2 for name, value in values.items()}

    given = {"b": jnp.array(1), "a": jnp.array(2)}
    result = doubled(given)
    return [name for name in given if name in result]


JIT_SORTS_DICTIONARIES = Trap(
    id="jit-sorts-dictionaries",
    statement="A dictionary comes out of jax.jit, jax.tree.map and every other transformation with "
    "its keys sorted; torch.compile keeps their order.",
    severity="silent wrong result",
    symptoms="order of layers changed, zip of dict values, columns swapped, pytree order",
    pytorch=sorted_pytorch,
    pytorch_gives=["b", "a"],
    jax=sorted_jax,
    jax_gives=["a", "b"],
    fix="Go by name, never by position.",
    jax_fixed=sorted_jax_fixed,
    source="https://docs.jax.dev/en/latest/pytrees.html",
)
