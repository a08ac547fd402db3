"""How weights and biases start, drawn by Twofold itself: the same bits in every backend.

A weight (out_features, in_features) of a layer with fan_in inputs and fan_out outputs:

- `pytorch`: uniform in +-1/sqrt(fan_in), as `torch.nn.Linear.reset_parameters` does by
  `kaiming_uniform_(a=sqrt(5))` (PyTorch 2.13);
- `lecun_normal`: normal of variance 1/fan_in, truncated, as `jax.nn.initializers.lecun_normal`
  (JAX 0.10), the default of `flax.nnx.Linear`; PyTorch has no such function;
- `he_normal`: the same of variance 2/fan_in, as `jax.nn.initializers.he_normal`;
- `kaiming_normal`: normal of variance 2/fan_in, not truncated, as
  `torch.nn.init.kaiming_normal_(nonlinearity="relu")`; in JAX the two names are one function;
- `glorot_uniform`: uniform in +-sqrt(6 / (fan_in + fan_out)), as
  `jax.nn.initializers.glorot_uniform` and `torch.nn.init.xavier_uniform_`.

JAX truncates at two standard deviations and divides by what is left of the standard deviation, so
that the variance is the one that was asked for (`jax/_src/nn/initializers.py`,
`variance_scaling`). A bias is zero (Flax's default), or for `pytorch` uniform in +-1/sqrt(fan_in).
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from twofold.spec import threefry

Init = Literal["pytorch", "lecun_normal", "he_normal", "kaiming_normal", "glorot_uniform"]
BiasInit = Literal["pytorch", "zeros"]
Values = npt.NDArray[np.float64]

TRUNCATED_AT: Final = 2.0
TRUNCATED_DEVIATION: Final = 0.87962566103423978
"""The standard deviation of a standard normal number that lies within +-2."""


def initial_weight(init: Init, key: threefry.Key, fan_in: int, fan_out: int) -> Values:
    """A weight (fan_out, fan_in), float64."""
    shape = (fan_out, fan_in)
    match init:
        case "pytorch":
            return _uniform(key, shape, 1.0 / np.sqrt(fan_in))
        case "glorot_uniform":
            return _uniform(key, shape, np.sqrt(6.0 / (fan_in + fan_out)))
        case "kaiming_normal":
            return float(np.sqrt(2.0 / fan_in)) * threefry.normal(key, shape)
        case "lecun_normal" | "he_normal":
            variance = (1.0 if init == "lecun_normal" else 2.0) / fan_in
            return float(np.sqrt(variance)) / TRUNCATED_DEVIATION * truncated_normal(key, shape)


def initial_bias(init: BiasInit, key: threefry.Key, fan_in: int, fan_out: int) -> Values:
    """A bias (fan_out,), float64."""
    if init == "zeros":
        return np.zeros(fan_out)
    return _uniform(key, (fan_out,), 1.0 / np.sqrt(fan_in))


def truncated_normal(key: threefry.Key, shape: tuple[int, ...]) -> Values:
    """Standard normal numbers of `shape` that lie within +-2, by drawing again what lies outside.

    One number in 22 is drawn again, round by round, each round from a key of its own. (JAX inverts
    the distribution function instead, `jax.random.truncated_normal`: the same distribution.)
    """
    values = threefry.normal(threefry.fold_in(key, 0), shape)
    outside = np.abs(values) > TRUNCATED_AT
    number = 0
    while outside.any():
        number += 1
        again = threefry.fold_in(key, number)
        values[outside] = threefry.normal(again, (int(outside.sum()),))
        outside = np.abs(values) > TRUNCATED_AT
    return values


def _uniform(key: threefry.Key, shape: tuple[int, ...], limit: float) -> Values:
    return (2.0 * threefry.uniform(key, shape) - 1.0) * limit
