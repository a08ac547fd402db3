"""Distributions that take or give something else."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import torch
from jax import Array
from torch import Tensor

from comparisons.atlas.traps.trap import Raises, Trap


def replace_pytorch() -> Any:
    return len(torch.multinomial(torch.ones(3), 5))


def replace_jax() -> Any:
    return len(jax.random.choice(jax.random.key(0), 3, (5,)))


def replace_pytorch_fixed() -> Any:
    return len(torch.multinomial(torch.ones(3), 5, replacement=True))


SAMPLING_REPLACEMENT = Trap(
    id="sampling-replacement",
    statement="torch.multinomial draws WITHOUT replacement by default, jax.random.choice with it.",
    severity="error",
    symptoms="cannot sample n_sample > prob_dist.size(-1) samples without replacement, duplicates",
    pytorch=replace_pytorch,
    pytorch_gives=Raises("RuntimeError", "without replacement"),
    jax=replace_jax,
    jax_gives=5,
    fix="Always pass replacement (replace in JAX).",
    pytorch_fixed=replace_pytorch_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.multinomial.html",
)


def categorical_pytorch() -> Any:
    draws = torch.multinomial(torch.tensor([0.0, 1.0]), 1000, replacement=True)
    return bool((draws == 0).any())


def categorical_jax() -> Any:
    draws = jax.random.categorical(jax.random.key(0), jnp.array([0.0, 1.0]), shape=(1000,))
    return bool((draws == 0).any())


def categorical_jax_fixed() -> Any:
    logits = jnp.log(jnp.array([0.0, 1.0]))
    draws = jax.random.categorical(jax.random.key(0), logits, shape=(1000,))
    return bool((draws == 0).any())


CATEGORICAL_TAKES_LOGITS = Trap(
    id="categorical-takes-logits",
    statement="torch.multinomial takes probabilities, jax.random.categorical logits: given "
    "probabilities, it draws what has probability 0 (is it ever drawn?).",
    severity="silent wrong result",
    symptoms="policy too random, sampling temperature, impossible class sampled, text incoherent",
    pytorch=categorical_pytorch,
    pytorch_gives=False,
    jax=categorical_jax,
    jax_gives=True,
    fix="Take the logarithm, or hand the logits over as they are.",
    jax_fixed=categorical_jax_fixed,
    source="https://docs.jax.dev/en/latest/_autosummary/jax.random.categorical.html",
)


def geometric_pytorch() -> Tensor:
    return torch.distributions.Geometric(0.5).sample((1000,)).min().int()


def geometric_jax() -> Array:
    return jax.random.geometric(jax.random.key(0), 0.5, (1000,)).min()


def geometric_jax_fixed() -> Array:
    return (jax.random.geometric(jax.random.key(0), 0.5, (1000,)) - 1).min()


GEOMETRIC_SUPPORT = Trap(
    id="geometric-support",
    statement="torch.distributions.Geometric counts the failures, from 0; jax.random.geometric the "
    "trials, from 1 (the smallest of 1000 draws).",
    severity="silent wrong result",
    symptoms="episode length off by one, geometric distribution mean differs by one",
    pytorch=geometric_pytorch,
    pytorch_gives=0,
    jax=geometric_jax,
    jax_gives=1,
    fix="Subtract 1 in JAX.",
    jax_fixed=geometric_jax_fixed,
    source="https://docs.pytorch.org/docs/stable/distributions.html",
)
