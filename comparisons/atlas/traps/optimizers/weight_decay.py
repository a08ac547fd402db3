"""Weight decay: how much, of what, and at which place in the rule."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
import torch
from jax import Array
from torch import Tensor

from comparisons.atlas.traps.optimizers.steps import steps_optax, steps_pytorch
from comparisons.atlas.traps.trap import Trap

OPTIMIZERS = "https://optax.readthedocs.io/en/latest/api/optimizers.html"


def adamw_pytorch() -> Tensor:
    return steps_pytorch(torch.optim.AdamW, [0.0], start=1.0, lr=1.0)


def adamw_jax() -> Array:
    return steps_optax(optax.adamw(1.0), [0.0], start=1.0)


def adamw_jax_fixed() -> Array:
    return steps_optax(optax.adamw(1.0, weight_decay=0.01), [0.0], start=1.0)


ADAMW_WEIGHT_DECAY = Trap(
    id="adamw-weight-decay",
    statement="AdamW decays by 0.01 by default in PyTorch and by 0.0001 in Optax.",
    severity="silent wrong result",
    symptoms="overfits after porting, weights grow larger, default weight_decay",
    pytorch=adamw_pytorch,
    pytorch_gives=0.99,
    jax=adamw_jax,
    jax_gives=0.9999,
    fix="Pass weight_decay on both sides.",
    jax_fixed=adamw_jax_fixed,
    source="google-deepmind/optax#417",
)


def adam_pytorch() -> Tensor:
    return steps_pytorch(torch.optim.Adam, [0.0], start=4.0, lr=0.1, weight_decay=0.5)


def adam_jax() -> Array:
    return steps_optax(optax.adamw(0.1, weight_decay=0.5), [0.0], start=4.0)


def adam_jax_fixed() -> Array:
    chain = optax.chain(optax.add_decayed_weights(0.5), optax.adam(0.1))
    return steps_optax(chain, [0.0], start=4.0)


ADAM_WEIGHT_DECAY_IS_L2 = Trap(
    id="adam-weight-decay-is-l2",
    statement="Adam(weight_decay=...) in PyTorch adds the decay to the GRADIENT, where Adam's "
    "scaling undoes it; the Optax optimizer with a weight_decay is adamw, which decays the "
    "weights.",
    severity="silent wrong result",
    symptoms="regularization too strong or too weak, Adam or AdamW, decoupled decay",
    pytorch=adam_pytorch,
    pytorch_gives=3.9,  # a step of the learning rate
    jax=adam_jax,
    jax_gives=3.8,  # 4 (1 - 0.1 * 0.5)
    fix="chain(add_decayed_weights(decay), adam(learning_rate)).",
    jax_fixed=adam_jax_fixed,
    fix_tolerance=1e-6,
    fix_tolerance_reason="Optax evaluates 1 - decay**count in float32",
    source="google-deepmind/optax#417",
)


def order_pytorch() -> Tensor:
    options = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.5}
    return steps_pytorch(torch.optim.SGD, [0.0, 0.0], start=2.0, **options)


def order_jax() -> Array:
    momentum, decay = optax.trace(0.9), optax.add_decayed_weights(0.5)
    chain = optax.chain(momentum, decay, optax.scale_by_learning_rate(0.1))
    return steps_optax(chain, [0.0, 0.0], start=2.0)


def order_jax_fixed() -> Array:
    momentum, decay = optax.trace(0.9), optax.add_decayed_weights(0.5)
    chain = optax.chain(decay, momentum, optax.scale_by_learning_rate(0.1))
    return steps_optax(chain, [0.0, 0.0], start=2.0)


WEIGHT_DECAY_CHAIN_ORDER = Trap(
    id="weight-decay-chain-order",
    statement="PyTorch's SGD puts the decay into the momentum. In an Optax chain its place "
    "decides: after trace it bypasses the momentum.",
    severity="silent wrong result",
    symptoms="SGD momentum weight decay chain order, regularization weaker, ResNet port",
    pytorch=order_pytorch,
    pytorch_gives=1.715,  # 2 - 0.1 * 1 = 1.9, then minus 0.1 * (0.9 * 1 + 0.95)
    jax=order_jax,
    jax_gives=1.805,  # 2 * 0.95^2
    fix="Put add_decayed_weights first.",
    jax_fixed=order_jax_fixed,
    fix_tolerance=1e-6,
    fix_tolerance_reason="XLA may fuse a multiplication with an addition",
    source="https://optax.readthedocs.io/en/latest/api/transformations.html",
)


def biases_pytorch() -> dict[str, Tensor]:
    linear = torch.nn.Linear(1, 1)
    for parameter in linear.parameters():
        torch.nn.init.ones_(parameter)
        parameter.grad = torch.zeros_like(parameter)
    torch.optim.AdamW(linear.parameters(), lr=0.5, weight_decay=0.5).step()
    return {"weight": linear.weight.sum(), "bias": linear.bias.sum()}


def biases_jax() -> dict[str, Array]:
    parameters = {"weight": jnp.ones((1, 1)), "bias": jnp.ones(1)}
    optimizer = optax.adamw(0.5, weight_decay=0.5)
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    updates, _ = optimizer.update(zeros, optimizer.init(parameters), parameters)
    return jax.tree.map(jnp.sum, optax.apply_updates(parameters, updates))


def biases_pytorch_fixed() -> dict[str, Tensor]:
    linear = torch.nn.Linear(1, 1)
    for parameter in linear.parameters():
        torch.nn.init.ones_(parameter)
        parameter.grad = torch.zeros_like(parameter)
    groups = [
        {"params": [linear.weight], "weight_decay": 0.5},
        {"params": [linear.bias], "weight_decay": 0.0},
    ]
    torch.optim.AdamW(groups, lr=0.5).step()
    return {"weight": linear.weight.sum(), "bias": linear.bias.sum()}


def biases_jax_fixed() -> dict[str, Array]:
    parameters = {"weight": jnp.ones((1, 1)), "bias": jnp.ones(1)}
    matrices = jax.tree.map(lambda parameter: parameter.ndim > 1, parameters)
    optimizer = optax.adamw(0.5, weight_decay=0.5, mask=matrices)
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    updates, _ = optimizer.update(zeros, optimizer.init(parameters), parameters)
    return jax.tree.map(jnp.sum, optax.apply_updates(parameters, updates))


WEIGHT_DECAY_OF_BIASES = Trap(
    id="weight-decay-of-biases",
    statement="Both decay biases and norm scales too, unless told: PyTorch by parameter groups, "
    "Optax by a mask shaped like the parameters.",
    severity="silent wrong result",
    symptoms="norm scale shrinks, transformer recipe excludes bias, no_decay groups",
    pytorch=biases_pytorch,
    pytorch_gives={"weight": 0.75, "bias": 0.75},
    jax=biases_jax,
    jax_gives={"weight": 0.75, "bias": 0.75},
    shared=True,
    fix="Two parameter groups in PyTorch; mask= in Optax.",
    pytorch_fixed=biases_pytorch_fixed,
    jax_fixed=biases_jax_fixed,
    source=OPTIMIZERS,
)


def unused_pytorch() -> Tensor:
    used, unused = torch.nn.Parameter(torch.ones(())), torch.nn.Parameter(torch.ones(()))
    optimizer = torch.optim.SGD([used, unused], lr=0.5, weight_decay=0.5)
    (used * 2.0).backward()
    optimizer.step()
    return unused


def unused_jax() -> Array:
    parameters = {"used": jnp.ones(()), "unused": jnp.ones(())}
    optimizer = optax.chain(optax.add_decayed_weights(0.5), optax.sgd(0.5))
    gradients = jax.grad(lambda tree: tree["used"] * 2.0)(parameters)
    updates, _ = optimizer.update(gradients, optimizer.init(parameters), parameters)
    return optax.apply_updates(parameters, updates)["unused"]


def unused_jax_fixed() -> Array:
    parameters = {"used": jnp.ones(()), "unused": jnp.ones(())}
    decayed = optax.chain(optax.add_decayed_weights(0.5), optax.sgd(0.5))
    optimizer = optax.partition(
        {"train": decayed, "keep": optax.set_to_zero()}, {"used": "train", "unused": "keep"}
    )
    gradients = jax.grad(lambda tree: tree["used"] * 2.0)(parameters)
    updates, _ = optimizer.update(gradients, optimizer.init(parameters), parameters)
    return optax.apply_updates(parameters, updates)["unused"]


UNUSED_PARAMETER_DECAYS = Trap(
    id="unused-parameter-decays",
    statement="A parameter that the loss does not use has gradient None in PyTorch and is left "
    "alone; in JAX its gradient is 0, and decay and momentum still move it.",
    severity="silent wrong result",
    symptoms="frozen layers shrink, unused head changes, weights drift without gradient",
    pytorch=unused_pytorch,
    pytorch_gives=1.0,
    jax=unused_jax,
    jax_gives=0.75,
    fix="optax.partition with set_to_zero for what must not move.",
    jax_fixed=unused_jax_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.optim.Optimizer.zero_grad.html",
)
