"""How often a compiler runs, and how large its programs grow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import torch

from comparisons.atlas.traps.trap import Trap


def torch_compilations(function: Callable[..., Any], calls: Sequence[Any]) -> list[int]:
    """For each graph that torch.compile makes during the calls, its number of operations."""
    graphs: list[int] = []

    def count(graph: torch.fx.GraphModule, _: Any) -> Callable[..., Any]:
        graphs.append(sum(node.op.startswith("call") for node in graph.graph.nodes))
        return graph.forward

    torch.compiler.reset()
    compiled = torch.compile(function, backend=count)
    for arguments in calls:
        compiled(*arguments)
    torch.compiler.reset()
    return graphs


def jax_compilations(function: Callable[..., Any], calls: Sequence[Any], **options: Any) -> int:
    """How often jax.jit traces a function during the calls."""
    traces = []

    def traced(*arguments: Any) -> Any:
        traces.append(arguments)
        return function(*arguments)

    jitted = jax.jit(traced, **options)
    for arguments in calls:
        jitted(*arguments)
    return len(traces)


def shapes_pytorch() -> Any:
    calls = [(torch.ones(length),) for length in (2, 3, 4, 5, 6)]
    return len(torch_compilations(lambda x: x * 2, calls))


def shapes_jax() -> Any:
    calls = [(jnp.ones(length),) for length in (2, 3, 4, 5, 6)]
    return jax_compilations(lambda x: x * 2, calls)


def shapes_pytorch_fixed() -> Any:
    calls = [(torch.nn.functional.pad(torch.ones(n), (0, 8 - n)),) for n in (2, 3, 4, 5, 6)]
    return len(torch_compilations(lambda x: x * 2, calls))


def shapes_jax_fixed() -> Any:
    calls = [(jnp.pad(jnp.ones(n), (0, 8 - n)),) for n in (2, 3, 4, 5, 6)]
    return jax_compilations(lambda x: x * 2, calls)


RETRACE_PER_SHAPE = Trap(
    id="retrace-per-shape",
    statement="jax.jit compiles for every new shape; torch.compile leaves the size open after the "
    "first change (compilations for 5 lengths).",
    severity="slow",
    symptoms="compiles every batch, last batch slow, variable length sequences, recompilation",
    pytorch=shapes_pytorch,
    pytorch_gives=2,
    jax=shapes_jax,
    jax_gives=5,
    fix="Pad to one length, or to a few.",
    pytorch_fixed=shapes_pytorch_fixed,
    jax_fixed=shapes_jax_fixed,
    source="jax-ml/jax#9288; jax-ml/jax#4274; jax-ml/jax#1832",
)


def static_pytorch() -> Any:
    calls = [(torch.ones(2), scale) for scale in (2, 3, 4, 5, 6)]
    return len(torch_compilations(lambda x, scale: x * scale, calls))


def static_jax() -> Any:
    calls = [(jnp.ones(2), scale) for scale in (2, 3, 4, 5, 6)]
    return jax_compilations(lambda x, scale: x * scale, calls, static_argnums=1)


def static_pytorch_fixed() -> Any:
    calls = [(torch.ones(2), torch.tensor(scale)) for scale in (2, 3, 4, 5, 6)]
    return len(torch_compilations(lambda x, scale: x * scale, calls))


def static_jax_fixed() -> Any:
    calls = [(jnp.ones(2), jnp.array(scale)) for scale in (2, 3, 4, 5, 6)]
    return jax_compilations(lambda x, scale: x * scale, calls)


RETRACE_PER_STATIC_VALUE = Trap(
    id="retrace-per-static-value",
    statement="jax.jit compiles for each value of a static argument; torch.compile leaves a Python "
    "int open after the first change (compilations for 5 values).",
    severity="slow",
    symptoms="compiles every step, step number as argument, static_argnums, epoch as int",
    pytorch=static_pytorch,
    pytorch_gives=2,
    jax=static_jax,
    jax_gives=5,
    fix="Pass numbers that change as arrays.",
    pytorch_fixed=static_pytorch_fixed,
    jax_fixed=static_jax_fixed,
    source="jax-ml/jax#9288; jax-ml/jax#4274",
)


def weak_pytorch() -> Any:
    calls = [(torch.tensor(1.0),), (torch.tensor(2.0, dtype=torch.float32),)]
    return len(torch_compilations(lambda x: x * 2, calls))


def weak_jax() -> Any:
    return jax_compilations(lambda x: x * 2, [(1.0,), (jnp.float32(2.0),)])


def weak_jax_fixed() -> Any:
    return jax_compilations(lambda x: x * 2, [(jnp.float32(1.0),), (jnp.float32(2.0),)])


RETRACE_WEAK_TYPE = Trap(
    id="retrace-weak-type",
    statement="jax.jit compiles apart for a Python number and for a float32 scalar, which looks "
    "the "
    "same; a float32 tensor is one case in PyTorch.",
    severity="slow",
    symptoms="compiles twice, second call slow, weak_type, loss scale float or array",
    pytorch=weak_pytorch,
    pytorch_gives=1,
    jax=weak_jax,
    jax_gives=2,
    fix="Always pass the same kind: jnp.float32(x).",
    jax_fixed=weak_jax_fixed,
    source="https://docs.jax.dev/en/latest/type_promotion.html",
)


def lambda_pytorch() -> Any:
    graphs: list[Any] = []

    def count(graph: torch.fx.GraphModule, _: Any) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    torch.compiler.reset()
    for _ in range(4):
        torch.compile(lambda x: x * 2, backend=count)(torch.ones(2))
    return len(graphs)


def lambda_jax() -> Any:
    traces: list[Any] = []
    for _ in range(4):
        jax.jit(lambda x: traces.append(x) or x * 2)(jnp.ones(2))
    return len(traces)


def lambda_jax_fixed() -> Any:
    traces: list[Any] = []
    doubled = jax.jit(lambda x: traces.append(x) or x * 2)
    for _ in range(4):
        doubled(jnp.ones(2))
    return len(traces)


RETRACE_FRESH_FUNCTION = Trap(
    id="retrace-fresh-function",
    statement="jax.jit of a lambda made anew in each round of a loop compiles anew; torch.compile "
    "goes by the code and does not (compilations in 4 rounds).",
    severity="slow",
    symptoms="jit inside loop slow, memory grows, every step compiles, partial, lambda",
    pytorch=lambda_pytorch,
    pytorch_gives=1,
    jax=lambda_jax,
    jax_gives=4,
    fix="Call jit once, outside the loop.",
    jax_fixed=lambda_jax_fixed,
    source="jax-ml/jax#1832",
)


def limit_pytorch() -> Any:
    calls = [(torch.ones([1] * rank),) for rank in range(1, 13)]
    return len(torch_compilations(lambda x: x * 2, calls))


def limit_jax() -> Any:
    return jax_compilations(lambda x: x * 2, [(jnp.ones([1] * rank),) for rank in range(1, 13)])


def limit_pytorch_fixed() -> Any:
    calls = [(torch.ones([1] * rank),) for rank in range(1, 13)]
    with torch._dynamo.config.patch(recompile_limit=12):
        return len(torch_compilations(lambda x: x * 2, calls))


RECOMPILE_LIMIT = Trap(
    id="recompile-limit",
    statement="torch.compile gives up after 8 compilations of a function and goes on uncompiled, "
    "with a line in the log; jax.jit never gives up (compilations for 12 ranks).",
    severity="slow",
    symptoms="torch._dynamo hit config.recompile_limit, compiled model as slow as eager",
    pytorch=limit_pytorch,
    pytorch_gives=8,
    jax=limit_jax,
    jax_gives=12,
    fix="Remove what varies, or raise torch._dynamo.config.recompile_limit.",
    pytorch_fixed=limit_pytorch_fixed,
    source="https://docs.pytorch.org/docs/stable/compile/programming_model.recompilation.html",
)


def unrolled_pytorch() -> Any:
    def repeated(x: torch.Tensor, times: int) -> torch.Tensor:
        for _ in range(times):
            x = torch.sin(x)
        return x

    return [torch_compilations(repeated, [(torch.ones(1), n)])[0] for n in (10, 100)]


def unrolled_jax() -> Any:
    def repeated(x: jax.Array, times: int) -> jax.Array:
        for _ in range(times):
            x = jnp.sin(x)
        return x

    programs = (jax.make_jaxpr(repeated, static_argnums=1)(1.0, n) for n in (10, 100))
    return [len(program.eqns) for program in programs]


def unrolled_pytorch_fixed() -> Any:
    calls = [(torch.ones(1),)] * 100  # the loop outside, its body compiled
    return torch_compilations(torch.sin, calls)


def unrolled_jax_fixed() -> Any:
    def repeated(x: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, 100, lambda _, x: jnp.sin(x), x)

    return [len(jax.make_jaxpr(repeated)(1.0).eqns)]


PYTHON_LOOP_UNROLLED = Trap(
    id="python-loop-unrolled",
    statement="A Python loop is unrolled by both compilers: program and compile time grow with its "
    "length (operations for 10 and 100 rounds).",
    severity="slow",
    symptoms="compilation takes minutes, recurrent network, ODE solver, diffusion steps",
    pytorch=unrolled_pytorch,
    pytorch_gives=[10, 100],
    jax=unrolled_jax,
    jax_gives=[10, 100],
    shared=True,
    fix="lax.scan or fori_loop; in PyTorch compile the body and loop outside.",
    pytorch_fixed=unrolled_pytorch_fixed,
    jax_fixed=unrolled_jax_fixed,
    source="https://docs.jax.dev/en/latest/notebooks/Common_Gotchas_in_JAX.html",
)
