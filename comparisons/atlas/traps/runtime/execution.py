"""When work is done, and what a compiled call leaves behind."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import torch
from flax import nnx
from jax import Array
from torch import Tensor, nn

from comparisons.atlas.traps.trap import Raises, Trap

NOT_VERIFIED = "the documentation only: no GPU was at hand"


def async_pytorch() -> Any:
    x, y = torch.ones(2000, 2000), torch.zeros(2000, 2000)
    torch.mm(x, x, out=y)
    return bool(y.numpy()[-1, -1] == 2000)


def async_jax() -> Any:
    x = jnp.ones((2000, 2000))
    work = jax.jit(lambda x: x @ x @ x)
    work(x).block_until_ready()  # compiled and warm
    return work(x).is_ready()


def async_jax_fixed() -> Any:
    x = jnp.ones((2000, 2000))
    work = jax.jit(lambda x: x @ x @ x)
    return work(x).block_until_ready().is_ready()


ASYNC_DISPATCH = Trap(
    id="async-dispatch",
    statement="A JAX call returns before the work is done, on the CPU too; PyTorch on the CPU is "
    "done when it returns (is the result there?). A clock around the call measures nothing.",
    severity="silent wrong result",
    symptoms="benchmark too fast, timing wrong, microseconds for a large product, "
    "block_until_ready",
    pytorch=async_pytorch,
    pytorch_gives=True,
    jax=async_jax,
    jax_gives=False,
    fix="block_until_ready() before the clock is read, after a warm-up call.",
    jax_fixed=async_jax_fixed,
    source="jax-ml/jax#1219; https://docs.jax.dev/en/latest/async_dispatch.html",
)


def donated_pytorch() -> Any:
    x = torch.zeros(3)
    x.add_(1)
    return x + 1


def donated_jax() -> Any:
    step = jax.jit(lambda x: x + 1, donate_argnums=0)
    x = jnp.zeros(3)
    step(x)
    return x + 1


def donated_jax_fixed() -> Any:
    step = jax.jit(lambda x: x + 1, donate_argnums=0)
    x = jnp.zeros(3)
    x = step(x)
    return x + 1


DONATED_BUFFER = Trap(
    id="donated-buffer",
    statement="PyTorch's in-place step changes the tensor you hold; JAX's donated argument is "
    "deleted, and using it again raises, on the CPU too.",
    severity="error",
    symptoms="Array has been deleted, buffer donated, donate_argnums",
    pytorch=donated_pytorch,
    pytorch_gives=[2.0, 2.0, 2.0],
    jax=donated_jax,
    jax_gives=Raises("RuntimeError", "deleted"),
    fix="Rebind: state = step(state).",
    jax_fixed=donated_jax_fixed,
    source="https://docs.jax.dev/en/latest/buffer_donation.html",
)


def fast_math_pytorch() -> Tensor:
    x = torch.tensor(float("inf"))
    return x - x


def fast_math_jax() -> Array:
    return jax.jit(lambda x: x - x)(float("inf"))


def fast_math_jax_fixed() -> Array:
    careful = {"xla_cpu_enable_fast_math": False}
    return jax.jit(lambda x: x - x, compiler_options=careful)(float("inf"))


XLA_FAST_MATH = Trap(
    id="xla-fast-math",
    statement="With --xla_cpu_enable_fast_math, found in old recipes, inf - inf is 0 in JAX "
    "instead "
    "of NaN, and checks for NaN stop working.",
    severity="silent wrong result",
    symptoms="isnan always False, nan not detected, infinity, XLA_FLAGS",
    pytorch=fast_math_pytorch,
    pytorch_gives=float("nan"),
    jax=fast_math_jax,
    jax_gives=0.0,
    fix="Leave the flag away, which is the default (here: switched off for one function).",
    jax_fixed=fast_math_jax_fixed,
    source="https://docs.jax.dev/en/latest/xla_flags.html",
    environment={"XLA_FLAGS": "--xla_cpu_enable_fast_math=true", "JAX_PLATFORMS": "cpu"},
)


ROWS = [[1.0], [3.0]]


def statistics_pytorch() -> Any:
    layer = nn.BatchNorm1d(1, momentum=0.5)
    layer(torch.tensor(ROWS))
    return layer.running_mean


def statistics_jax() -> Any:
    layer = nnx.BatchNorm(1, momentum=0.5, rngs=nnx.Rngs(0))
    jax.jit(lambda layer, x: layer(x))(layer, jnp.array(ROWS))
    return layer.mean[...]


def statistics_jax_fixed() -> Any:
    layer = nnx.BatchNorm(1, momentum=0.5, rngs=nnx.Rngs(0))
    nnx.jit(lambda layer, x: layer(x))(layer, jnp.array(ROWS))
    return layer.mean[...]


NNX_STATE_LOST_IN_JAX_JIT = Trap(
    id="nnx-state-lost-in-jax-jit",
    statement="A Flax module handed to jax.jit is a copy: its BatchNorm statistics are updated in "
    "there and thrown away, without a word.",
    severity="silent wrong result",
    symptoms="running mean stays zero, evaluation accuracy bad, batch statistics not updated",
    pytorch=statistics_pytorch,
    pytorch_gives=[1.0],  # 0.5 * 0 + 0.5 * 2
    jax=statistics_jax,
    jax_gives=[0.0],
    fix="nnx.jit, or return the module.",
    jax_fixed=statistics_jax_fixed,
    source="google/flax#3997; "
    "https://flax.readthedocs.io/en/latest/guides/jax_and_nnx_transforms.html",
)


def mask_pytorch() -> Any:
    layer, x = nn.Dropout(0.5), torch.ones(100)
    return bool((layer(x) == layer(x)).all())


def mask_jax() -> Any:
    layer, x = nnx.Dropout(0.5, rngs=nnx.Rngs(0)), jnp.ones(100)
    step = jax.jit(lambda layer, x: layer(x))
    return bool((step(layer, x) == step(layer, x)).all())


def mask_jax_fixed() -> Any:
    layer, x = nnx.Dropout(0.5, rngs=nnx.Rngs(0)), jnp.ones(100)
    step = nnx.jit(lambda layer, x: layer(x))
    return bool((step(layer, x) == step(layer, x)).all())


DROPOUT_MASK_FROZEN_IN_JAX_JIT = Trap(
    id="dropout-mask-frozen-in-jax-jit",
    statement="A Flax module handed to jax.jit draws the same dropout mask at every call, since "
    "its "
    "counter is thrown away (are two masks equal?).",
    severity="silent wrong result",
    symptoms="dropout does not regularise, same units dropped, overfitting, rngs count",
    pytorch=mask_pytorch,
    pytorch_gives=False,
    jax=mask_jax,
    jax_gives=True,
    fix="nnx.jit, or hand in a new key each time.",
    jax_fixed=mask_jax_fixed,
    source="google/flax#3997",
)


def launch_pytorch() -> Any:
    x = torch.ones(8192, 8192, device="cuda")
    torch.cuda.synchronize()
    for _ in range(20):
        x = x @ x / 8192
    return torch.cuda.current_stream().query()


def launch_jax() -> Any:
    work = jax.jit(lambda x: x @ x / 8192)
    x = work(jnp.ones((8192, 8192))).block_until_ready()
    for _ in range(20):
        x = work(x)
    return x.is_ready()


def launch_pytorch_fixed() -> Any:
    x = torch.ones(8192, 8192, device="cuda")
    x = x @ x / 8192
    torch.cuda.synchronize()
    return torch.cuda.current_stream().query()


def launch_jax_fixed() -> Any:
    return (jnp.ones((8192, 8192)) @ jnp.ones((8192, 8192))).block_until_ready().is_ready()


CUDA_SYNC_TIMING = Trap(
    id="cuda-sync-timing",
    statement="On a GPU both return before the work is done (is it?): a clock around the call "
    "measures launches.",
    severity="silent wrong result",
    symptoms="GPU benchmark too fast, timing CUDA kernels, synchronize",
    pytorch=launch_pytorch,
    pytorch_gives=False,
    jax=launch_jax,
    jax_gives=False,
    shared=True,
    fix="torch.cuda.synchronize(), block_until_ready().",
    pytorch_fixed=launch_pytorch_fixed,
    jax_fixed=launch_jax_fixed,
    source="https://docs.pytorch.org/docs/stable/notes/cuda.html",
    needs="cuda",
    verified=NOT_VERIFIED,
)
