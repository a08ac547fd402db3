"""Adam and its variants: formulas that differ, and the sign of a chain."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from jax import Array
from torch import Tensor

from comparisons.atlas.traps.optimizers.steps import steps_optax, steps_pytorch
from comparisons.atlas.traps.trap import Trap

OPTIMIZERS = "https://optax.readthedocs.io/en/latest/api/optimizers.html"
ROUNDING = "Optax evaluates 1 - decay**count in float32"


def amsgrad_pytorch() -> Tensor:
    options = {"lr": 1.0, "betas": (0.0, 0.5), "eps": 0.0}
    return steps_pytorch(torch.optim.Adam, [1.0, 0.1], amsgrad=True, **options)


def amsgrad_jax() -> Array:
    return steps_optax(optax.amsgrad(1.0, b1=0.0, b2=0.5, eps=0.0), [1.0, 0.1])


def amsgrad_jax_fixed() -> Array:
    parameter = second = largest = jnp.array(0.0)
    for count, gradient in enumerate([1.0, 0.1], start=1):
        second = 0.5 * second + 0.5 * gradient**2
        largest = jnp.maximum(largest, second)
        parameter -= gradient / jnp.sqrt(largest / (1.0 - 0.5**count))
    return parameter


AMSGRAD_MAXIMUM = Trap(
    id="amsgrad-maximum",
    statement="AMSGrad keeps the largest second moment BEFORE bias correction in PyTorch and after "
    "it in Optax: they part at the second step.",
    severity="silent wrong result",
    symptoms="Adam amsgrad=True port differs from second step, smaller steps later",
    pytorch=amsgrad_pytorch,
    pytorch_gives=-1.0 - 0.1 / (0.5 / 0.75) ** 0.5,  # the largest is 0.5, from the first step
    jax=amsgrad_jax,
    jax_gives=-1.0 - 0.1 / 1.0**0.5,  # the largest is 0.5 / 0.5
    fix="Write the maximum of the raw moment as a transformation of your own.",
    jax_fixed=amsgrad_jax_fixed,
    fix_tolerance=1e-6,
    fix_tolerance_reason="roots and quotients are rounded in another order",
    source=OPTIMIZERS,
)


def nadam_pytorch() -> Tensor:
    return steps_pytorch(torch.optim.NAdam, [1.0], lr=0.1)


def nadam_jax() -> Array:
    return steps_optax(optax.nadam(0.1), [1.0])


def nadam_pytorch_fixed() -> Tensor:
    return steps_pytorch(torch.optim.NAdam, [1.0], lr=0.1, momentum_decay=1e6)


def nadam_momentum(count: int) -> float:
    """PyTorch's schedule: half of beta at first, the whole of it after thousands of steps."""
    return float(0.9 * (1.0 - 0.5 * 0.96 ** (count * 0.004)))


NADAM_MOMENTUM = Trap(
    id="nadam-momentum",
    statement="NAdam raises its momentum slowly from 0.45 in PyTorch, as its paper does; in Optax "
    "it is 0.9 from the start.",
    severity="silent wrong result",
    symptoms="NAdam port takes larger first steps, momentum_decay, Nesterov Adam",
    pytorch=nadam_pytorch,
    pytorch_gives=-0.1
    * (1.0 + nadam_momentum(2) * 0.1 / (1.0 - nadam_momentum(1) * nadam_momentum(2))),
    jax=nadam_jax,
    jax_gives=-0.1 * (1.0 + 0.9 * 0.1 / (1.0 - 0.9**2)),
    fix="A huge momentum_decay switches PyTorch's schedule off.",
    pytorch_fixed=nadam_pytorch_fixed,
    tolerance=2e-5,
    fix_tolerance=2e-5,
    fix_tolerance_reason=ROUNDING,
    source="google-deepmind/optax#719; rwth-i6/returnn#1440",
)


def chain_sign_pytorch() -> Tensor:
    return steps_pytorch(torch.optim.Adam, [1.0], lr=0.1)


def chain_sign_jax() -> Array:
    return steps_optax(optax.chain(optax.scale_by_adam(), optax.scale(0.1)), [1.0])


def chain_sign_jax_fixed() -> Array:
    chain = optax.chain(optax.scale_by_adam(), optax.scale_by_learning_rate(0.1))
    return steps_optax(chain, [1.0])


CHAIN_WITHOUT_MINUS = Trap(
    id="chain-without-minus",
    statement="Optax ADDS updates. A chain that ends in scale(learning_rate) walks uphill; "
    "PyTorch's step subtracts.",
    severity="silent wrong result",
    symptoms="loss increases, gradient ascent, custom optimizer chain, wrong sign",
    pytorch=chain_sign_pytorch,
    pytorch_gives=-0.1,
    jax=chain_sign_jax,
    jax_gives=0.1,
    fix="End a chain with scale_by_learning_rate, which has the minus.",
    jax_fixed=chain_sign_jax_fixed,
    fix_tolerance=2e-5,
    fix_tolerance_reason=ROUNDING,
    source="google-deepmind/optax#1242",
)


def correction_pytorch() -> Tensor:
    return steps_pytorch(torch.optim.Adam, [1.0], lr=1.0)


def correction_jax() -> Array:
    return steps_optax(optax.adam(1.0), [1.0])


def correction_pytorch_fixed() -> Tensor:
    parameter = torch.nn.Parameter(torch.tensor(0.0, dtype=torch.float64))
    parameter.grad = torch.ones_like(parameter)
    torch.optim.Adam([parameter], lr=1.0).step()
    return parameter


def correction_jax_fixed() -> Array:
    with jax.enable_x64(True):
        return steps_optax(optax.adam(1.0), [1.0])


ADAM_BIAS_CORRECTION = Trap(
    id="adam-bias-correction",
    statement="Adam's 1 - beta**t is computed in float64 by PyTorch and in float32 by Optax, which "
    "makes Optax's first step 6.4e-6 too short.",
    severity="silent wrong result",
    symptoms="Adam updates not bitwise equal, differ in the sixth digit, assert_close fails",
    pytorch=correction_pytorch,
    pytorch_gives=-1.0,
    jax=correction_jax,
    jax_gives=-((1.0 - float(np.float32(0.999))) ** 0.5) / 0.001**0.5,
    tolerance=1e-6,
    fix="Nothing to mend: compare with a tolerance of 1e-5, or in float64.",
    pytorch_fixed=correction_pytorch_fixed,
    jax_fixed=correction_jax_fixed,
    fix_tolerance=1e-12,
    fix_tolerance_reason="float64",
    source="optax/tree_utils/_tree_math.py, tree_bias_correction (0.2.8)",
)
