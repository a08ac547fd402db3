"""Functions and activations in bfloat16 at every number that it has, in both frameworks.

References: SciPy and the oracle's own values in float64, which test_values compares with mpmath.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from scipy import special
from twofold_flax.layers import ACTIVATIONS as FLAX_ACTIVATIONS
from twofold_torch.layers import ACTIVATIONS as TORCH_ACTIVATIONS

from twofold.parity.oracle.activations import activate
from twofold.parity.oracle.arithmetic import BFLOAT16_ULPS, TANH_SATURATES, arithmetic_for
from twofold.parity.oracle.bounded import Bounded, multiply, to_bfloat16
from twofold.spec.layers.activation import ActivationName

Array = np.ndarray[Any, Any]
MIXED: Final = arithmetic_for("mixed_bfloat16")
TINY: Final = 2.0**-126
LIMITS: Final = {
    "exp": BFLOAT16_ULPS.exp,
    "expm1": BFLOAT16_ULPS.expm1,
    "tanh": BFLOAT16_ULPS.tanh,
    "erf": BFLOAT16_ULPS.erf,
    "erfc": BFLOAT16_ULPS.erf,
    "sigmoid": BFLOAT16_ULPS.sigmoid,
}
TRUE: Final[dict[str, Callable[[Array], Array]]] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "tanh": np.tanh,
    "erf": special.erf,
    "erfc": special.erfc,
    "sigmoid": special.expit,
}
JAX: Final[dict[str, Callable[[Any], Any]]] = {
    "exp": jnp.exp,
    "expm1": jnp.expm1,
    "tanh": jnp.tanh,
    "erf": jax.lax.erf,
    "erfc": jax.lax.erfc,
    "sigmoid": jax.nn.sigmoid,
}
WAYS: Final = ("torch", "jax", "jax jit")


def every_number() -> Array:
    """All finite bfloat16 numbers, as float32."""
    x = (np.arange(2**16, dtype=np.uint32) << 16).view(np.float32)
    return x[np.isfinite(x)]


def evaluate(name: str, x: Array, way: str) -> Array:
    """A function of bfloat16 numbers, in float64."""
    if way == "torch":
        return np.asarray(getattr(torch, name)(torch.from_numpy(x).bfloat16()).double().numpy())
    function = jax.jit(JAX[name]) if way == "jax jit" else JAX[name]
    return np.asarray(function(jnp.asarray(x, jnp.bfloat16)).astype(jnp.float32), np.float64)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", LIMITS)
def test_errors_are_within_the_constants(name: str, way: str) -> None:
    x = every_number()
    x = x[np.abs(x) < 88]  # where exp has a value
    true = TRUE[name](x.astype(np.float64))
    computed = evaluate(name, x, way)
    ulp = 2.0 ** (np.frexp(np.abs(true))[1] - 8.0)
    if name in ("erf", "erfc"):  # of one: GELU uses 1 + erf and erfc
        ulp = np.maximum(ulp, 2.0**-7)
    errors = np.where(np.abs(true) < 4 * TINY, 0, np.abs(computed - true) / ulp)
    print(f"{way} {name}: {errors.max():.2f} ulps of {LIMITS[name]}")
    assert errors.max() <= LIMITS[name]


@pytest.mark.parametrize("way", WAYS)
def test_tanh_saturates(way: str) -> None:
    x = every_number()
    x = x[np.abs(x) > TANH_SATURATES["mixed_bfloat16"]]
    assert (evaluate("tanh", x, way) == np.sign(x)).all()


def by_torch(name: ActivationName, z: Array, upstream: Array) -> tuple[Array, Array]:
    """The activation of z and what its backward pass makes of `upstream`."""
    given = torch.from_numpy(z).bfloat16().requires_grad_()
    value = TORCH_ACTIVATIONS[name](given)
    (gradient,) = torch.autograd.grad(value, given, torch.from_numpy(upstream).bfloat16())
    return value.detach().double().numpy(), gradient.double().numpy()


def by_jax(name: ActivationName, z: Array, upstream: Array, *, jit: bool) -> tuple[Array, Array]:
    def both(given: Any, cotangent: Any) -> tuple[Any, Any]:
        value, pull = jax.vjp(FLAX_ACTIVATIONS[name], given)
        return value, pull(cotangent)[0]

    numbers = [jnp.asarray(array, jnp.bfloat16) for array in (z, upstream)]
    value, gradient = (jax.jit(both) if jit else both)(*numbers)
    return tuple(np.asarray(a.astype(jnp.float32), np.float64) for a in (value, gradient))  # type: ignore[return-value]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", get_args(ActivationName))
def test_activations_are_within_their_bounds(name: ActivationName, way: str) -> None:
    z = every_number()
    # Beyond, the cube in gelu_tanh leaves the range. XLA reads subnormal numbers as zero: to the
    # oracle a linear layer's result is off by as much.
    z = z[(np.abs(z) < 1e8) & ((np.abs(z) >= TINY) | (z == 0))]
    random = np.random.default_rng(11)
    upstream = to_bfloat16(random.standard_normal(z.shape).astype(np.float32))
    if way == "torch":
        value, gradient = by_torch(name, z, upstream)
    else:
        value, gradient = by_jax(name, z, upstream, jit=way == "jax jit")
    at = Bounded(z.astype(np.float64), np.zeros(z.shape))
    allowed, derivative = activate(name, at, MIXED.layers)
    pulled = multiply(
        Bounded(upstream.astype(np.float64), np.zeros(z.shape)), derivative, MIXED.layers
    )
    for what, computed, expected in (
        ("value", value, allowed),
        ("gradient", gradient, pulled),
    ):
        error = np.abs(computed - expected.value)
        ratios = error / np.maximum(expected.bound, 1e-300)
        ratios = np.where(error == 0, 0, ratios)
        worst = int(np.argmax(ratios))
        print(f"{way} {name} {what}: {ratios[worst]:.2f} of the bound at {z[worst]}")
        assert (error <= expected.bound).all(), (z[worst], computed[worst], expected.value[worst])
