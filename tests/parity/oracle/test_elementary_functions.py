"""How far off the frameworks' elementary functions are, in units in the last place.

The oracle counts on the constants of `twofold.parity.oracle.arithmetic`. References: float64 SciPy
for float32; longdouble NumPy for float64, and mpmath for erf and erfc there.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
import torch
from scipy import special

from twofold.parity.oracle.arithmetic import (
    ERF_ULPS,
    EXP_ULPS,
    EXPM1_ULPS,
    EXPM1_ULPS_OF_ONE,
    LOG1P_ULPS,
    LOG_ULPS,
    RSQRT_ULPS,
    SIGMOID_ULPS,
    TANH_SATURATES,
    TANH_ULPS,
)

Array = np.ndarray[Any, Any]
LIMITS = {
    "exp": EXP_ULPS,
    "expm1": EXPM1_ULPS,
    "log": LOG_ULPS,
    "log1p": LOG1P_ULPS,
    "tanh": TANH_ULPS,
    "erf": ERF_ULPS,
    "erfc": ERF_ULPS,
    "sigmoid": SIGMOID_ULPS,
    "rsqrt": RSQRT_ULPS,
}
DTYPES = {"float32": np.float32, "float64": np.float64}
JAX: dict[str, Callable[[Any], Any]] = {
    "exp": jnp.exp,
    "expm1": jnp.expm1,
    "log": jnp.log,
    "log1p": jnp.log1p,
    "tanh": jnp.tanh,
    "erf": jax.lax.erf,
    "erfc": jax.lax.erfc,
    "sigmoid": jax.nn.sigmoid,
    "rsqrt": jax.lax.rsqrt,
}


@cache
def arguments(name: str, precision: str) -> Array:
    """A wide and dense sample of arguments, as the losses and activations use the function."""
    dtype = DTYPES[precision]
    few = precision == "float64" and name in ("erf", "erfc")
    count = 2_000 if few else 200_000
    random = np.random.default_rng(41)
    small = np.geomspace(1e-30, 1, count)
    if name == "exp":  # softmax: never positive
        lowest = -87.0 if precision == "float32" else -708.0
        sample = np.concatenate([random.uniform(-20, 0, count), random.uniform(lowest, 0, count)])
    elif name == "expm1":  # ELU: never positive
        sample = np.concatenate([-small, random.uniform(-20, 0, count), random.uniform(-90, 0, 99)])
    elif name == "log":  # a sum of exponentials, the largest of which is one
        sample = np.concatenate([1 + small, random.uniform(1, 4, count), 10 * np.geomspace(1, 1e6)])
    elif name == "log1p":
        sample = small
    elif name == "rsqrt":  # a variance and eps
        sample = np.concatenate([np.geomspace(1e-12, 1e12, count), random.uniform(0, 9, count)])
    elif name == "erfc":
        sample = np.concatenate([-small, small, random.uniform(-7, 1, count)])
    elif name == "sigmoid":
        lowest = -87.0 if precision == "float32" else -708.0
        sample = np.concatenate([random.uniform(-20, 20, count), random.uniform(lowest, 90, count)])
    else:
        sample = np.concatenate([small, -small, random.uniform(-25, 25, count)])
    return np.unique(sample.astype(dtype))


@cache
def reference(name: str, precision: str) -> Array:
    """The function in much higher precision than that of its arguments."""
    x = arguments(name, precision)
    if precision == "float64" and name in ("erf", "erfc"):
        with mp.workdps(40):
            values = [getattr(mp, name)(mp.mpf(float(a))) for a in x]
            high = [float(value) for value in values]
            low = [float(v - mp.mpf(h)) for v, h in zip(values, high, strict=True)]
        return np.array(high, np.longdouble) + np.array(low, np.longdouble)
    wide = x.astype(np.float64 if precision == "float32" else np.longdouble)
    if name == "sigmoid":
        return 1 / (1 + np.exp(-wide))
    if name == "rsqrt":
        return np.asarray(1 / np.sqrt(wide))
    return np.asarray(getattr(special if name.startswith("erf") else np, name)(wide))


def ulps(computed: Array, name: str, precision: str, *, of_one: bool = False) -> float:
    """The largest error in units in the last place of the true value, or of one if that is larger.

    Of one always for erf and erfc: GELU uses 1 + erf and erfc, so that the absolute error counts.
    """
    true = reference(name, precision)
    spacing = np.spacing(np.abs(true).astype(computed.dtype)).astype(true.dtype)
    smallest = np.finfo(computed.dtype).smallest_normal
    spacing = np.maximum(spacing, np.spacing(smallest))
    if of_one or name in ("erf", "erfc"):
        spacing = np.maximum(spacing, np.finfo(computed.dtype).eps)
    error = np.abs(computed.astype(true.dtype) - true)
    error = np.where(np.abs(true) < 4 * smallest, 0, error)  # flushed: has a bound of its own
    return float((error / spacing).max())


def by_torch(name: str, x: Array) -> Array:
    return np.asarray(getattr(torch, name)(torch.from_numpy(x)).numpy())


def by_jax(name: str, x: Array, *, jit: bool) -> Array:
    with jax.enable_x64(x.dtype == np.float64):
        function = jax.jit(JAX[name]) if jit else JAX[name]
        return np.asarray(function(jnp.asarray(x)))


@pytest.fixture(params=["torch", "jax", "jax jit"])
def evaluate(request: pytest.FixtureRequest) -> Iterator[Callable[[str, Array], Array]]:
    if request.param == "torch":
        yield by_torch
    else:
        yield lambda name, x: by_jax(name, x, jit=request.param == "jax jit")


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("name", LIMITS)
def test_errors_are_within_the_constants(
    name: str, precision: str, evaluate: Callable[[str, Array], Array]
) -> None:
    error = ulps(evaluate(name, arguments(name, precision)), name, precision)
    print(f"{name} {precision}: {error:.2f} ulps of {LIMITS[name]}")
    assert error <= LIMITS[name]


@pytest.mark.parametrize("precision", DTYPES)
def test_tanh_saturates(precision: str, evaluate: Callable[[str, Array], Array]) -> None:
    limit = np.nextafter(DTYPES[precision](TANH_SATURATES[precision]), DTYPES[precision](np.inf))
    beyond = np.geomspace(limit, 1e4, 50_000).astype(DTYPES[precision])
    x = np.concatenate([beyond, -beyond])
    assert (evaluate("tanh", x) == np.sign(x)).all()


@pytest.mark.parametrize("precision", DTYPES)
def test_compiled_torch(precision: str) -> None:
    names = [name for name in LIMITS if name != "erfc"]

    def together(*arrays: Any) -> list[Any]:
        return [getattr(torch, name)(a) for name, a in zip(names, arrays, strict=True)]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch._dynamo.reset()
        compiled = torch.compile(together, dynamic=False)
        given = [torch.from_numpy(arguments(name, precision)) for name in names]
        results = compiled(*given)
    for name, result in zip(names, results, strict=True):
        limit = EXPM1_ULPS_OF_ONE if name == "expm1" else LIMITS[name]
        error = ulps(result.numpy(), name, precision, of_one=name == "expm1")
        print(f"compiled {name} {precision}: {error:.2f} ulps of {limit}")
        assert error <= limit
