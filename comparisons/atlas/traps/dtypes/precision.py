"""How exact results are, and what counts as equal."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

from comparisons.atlas.traps.trap import Raises, Trap

GRID = np.linspace(-3, 3, 100_001, dtype="float32")
EXACT = np.stack([f(GRID.astype("float64")) for f in (np.exp, np.tanh, np.sin)])


def ulps_pytorch() -> Any:
    x = torch.from_numpy(GRID)
    y = torch.stack([torch.exp(x), torch.tanh(x), torch.sin(x)])
    return bool((y.numpy() == EXACT.astype("float32")).all())


def ulps_jax() -> Any:
    x = jnp.array(GRID)
    y = jnp.stack([jnp.exp(x), jnp.tanh(x), jnp.sin(x)])
    return bool((np.asarray(y) == EXACT.astype("float32")).all())


def ulps_pytorch_fixed() -> Any:
    x = torch.from_numpy(GRID)
    y = torch.stack([torch.exp(x), torch.tanh(x), torch.sin(x)])
    return bool(np.allclose(y, EXACT, rtol=1e-6, atol=0))


def ulps_jax_fixed() -> Any:
    x = jnp.array(GRID)
    y = jnp.stack([jnp.exp(x), jnp.tanh(x), jnp.sin(x)])
    return bool(np.allclose(y, EXACT, rtol=1e-6, atol=0))


TRANSCENDENTAL_ULPS = Trap(
    id="transcendental-ulps",
    statement="exp, tanh and sin are approximations, another one in each framework, and neither "
    "gives the correctly rounded value everywhere.",
    severity="silent wrong result",
    symptoms="results not bitwise equal, differ in last digit, 1e-7, not reproducible, erf",
    pytorch=ulps_pytorch,
    pytorch_gives=False,
    jax=ulps_jax,
    jax_gives=False,
    shared=True,
    fix="Compare within a few units in the last place (rtol 1e-6), never bit for bit.",
    pytorch_fixed=ulps_pytorch_fixed,
    jax_fixed=ulps_jax_fixed,
    source="google/flax#3128; jax-ml/jax#11790",
)

ONE_MILLIONTH, ZERO = np.array([1e-6], "float32"), np.zeros(1, "float32")


def close_pytorch() -> str:
    torch.testing.assert_close(torch.from_numpy(ONE_MILLIONTH), torch.from_numpy(ZERO))
    return "passes"


def close_jax() -> str:
    np.testing.assert_allclose(jnp.array(ONE_MILLIONTH), ZERO)
    return "passes"


def close_jax_fixed() -> str:
    np.testing.assert_allclose(jnp.array(ONE_MILLIONTH), ZERO, rtol=1.3e-6, atol=1e-5)
    return "passes"


ASSERT_CLOSE_DEFAULTS = Trap(
    id="assert-close-defaults",
    statement="torch.testing.assert_close allows 1e-5 absolute by default for float32; NumPy's "
    "assert_allclose, used with JAX, allows 1e-7 relative and nothing absolute.",
    severity="error",
    symptoms="test tolerance, AssertionError not equal to tolerance rtol=1e-07, near zero",
    pytorch=close_pytorch,
    pytorch_gives="passes",
    jax=close_jax,
    jax_gives=Raises("AssertionError", "rtol=1e-07"),
    fix="State rtol and atol yourself; these are PyTorch's for float32.",
    jax_fixed=close_jax_fixed,
    source="https://docs.pytorch.org/docs/stable/testing.html; "
    "https://numpy.org/doc/stable/reference/generated/numpy.testing.assert_allclose.html",
)

NOT_A_NUMBER = np.array([float("nan")], "float32")


def close_nan_pytorch() -> str:
    torch.testing.assert_close(torch.from_numpy(NOT_A_NUMBER), torch.from_numpy(NOT_A_NUMBER))
    return "passes"


def close_nan_jax() -> str:
    np.testing.assert_allclose(jnp.array(NOT_A_NUMBER), NOT_A_NUMBER)
    return "passes"


def close_nan_pytorch_fixed() -> str:
    x = torch.from_numpy(NOT_A_NUMBER)
    torch.testing.assert_close(x, x, equal_nan=True)
    return "passes"


ASSERT_CLOSE_NAN = Trap(
    id="assert-close-nan",
    statement="NaN equals NaN in NumPy's assert_allclose, used with JAX, and not in "
    "torch.testing.assert_close: a test on NaN passes silently.",
    severity="silent wrong result",
    symptoms="test passes with nan, nan not equal to nan, equal_nan",
    pytorch=close_nan_pytorch,
    pytorch_gives=Raises("AssertionError", "not close"),
    jax=close_nan_jax,
    jax_gives="passes",
    fix="State equal_nan, and check separately that results are finite.",
    pytorch_fixed=close_nan_pytorch_fixed,
    source="https://docs.pytorch.org/docs/stable/testing.html; "
    "https://numpy.org/doc/stable/reference/generated/numpy.testing.assert_allclose.html",
)

SHORT, LONG = np.ones(1, "float32"), np.ones(3, "float64")


def close_shape_pytorch() -> str:
    torch.testing.assert_close(torch.from_numpy(SHORT), torch.from_numpy(LONG))
    return "passes"


def close_shape_jax() -> str:
    np.testing.assert_allclose(jnp.array(1.0), LONG)
    return "passes"


def close_shape_jax_fixed() -> str:
    np.testing.assert_allclose(np.broadcast_to(jnp.array(1.0), 3), LONG, strict=False)
    return "passes"


def close_shape_pytorch_fixed() -> str:
    x = torch.from_numpy(SHORT).expand(3)
    torch.testing.assert_close(x, torch.from_numpy(LONG), check_dtype=False)
    return "passes"


ASSERT_CLOSE_SHAPES = Trap(
    id="assert-close-shapes",
    statement="NumPy's assert_allclose, used with JAX, broadcasts a scalar and ignores dtypes; "
    "torch.testing.assert_close refuses both.",
    severity="silent wrong result",
    symptoms="test passes with wrong shape, the values for attribute shape do not match, dtype",
    pytorch=close_shape_pytorch,
    pytorch_gives=Raises("AssertionError", "do not match"),
    jax=close_shape_jax,
    jax_gives="passes",
    fix="Compare shapes and dtypes on their own (numpy: strict=True); convert knowingly.",
    pytorch_fixed=close_shape_pytorch_fixed,
    jax_fixed=close_shape_jax_fixed,
    source="https://docs.pytorch.org/docs/stable/testing.html; "
    "https://numpy.org/doc/stable/reference/generated/numpy.testing.assert_allclose.html",
)

# Below 1, in tenths: no product is exact in TF32's 10 bits of mantissa.
LEFT = (np.arange(256 * 256).reshape(256, 256) % 97 / 97).astype("float32")


def tf32_pytorch() -> Any:
    x = torch.from_numpy(LEFT).cuda()
    error = np.abs((x @ x).cpu().numpy() - LEFT.astype("float64") @ LEFT).max()
    return bool(error < 1e-3)


def tf32_jax() -> Any:
    x = jnp.array(LEFT)
    error = np.abs(np.asarray(x @ x) - LEFT.astype("float64") @ LEFT).max()
    return bool(error < 1e-3)


def tf32_jax_fixed() -> Any:
    with jax.default_matmul_precision("highest"):
        return tf32_jax()


MATMUL_PRECISION_TF32 = Trap(
    id="matmul-precision-tf32",
    statement="On NVIDIA GPUs since Ampere a float32 product keeps full precision in PyTorch and "
    "about three digits in JAX, which uses TF32 by default.",
    severity="silent wrong result",
    symptoms="GPU results differ from CPU, 1e-3 relative error, TF32, A100, matmul precision",
    pytorch=tf32_pytorch,
    pytorch_gives=True,
    jax=tf32_jax,
    jax_gives=False,
    fix="jax.default_matmul_precision('highest'); in PyTorch torch.backends.cudnn.allow_tf32 is "
    "still on for convolutions.",
    jax_fixed=tf32_jax_fixed,
    source="jax-ml/jax#12008; jax-ml/jax#14022; pytorch/pytorch#67384",
    needs="cuda",
    verified="the documentation only: no GPU was at hand",
)
