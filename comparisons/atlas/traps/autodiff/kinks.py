"""Where a function has no derivative, each framework takes one of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
import torch
import torch.nn.functional as F
from jax import Array
from torch import Tensor

from comparisons.atlas.traps.trap import Trap


def slope(function: Callable[[Tensor], Tensor], at: Any) -> Tensor:
    """The gradient of a function's sum in PyTorch."""
    x = torch.tensor(at, requires_grad=True)
    function(x).sum().backward()
    assert x.grad is not None
    return x.grad


def clamp_pytorch() -> Tensor:
    return slope(lambda x: x.clamp(-1.0, 1.0), 1.0)


def clamp_jax() -> Array:
    return jax.grad(lambda x: jnp.clip(x, -1.0, 1.0))(1.0)


def clamp_jax_fixed() -> Array:
    def clip(x: Array) -> Array:
        inside = (x >= -1.0) & (x <= 1.0)
        return jnp.where(inside, x, jnp.clip(x, -1.0, 1.0))

    return jax.grad(clip)(1.0)


CLIP_BOUNDARY_GRADIENT = Trap(
    id="clip-boundary-gradient",
    statement="At the bound itself clamp has gradient 1 in PyTorch, and clip 0.5 in JAX.",
    severity="silent wrong result",
    symptoms="PPO clipping ratio, gradient differs at the boundary, clamped action",
    pytorch=clamp_pytorch,
    pytorch_gives=1.0,
    jax=clamp_jax,
    jax_gives=0.5,
    fix="Choose the inside with where; PyTorch 2.14 is said to change to 0.",
    jax_fixed=clamp_jax_fixed,
    source="pytorch/pytorch#195931; pytorch/pytorch#184572; jax-ml/jax#37821; jax-ml/jax#14840",
)


def hardtanh_pytorch() -> Tensor:
    return slope(F.hardtanh, [-1.0, 1.0])


def hardtanh_jax() -> Array:
    return jax.grad(lambda x: jax.nn.hard_tanh(x).sum())(jnp.array([-1.0, 1.0]))


def hardtanh_jax_fixed() -> Array:
    def hard_tanh(x: Array) -> Array:
        inside = (x > -1.0) & (x < 1.0)
        return jnp.where(inside, x, jax.lax.stop_gradient(jnp.clip(x, -1.0, 1.0))).sum()

    return jax.grad(hard_tanh)(jnp.array([-1.0, 1.0]))


HARD_TANH_BOUNDARY_GRADIENT = Trap(
    id="hard-tanh-boundary-gradient",
    statement="At -1 and 1 hardtanh has gradient 0 in PyTorch and 1 in JAX.",
    severity="silent wrong result",
    symptoms="quantised network, straight-through estimator, saturated units learn or do not",
    pytorch=hardtanh_pytorch,
    pytorch_gives=[0.0, 0.0],
    jax=hardtanh_jax,
    jax_gives=[1.0, 1.0],
    fix="Choose the open interval with where.",
    jax_fixed=hardtanh_jax_fixed,
    source="pytorch/pytorch#195931; jax-ml/jax#37821",
)


def abs_pytorch() -> Tensor:
    return slope(torch.abs, [-2.0, 0.0, 3.0])


def abs_jax() -> Array:
    return jax.grad(lambda x: jnp.abs(x).sum())(jnp.array([-2.0, 0.0, 3.0]))


def abs_jax_fixed() -> Array:
    def magnitude(x: Array) -> Array:
        return (x * jax.lax.stop_gradient(jnp.sign(x))).sum()

    return jax.grad(magnitude)(jnp.array([-2.0, 0.0, 3.0]))


ABS_GRADIENT_AT_ZERO = Trap(
    id="abs-gradient-at-zero",
    statement="The gradient of |x| at 0 is 0 in PyTorch and 1 in JAX.",
    severity="silent wrong result",
    symptoms="L1 penalty, zero-initialised weights drift, mean absolute error, sparse",
    pytorch=abs_pytorch,
    pytorch_gives=[-1.0, 0.0, 1.0],
    jax=abs_jax,
    jax_gives=[-1.0, 1.0, 1.0],
    fix="x * stop_gradient(sign(x)).",
    jax_fixed=abs_jax_fixed,
    source="jax-ml/jax#37820",
)


def max_pytorch() -> Tensor:
    return slope(lambda x: x.max(dim=0).values, [1.0, 2.0, 2.0])


def max_jax() -> Array:
    return jax.grad(lambda x: x.max(axis=0))(jnp.array([1.0, 2.0, 2.0]))


def max_pytorch_fixed() -> Tensor:
    return slope(lambda x: x.amax(dim=0), [1.0, 2.0, 2.0])


MAX_REDUCTION_TIES = Trap(
    id="max-reduction-ties",
    statement="The gradient of max over a dimension goes to ONE of equal elements in PyTorch and "
    "is shared by all of them in JAX.",
    severity="silent wrong result",
    symptoms="max pooling gradient, ReLU zeros tie, min, global max",
    pytorch=max_pytorch,
    pytorch_gives=[0.0, 1.0, 0.0],
    jax=max_jax,
    jax_gives=[0.0, 0.5, 0.5],
    fix="torch.amax shares, too.",
    pytorch_fixed=max_pytorch_fixed,
    source="pytorch/pytorch#56734; pytorch/pytorch#155048",
)


def median_pytorch() -> Tensor:
    return slope(torch.median, [1.0, 2.0])


def median_jax() -> Array:
    return jax.grad(jnp.median)(jnp.array([1.0, 2.0]))


def median_pytorch_fixed() -> Tensor:
    return slope(lambda x: x.quantile(0.5), [1.0, 2.0])


MEDIAN_GRADIENT = Trap(
    id="median-gradient",
    statement="The gradient of the median of an even count goes to the lower middle element in "
    "PyTorch and to both in JAX.",
    severity="silent wrong result",
    symptoms="robust loss, scale-invariant depth loss, median normalization",
    pytorch=median_pytorch,
    pytorch_gives=[1.0, 0.0],
    jax=median_jax,
    jax_gives=[0.5, 0.5],
    fix="torch.quantile(x, 0.5).",
    pytorch_fixed=median_pytorch_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.median.html",
)


def norm_pytorch() -> Tensor:
    return slope(torch.linalg.norm, [0.0, 0.0])


def norm_jax() -> Array:
    return jax.grad(jnp.linalg.norm)(jnp.zeros(2))


def norm_jax_fixed() -> Array:
    return jax.grad(lambda x: optax.safe_norm(x, 1e-12))(jnp.zeros(2))


NORM_GRADIENT_AT_ZERO = Trap(
    id="norm-gradient-at-zero",
    statement="The gradient of a norm at the zero vector is 0 in PyTorch and NaN in JAX.",
    severity="silent wrong result",
    symptoms="nan gradients after first step, distance between equal points, normalize zero vector",
    pytorch=norm_pytorch,
    pytorch_gives=[0.0, 0.0],
    jax=norm_jax,
    jax_gives=[float("nan"), float("nan")],
    fix="optax.safe_norm(x, smallest).",
    jax_fixed=norm_jax_fixed,
    source="jax-ml/jax#3058; jax-ml/jax#21723; jax-ml/jax#26248",
)


def std_pytorch() -> Tensor:
    return slope(lambda x: x.std(correction=0), [2.0, 2.0])


def std_jax() -> Array:
    return jax.grad(jnp.std)(jnp.array([2.0, 2.0]))


def std_jax_fixed() -> Array:
    def std(x: Array) -> Array:
        variance = jnp.var(x)
        safe = jnp.where(variance > 0, variance, 1.0)
        return jnp.where(variance > 0, jnp.sqrt(safe), 0.0)

    return jax.grad(std)(jnp.array([2.0, 2.0]))


STD_GRADIENT_OF_CONSTANT = Trap(
    id="std-gradient-of-constant",
    statement="The gradient of the standard deviation of equal numbers is 0 in PyTorch and NaN in "
    "JAX.",
    severity="silent wrong result",
    symptoms="nan in normalization of constant feature, minibatch standard deviation, GAN",
    pytorch=std_pytorch,
    pytorch_gives=[0.0, 0.0],
    jax=std_jax,
    jax_gives=[float("nan"), float("nan")],
    fix="Guard the root twice with where, or take the root of variance plus an epsilon.",
    jax_fixed=std_jax_fixed,
    source="jax-ml/jax#3058; jax-ml/jax#4177",
)


def power_pytorch() -> Tensor:
    exponent = torch.tensor(0.0)
    return slope(lambda x: x**exponent, 0.0)


def power_jax() -> Array:
    return jax.grad(lambda x: x ** jnp.array(0.0))(0.0)


def power_jax_fixed() -> Array:
    return jax.grad(lambda x: x**0)(0.0)


POWER_GRADIENT_AT_ZERO = Trap(
    id="power-gradient-at-zero",
    statement="The gradient of x to the power 0.0 at x = 0 is 0 in PyTorch and NaN in JAX.",
    severity="silent wrong result",
    symptoms="polynomial features nan, focal loss gamma zero, pow gradient",
    pytorch=power_pytorch,
    pytorch_gives=0.0,
    jax=power_jax,
    jax_gives=float("nan"),
    fix="Use a Python int as exponent where it is one.",
    jax_fixed=power_jax_fixed,
    source="jax-ml/jax#1052",
)


def angle_pytorch() -> Tensor:
    return slope(lambda y: torch.atan2(y, torch.tensor(0.0)), 0.0)


def angle_jax() -> Array:
    return jax.grad(jnp.arctan2)(0.0, 0.0)


def angle_jax_fixed() -> Array:
    def angle(y: Array, x: Array) -> Array:
        origin = (y == 0) & (x == 0)
        return jnp.where(origin, 0.0, jnp.arctan2(y, jnp.where(origin, 1.0, x)))

    return jax.grad(angle)(0.0, 0.0)


ATAN2_GRADIENT_AT_ORIGIN = Trap(
    id="atan2-gradient-at-origin",
    statement="The gradient of atan2 at the origin is 0 in PyTorch and NaN in JAX.",
    severity="silent wrong result",
    symptoms="polar coordinates nan, phase of zero, rotation angle gradient",
    pytorch=angle_pytorch,
    pytorch_gives=0.0,
    jax=angle_jax,
    jax_gives=float("nan"),
    fix="Guard the origin twice with where.",
    jax_fixed=angle_jax_fixed,
    source="jax-ml/jax#1052",
)


def hypot_pytorch() -> Tensor:
    return slope(lambda x: torch.hypot(x, torch.tensor(0.0)), 0.0)


def hypot_jax() -> Array:
    return jax.grad(jnp.hypot)(0.0, 0.0)


def hypot_pytorch_fixed() -> Tensor:
    def hypot(x: Tensor, y: Tensor) -> Tensor:
        origin = (x == 0) & (y == 0)
        return torch.where(origin, 0.5 * x, torch.hypot(torch.where(origin, 1.0, x), y))

    return slope(lambda x: hypot(x, torch.tensor(0.0)), 0.0)


HYPOT_GRADIENT_AT_ORIGIN = Trap(
    id="hypot-gradient-at-origin",
    statement="The gradient of hypot at the origin is NaN in PyTorch and 0.5 in JAX: here JAX is "
    "the one that is finite.",
    severity="silent wrong result",
    symptoms="distance nan gradient, two points coincide, hypot",
    pytorch=hypot_pytorch,
    pytorch_gives=float("nan"),
    jax=hypot_jax,
    jax_gives=0.5,
    fix="Guard the origin twice with where, and choose its gradient.",
    pytorch_fixed=hypot_pytorch_fixed,
    source="https://docs.jax.dev/en/latest/_autosummary/jax.numpy.hypot.html",
)


def nan_relu_pytorch() -> Tensor:
    return slope(F.relu, [float("nan"), 1.0])


def nan_relu_jax() -> Array:
    return jax.grad(lambda x: jax.nn.relu(x).sum())(jnp.array([float("nan"), 1.0]))


def nan_relu_jax_fixed() -> Array:
    def relu(x: Array) -> Array:
        return jnp.where(x <= 0, 0.0, x).sum()

    return jax.grad(relu)(jnp.array([float("nan"), 1.0]))


RELU_GRADIENT_OF_NAN = Trap(
    id="relu-gradient-of-nan",
    statement="At NaN relu has gradient 1 in PyTorch and 0 in JAX: a NaN batch poisons the weights "
    "in one and leaves them finite in the other.",
    severity="silent wrong result",
    symptoms="loss is nan but weights are finite, nan batch, weights nan",
    pytorch=nan_relu_pytorch,
    pytorch_gives=[1.0, 1.0],
    jax=nan_relu_jax,
    jax_gives=[0.0, 1.0],
    fix="Watch the loss, not the weights; where(x <= 0, 0, x) lets NaN through.",
    jax_fixed=nan_relu_jax_fixed,
    source="https://docs.jax.dev/en/latest/_autosummary/jax.nn.relu.html",
)


def where_pytorch() -> Tensor:
    return slope(lambda x: torch.where(x > 0, torch.sqrt(x), 0.0), [-1.0, 4.0])


def where_jax() -> Array:
    def root(x: Array) -> Array:
        return jnp.where(x > 0, jnp.sqrt(x), 0.0).sum()

    return jax.grad(root)(jnp.array([-1.0, 4.0]))


def where_pytorch_fixed() -> Tensor:
    def root(x: Tensor) -> Tensor:
        safe = torch.where(x > 0, x, 1.0)
        return torch.where(x > 0, torch.sqrt(safe), 0.0)

    return slope(root, [-1.0, 4.0])


def where_jax_fixed() -> Array:
    def root(x: Array) -> Array:
        safe = jnp.where(x > 0, x, 1.0)
        return jnp.where(x > 0, jnp.sqrt(safe), 0.0).sum()

    return jax.grad(root)(jnp.array([-1.0, 4.0]))


WHERE_NAN_GRADIENT = Trap(
    id="where-nan-gradient",
    statement="where(x > 0, sqrt(x), 0) has a NaN gradient for x < 0 in both: the branch that was "
    "not taken is differentiated as well, and 0 times NaN is NaN.",
    severity="silent wrong result",
    symptoms="nan gradient although forward is finite, masked loss nan, sqrt log where",
    pytorch=where_pytorch,
    pytorch_gives=[float("nan"), 0.25],
    jax=where_jax,
    jax_gives=[float("nan"), 0.25],
    shared=True,
    fix="Guard twice: where(x > 0, sqrt(where(x > 0, x, 1)), 0).",
    pytorch_fixed=where_pytorch_fixed,
    jax_fixed=where_jax_fixed,
    source="jax-ml/jax#347; jax-ml/jax#1052; pytorch/pytorch#2421",
)
