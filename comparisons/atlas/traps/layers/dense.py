"""Dense layers: weight layout, initial values, number types."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx
from jax import Array
from torch import Tensor, nn

from comparisons.atlas.traps.trap import Trap

WEIGHT = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)


def layout_pytorch() -> Tensor:
    linear = nn.Linear(2, 2, bias=False)
    linear.load_state_dict({"weight": torch.from_numpy(WEIGHT)})
    return linear(torch.ones(2))


def layout_jax() -> Array:
    linear = nnx.Linear(2, 2, use_bias=False, rngs=nnx.Rngs(0))
    linear.kernel[...] = jnp.array(WEIGHT)
    return linear(jnp.ones(2))


def layout_jax_fixed() -> Array:
    linear = nnx.Linear(2, 2, use_bias=False, rngs=nnx.Rngs(0))
    linear.kernel[...] = jnp.array(WEIGHT.T)
    return linear(jnp.ones(2))


LINEAR_WEIGHT_LAYOUT = Trap(
    id="linear-weight-layout",
    statement="A dense weight is (out, in) in PyTorch and (in, out) in Flax, so a square one loads "
    "without an error and computes something else.",
    severity="silent wrong result",
    symptoms="converted checkpoint gives wrong logits, kernel transposed, shape matches",
    pytorch=layout_pytorch,
    pytorch_gives=[3.0, 7.0],  # sums of the rows
    jax=layout_jax,
    jax_gives=[4.0, 6.0],  # sums of the columns
    fix="Transpose: kernel = weight.T.",
    jax_fixed=layout_jax_fixed,
    source="https://flax.readthedocs.io/en/stable/migrating/convert_pytorch_to_flax.html; "
    "google/flax#3128",
)


def default_init_pytorch() -> dict[str, Tensor]:
    linear = nn.Linear(400, 1000)
    return {"weight std": linear.weight.std(), "largest bias": linear.bias.abs().max()}


def default_init_jax() -> dict[str, Array]:
    linear = nnx.Linear(400, 1000, rngs=nnx.Rngs(0))
    return {"weight std": linear.kernel.std(), "largest bias": jnp.abs(linear.bias[...]).max()}


def default_init_jax_fixed() -> dict[str, Array]:
    def bias_init(key: Array, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
        return jax.random.uniform(key, shape, dtype, -(400**-0.5), 400**-0.5)

    kernel_init = jax.nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
    rngs = nnx.Rngs(0)
    linear = nnx.Linear(400, 1000, kernel_init=kernel_init, bias_init=bias_init, rngs=rngs)
    return {"weight std": linear.kernel.std(), "largest bias": jnp.abs(linear.bias[...]).max()}


LINEAR_DEFAULT_INIT = Trap(
    id="linear-default-init",
    statement="A new dense layer has weights and biases from U(-1/sqrt(in), 1/sqrt(in)) in "
    "PyTorch; in Flax its weights are normal with sqrt(3) times that spread and its biases zero.",
    severity="silent wrong result",
    symptoms="training curves differ from the start, first loss larger, initialization",
    pytorch=default_init_pytorch,
    pytorch_gives={"weight std": (3 * 400) ** -0.5, "largest bias": 400**-0.5},
    jax=default_init_jax,
    jax_gives={"weight std": 400**-0.5, "largest bias": 0.0},
    fix="Give Flax PyTorch's distributions as kernel_init and bias_init.",
    jax_fixed=default_init_jax_fixed,
    tolerance=3e-3,
    fix_tolerance=3e-3,
    fix_tolerance_reason="statistics of 400,000 weights and 1,000 biases drawn independently",
    source="google/flax#3125; pytorch/pytorch#57109",
)


def fan_in_pytorch() -> Tensor:
    weight = nn.init.kaiming_normal_(torch.empty(100, 1600))  # (out, in)
    return weight.std()


def fan_in_jax() -> Array:
    weight = jax.nn.initializers.he_normal()(jax.random.key(0), (100, 1600))
    return weight.std()


def fan_in_jax_fixed() -> Array:
    init = jax.nn.initializers.he_normal(in_axis=-1, out_axis=-2)
    return init(jax.random.key(0), (100, 1600)).std()


INITIALIZER_FAN_AXIS = Trap(
    id="initializer-fan-axis",
    statement="Initializers take the fan-in from the LAST axis of a matrix in PyTorch and from the "
    "one before it in JAX: a weight kept as (out, in) gets the wrong spread.",
    severity="silent wrong result",
    symptoms="activations explode or vanish with depth, kaiming he xavier glorot lecun",
    pytorch=fan_in_pytorch,
    pytorch_gives=(2 / 1600) ** 0.5,
    jax=fan_in_jax,
    jax_gives=(2 / 100) ** 0.5,
    fix="Build kernels as (in, out), or name the axes: in_axis=-1, out_axis=-2.",
    jax_fixed=fan_in_jax_fixed,
    tolerance=1e-2,
    fix_tolerance=1e-2,
    fix_tolerance_reason="standard deviations of 160,000 numbers drawn independently",
    source="google/flax#3128; "
    "https://docs.jax.dev/en/latest/_autosummary/jax.nn.initializers.he_normal.html",
)


def trunc_normal_pytorch() -> bool:
    weight = nn.init.trunc_normal_(torch.empty(10_000), std=0.02)
    return bool((weight.abs() > 0.04).any())  # beyond two standard deviations


def trunc_normal_jax() -> bool:
    weight = jax.nn.initializers.truncated_normal(0.02)(jax.random.key(0), (10_000,))
    return bool((jnp.abs(weight) > 0.04).any())


def trunc_normal_pytorch_fixed() -> bool:
    weight = nn.init.trunc_normal_(torch.empty(10_000), std=0.02, a=-0.04, b=0.04)
    return bool((weight.abs() > 0.04).any())


TRUNC_NORMAL_BOUNDS = Trap(
    id="trunc-normal-bounds",
    statement="The bounds of a truncated normal are absolute numbers (-2 and 2) in PyTorch and "
    "multiples of the standard deviation in JAX: with std=0.02 PyTorch truncates nothing.",
    severity="silent wrong result",
    symptoms="ViT transformer initialization has outliers, truncated normal not truncated",
    pytorch=trunc_normal_pytorch,
    pytorch_gives=True,
    jax=trunc_normal_jax,
    jax_gives=False,
    fix="In PyTorch give bounds in units of std: a=-2*std, b=2*std.",
    pytorch_fixed=trunc_normal_pytorch_fixed,
    source="google/flax#4091; "
    "https://docs.pytorch.org/docs/stable/nn.init.html#torch.nn.init.trunc_normal_",
)


def layer_dtype_pytorch() -> str:
    return str(nn.Linear(2, 2, dtype=torch.bfloat16).weight.dtype).removeprefix("torch.")


def layer_dtype_jax() -> str:
    return str(nnx.Linear(2, 2, dtype=jnp.bfloat16, rngs=nnx.Rngs(0)).kernel.dtype)


def layer_dtype_jax_fixed() -> str:
    linear = nnx.Linear(2, 2, dtype=jnp.bfloat16, param_dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    return str(linear.kernel.dtype)


LAYER_DTYPE_ARGUMENT = Trap(
    id="layer-dtype-argument",
    statement="A layer's dtype is the type of its parameters in PyTorch; in Flax it is the type of "
    "the computation, and the parameters stay float32.",
    severity="silent wrong result",
    symptoms="model takes twice the memory, bfloat16 checkpoint is float32, half precision",
    pytorch=layer_dtype_pytorch,
    pytorch_gives="bfloat16",
    jax=layer_dtype_jax,
    jax_gives="float32",
    fix="Pass param_dtype as well.",
    jax_fixed=layer_dtype_jax_fixed,
    source="https://flax.readthedocs.io/en/latest/api_reference/flax.nnx/nn/linear.html",
)
