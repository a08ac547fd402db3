"""Optimizers that scale each step: defaults, epsilons, and formulas that differ."""

from __future__ import annotations

import jax.numpy as jnp
import optax
import torch
from jax import Array
from torch import Tensor

from comparisons.atlas.traps.optimizers.steps import steps_optax, steps_pytorch
from comparisons.atlas.traps.trap import Raises, Trap

OPTIMIZERS = "https://optax.readthedocs.io/en/latest/api/optimizers.html"
ROUNDING = "Optax evaluates 1 - decay**count in float32"


def rmsprop_decay_pytorch() -> Tensor:
    return steps_pytorch(torch.optim.RMSprop, [1.0], lr=0.1)


def rmsprop_decay_jax() -> Array:
    return steps_optax(optax.rmsprop(0.1), [1.0])


def rmsprop_decay_jax_fixed() -> Array:
    return steps_optax(optax.rmsprop(0.1, decay=0.99, eps_in_sqrt=False), [1.0])


RMSPROP_DECAY = Trap(
    id="rmsprop-decay",
    statement="RMSprop forgets with 0.99 by default in PyTorch (called alpha) and with 0.9 in "
    "Optax (called decay).",
    severity="silent wrong result",
    symptoms="reinforcement learning run differs, RMSprop default, first steps larger",
    pytorch=rmsprop_decay_pytorch,
    pytorch_gives=-0.1 / 0.01**0.5,
    jax=rmsprop_decay_jax,
    jax_gives=-0.1 / 0.1**0.5,
    fix="optax.rmsprop(lr, decay=0.99, eps_in_sqrt=False).",
    jax_fixed=rmsprop_decay_jax_fixed,
    fix_tolerance=1e-6,
    fix_tolerance_reason="1 - 0.99 is rounded in float32",
    source="google-deepmind/optax#532",
)


def rmsprop_eps_pytorch() -> Tensor:
    return steps_pytorch(torch.optim.RMSprop, [1e-4], lr=0.1)


def rmsprop_eps_jax() -> Array:
    return steps_optax(optax.rmsprop(0.1, decay=0.99), [1e-4])


def rmsprop_eps_jax_fixed() -> Array:
    return steps_optax(optax.rmsprop(0.1, decay=0.99, eps_in_sqrt=False), [1e-4])


RMSPROP_EPSILON = Trap(
    id="rmsprop-epsilon",
    statement="RMSprop adds eps after the square root in PyTorch and UNDER it in Optax, where 1e-8 "
    "outweighs gradients of 1e-4.",
    severity="silent wrong result",
    symptoms="small gradients hardly move, reinforcement learning, eps_in_sqrt",
    pytorch=rmsprop_eps_pytorch,
    pytorch_gives=-0.1 * 1e-4 / (1e-5 + 1e-8),
    jax=rmsprop_eps_jax,
    jax_gives=-0.1 * 1e-4 / (1e-10 + 1e-8) ** 0.5,
    fix="eps_in_sqrt=False.",
    jax_fixed=rmsprop_eps_jax_fixed,
    fix_tolerance=1e-6,
    fix_tolerance_reason="1 - 0.99 is rounded in float32",
    source="google-deepmind/optax#532; pytorch/pytorch#23796",
)


def adagrad_start_pytorch() -> Tensor:
    return steps_pytorch(torch.optim.Adagrad, [0.1], lr=1.0)


def adagrad_start_jax() -> Array:
    return steps_optax(optax.adagrad(1.0), [0.1])


def adagrad_start_jax_fixed() -> Array:
    return steps_optax(optax.adagrad(1.0, initial_accumulator_value=0.0, eps=1e-20), [0.1])


ADAGRAD_ACCUMULATOR = Trap(
    id="adagrad-accumulator",
    statement="Adagrad's sum of squares starts at 0 in PyTorch and at 0.1 in Optax.",
    severity="silent wrong result",
    symptoms="Adagrad takes small first steps, learns slowly, initial_accumulator_value",
    pytorch=adagrad_start_pytorch,
    pytorch_gives=-1.0,
    jax=adagrad_start_jax,
    jax_gives=-0.1 / (0.01 + 0.1 + 1e-7) ** 0.5,
    fix="initial_accumulator_value=0, and a tiny eps (see adagrad-epsilon).",
    jax_fixed=adagrad_start_jax_fixed,
    fix_tolerance=1e-6,
    fix_tolerance_reason="a reciprocal root is rounded differently from a quotient",
    source=OPTIMIZERS,
)


def adagrad_eps_pytorch() -> Tensor:
    return steps_pytorch(torch.optim.Adagrad, [1e-4], lr=1.0)


def adagrad_eps_jax() -> Array:
    return steps_optax(optax.adagrad(1.0, initial_accumulator_value=0.0), [1e-4])


def adagrad_eps_jax_fixed() -> Array:
    return steps_optax(optax.adagrad(1.0, initial_accumulator_value=0.0, eps=1e-20), [1e-4])


ADAGRAD_EPSILON = Trap(
    id="adagrad-epsilon",
    statement="Adagrad's eps is 1e-10 after the square root in PyTorch and 1e-7 under it in Optax.",
    severity="silent wrong result",
    symptoms="small gradients hardly move, sparse features, Adagrad eps",
    pytorch=adagrad_eps_pytorch,
    pytorch_gives=-1e-4 / (1e-4 + 1e-10),
    jax=adagrad_eps_jax,
    jax_gives=-1e-4 / (1e-8 + 1e-7) ** 0.5,
    fix="Square PyTorch's eps: there is no switch to move it out of the root.",
    jax_fixed=adagrad_eps_jax_fixed,
    fix_tolerance=2e-6,
    fix_tolerance_reason="eps inside and outside the root differ by 1e-6 here",
    source=OPTIMIZERS,
)


def adadelta_pytorch() -> Tensor:
    return steps_pytorch(torch.optim.Adadelta, [1.0])


def adadelta_jax() -> Array:
    return steps_optax(optax.adadelta(), [1.0])


def adadelta_jax_fixed() -> Array:
    return steps_optax(optax.adadelta(1.0), [1.0])


ADADELTA_ASCENDS = Trap(
    id="adadelta-ascends",
    statement="optax.adadelta() without a learning rate walks UPHILL: the minus sign comes with "
    "the learning rate. PyTorch's default learning rate is 1.",
    severity="silent wrong result",
    symptoms="loss increases, diverges, wrong sign, learning_rate None",
    pytorch=adadelta_pytorch,
    pytorch_gives=-(1e-6**0.5) / (0.1 + 1e-6) ** 0.5,
    jax=adadelta_jax,
    jax_gives=1e-6**0.5 / (0.1 + 1e-6) ** 0.5,
    fix="Always pass a learning rate: optax.adadelta(1.0).",
    jax_fixed=adadelta_jax_fixed,
    fix_tolerance=1e-6,
    fix_tolerance_reason="roots and quotients are rounded in another order",
    source="google-deepmind/optax#1242",
)


def rprop_pytorch() -> Tensor:
    return steps_pytorch(torch.optim.Rprop, [1.0, 1.0, 1.0], lr=0.1)


def rprop_jax() -> Array:
    return steps_optax(optax.rprop(0.1), [1.0, 1.0, 1.0])


def rprop_jax_fixed() -> Array:
    parameter, size, before = jnp.array(0.0), 0.1, 0.0
    for gradient in [1.0, 1.0, 1.0]:
        turn = gradient * before
        size = jnp.clip(size * jnp.where(turn > 0, 1.2, jnp.where(turn < 0, 0.5, 1.0)), 1e-6, 50.0)
        before = jnp.where(turn < 0, 0.0, gradient)
        parameter -= size * jnp.sign(before)
    return parameter


RPROP_ONE_STEP_LATE = Trap(
    id="rprop-one-step-late",
    statement="optax.rprop applies at each step the update of the step BEFORE: the first one does "
    "nothing, and all others come late.",
    severity="silent wrong result",
    symptoms="first update is zero, Rprop lags, oscillates",
    pytorch=rprop_pytorch,
    pytorch_gives=-0.1 - 0.12 - 0.144,
    jax=rprop_jax,
    jax_gives=-0.1 - 0.12,
    fix="Write the rule out until Optax is mended.",
    jax_fixed=rprop_jax_fixed,
    fix_tolerance=1e-6,
    fix_tolerance_reason="the step size is multiplied in float32 on one side, float64 on the other",
    source="google-deepmind/optax#1725; optax/_src/transform.py, scale_by_rprop (0.2.8)",
)


def adafactor_rate_pytorch() -> Tensor:
    return steps_pytorch(torch.optim.Adafactor, [1.0], start=2.0)


def adafactor_rate_jax() -> Array:
    return steps_optax(optax.adafactor(), [1.0], start=2.0)


def adafactor_rate_jax_fixed() -> Array:
    return steps_optax(optax.adafactor(0.01), [1.0], start=2.0)


ADAFACTOR_LEARNING_RATE = Trap(
    id="adafactor-learning-rate",
    statement="Adafactor without a learning rate uses 0.01 in PyTorch and 1 in Optax: the first "
    "step is as long as the parameter itself.",
    severity="silent wrong result",
    symptoms="weights wiped out at first step, T5 fine-tuning diverges, relative step",
    pytorch=adafactor_rate_pytorch,
    pytorch_gives=2.0 - 0.01 * 2.0,
    jax=adafactor_rate_jax,
    jax_gives=0.0,
    fix="Always pass a learning rate.",
    jax_fixed=adafactor_rate_jax_fixed,
    source=f"{OPTIMIZERS}; "
    "https://docs.pytorch.org/docs/stable/generated/torch.optim.Adafactor.html",
)


def adafactor_decay_pytorch() -> Tensor:
    options = {"lr": 0.1, "weight_decay": 0.1}
    return steps_pytorch(torch.optim.Adafactor, [0.0], start=2.0, **options)


def adafactor_decay_jax() -> Array:
    return steps_optax(optax.adafactor(0.1, weight_decay_rate=0.1), [0.0], start=2.0)


def adafactor_decay_jax_fixed() -> Array:
    return steps_optax(optax.adafactor(0.1, weight_decay_rate=0.1 * 0.1), [0.0], start=2.0)


ADAFACTOR_WEIGHT_DECAY = Trap(
    id="adafactor-weight-decay",
    statement="Adafactor's weight decay is multiplied by the learning rate in PyTorch, and not in "
    "Optax.",
    severity="silent wrong result",
    symptoms="weights shrink too fast, T5 fine-tuning, weight_decay_rate",
    pytorch=adafactor_decay_pytorch,
    pytorch_gives=2.0 * (1.0 - 0.1 * 0.1),
    jax=adafactor_decay_jax,
    jax_gives=2.0 * (1.0 - 0.1),
    fix="weight_decay_rate = learning_rate * weight_decay.",
    jax_fixed=adafactor_decay_jax_fixed,
    fix_tolerance=1e-6,
    fix_tolerance_reason="a product is rounded where PyTorch multiplies by a factor",
    source=OPTIMIZERS,
)


def muon_vector_pytorch() -> Tensor:
    bias = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.Muon([bias], lr=0.1)
    bias.grad = torch.ones(2)
    optimizer.step()
    return bias


def muon_vector_jax() -> Array:
    bias = jnp.zeros(2)
    optimizer = optax.contrib.muon(0.1)
    update, _ = optimizer.update(jnp.ones(2), optimizer.init(bias), bias)
    return optax.apply_updates(bias, update)


def muon_vector_pytorch_fixed() -> Tensor:
    bias = torch.nn.Parameter(torch.zeros(2))
    options = {"lr": 0.1, "weight_decay": 0.0, "momentum_decay": 1e6}
    optimizer = torch.optim.NAdam([bias], **options)
    bias.grad = torch.ones(2)
    optimizer.step()
    return bias


MUON_VECTORS = Trap(
    id="muon-vectors",
    statement="PyTorch's Muon refuses parameters that are no matrices; Optax's updates them with "
    "Adam (with Nesterov momentum) and does not say so.",
    severity="error",
    symptoms="Muon only supports 2D parameters, biases, embeddings, norm scales",
    pytorch=muon_vector_pytorch,
    pytorch_gives=Raises("ValueError", "Muon only supports 2D parameters"),
    jax=muon_vector_jax,
    jax_gives=[-0.1 * (1.0 + 0.9 * 0.1 / (1.0 - 0.9**2))] * 2,
    fix="Give vectors an optimizer of their own; NAdam without its schedule is Optax's.",
    pytorch_fixed=muon_vector_pytorch_fixed,
    tolerance=2e-5,
    fix_tolerance=2e-5,
    fix_tolerance_reason=ROUNDING,
    source="https://docs.pytorch.org/docs/stable/generated/torch.optim.Muon.html",
)


def muon_decay_pytorch() -> Tensor:
    weight = torch.nn.Parameter(torch.ones(2, 2))
    weight.grad = torch.zeros(2, 2)
    torch.optim.Muon([weight], lr=0.1).step()
    return weight


def muon_decay_jax() -> Array:
    weight = jnp.ones((2, 2))
    optimizer = optax.contrib.muon(0.1)
    update, _ = optimizer.update(jnp.zeros((2, 2)), optimizer.init(weight), weight)
    return optax.apply_updates(weight, update)


def muon_decay_jax_fixed() -> Array:
    weight = jnp.ones((2, 2))
    optimizer = optax.contrib.muon(0.1, weight_decay=0.1)
    update, _ = optimizer.update(jnp.zeros((2, 2)), optimizer.init(weight), weight)
    return optax.apply_updates(weight, update)


MUON_WEIGHT_DECAY = Trap(
    id="muon-weight-decay",
    statement="Muon decays weights by 0.1 by default in PyTorch, and not at all in Optax.",
    severity="silent wrong result",
    symptoms="weights shrink, Muon default weight_decay, speedrun port",
    pytorch=muon_decay_pytorch,
    pytorch_gives=[[0.99, 0.99], [0.99, 0.99]],
    jax=muon_decay_jax,
    jax_gives=[[1.0, 1.0], [1.0, 1.0]],
    fix="Pass weight_decay on both sides.",
    jax_fixed=muon_decay_jax_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.optim.Muon.html",
)
