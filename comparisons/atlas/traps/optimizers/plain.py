"""Momentum, second order, and what an optimizer must be handed and keep."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
import torch
from jax import Array
from torch import Tensor

from comparisons.atlas.traps.optimizers.steps import steps_optax, steps_pytorch
from comparisons.atlas.traps.trap import Raises, Trap


def dampening_pytorch() -> Tensor:
    options = {"lr": 1.0, "momentum": 0.5, "dampening": 0.5}
    return steps_pytorch(torch.optim.SGD, [1.0, 1.0], **options)


def dampening_jax() -> Array:
    chain = optax.chain(optax.ema(0.5, debias=False), optax.scale_by_learning_rate(1.0))
    return steps_optax(chain, [1.0, 1.0])


def dampening_jax_fixed() -> Array:
    parameter, momentum = jnp.array(0.0), None
    for gradient in [1.0, 1.0]:
        momentum = gradient if momentum is None else 0.5 * momentum + (1.0 - 0.5) * gradient
        parameter -= 1.0 * momentum
    return parameter


SGD_DAMPENING = Trap(
    id="sgd-dampening",
    statement="SGD's first momentum is the whole gradient in PyTorch, whatever the dampening; "
    "optax.ema, the nearest there is, dampens the first one too.",
    severity="silent wrong result",
    symptoms="first steps too short, momentum with dampening, exponential moving average",
    pytorch=dampening_pytorch,
    pytorch_gives=-2.0,  # 1 + (0.5 + 0.5)
    jax=dampening_jax,
    jax_gives=-1.25,  # 0.5 + 0.75
    fix="Take the first gradient as it is, in a transformation of your own.",
    jax_fixed=dampening_jax_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html",
)


def dropped_pytorch() -> Tensor:
    return steps_pytorch(torch.optim.SGD, [1.0, 1.0, 1.0], lr=1.0, momentum=0.9)


def dropped_jax() -> Array:
    optimizer, parameter = optax.sgd(1.0, momentum=0.9), jnp.array(0.0)
    state = optimizer.init(parameter)
    for _ in range(3):
        update, _ = optimizer.update(jnp.array(1.0), state)
        parameter = optax.apply_updates(parameter, update)
    return parameter


def dropped_jax_fixed() -> Array:
    optimizer, parameter = optax.sgd(1.0, momentum=0.9), jnp.array(0.0)
    state = optimizer.init(parameter)
    for _ in range(3):
        update, state = optimizer.update(jnp.array(1.0), state)
        parameter = optax.apply_updates(parameter, update)
    return parameter


OPTIMIZER_STATE_DROPPED = Trap(
    id="optimizer-state-dropped",
    statement="A PyTorch optimizer keeps its own state. Optax returns the new state: whoever drops "
    "it has no momentum, and no error.",
    severity="silent wrong result",
    symptoms="training slower than in torch, momentum has no effect, Adam stays at first step",
    pytorch=dropped_pytorch,
    pytorch_gives=-(1.0 + 1.9 + 2.71),
    jax=dropped_jax,
    jax_gives=-3.0,
    fix="update, state = optimizer.update(gradients, state, parameters).",
    jax_fixed=dropped_jax_fixed,
    fix_tolerance=1e-6,
    fix_tolerance_reason="XLA may fuse the multiplication with the addition",
    source="https://optax.readthedocs.io/en/latest/getting_started.html",
)


def without_params_pytorch() -> Tensor:
    return steps_pytorch(torch.optim.AdamW, [0.0], start=1.0, lr=0.5, weight_decay=0.5)


def without_params_jax() -> Array:
    optimizer, parameter = optax.adamw(0.5, weight_decay=0.5), jnp.array(1.0)
    update, _ = optimizer.update(jnp.array(0.0), optimizer.init(parameter))
    return optax.apply_updates(parameter, update)


def without_params_jax_fixed() -> Array:
    optimizer, parameter = optax.adamw(0.5, weight_decay=0.5), jnp.array(1.0)
    update, _ = optimizer.update(jnp.array(0.0), optimizer.init(parameter), parameter)
    return optax.apply_updates(parameter, update)


OPTIMIZER_WITHOUT_PARAMETERS = Trap(
    id="optimizer-without-parameters",
    statement="PyTorch's optimizers know their parameters; optax.adamw must be given them at every "
    "update, though optax.adam and sgd need not.",
    severity="error",
    symptoms="You are using a transformation that requires the current value of parameters",
    pytorch=without_params_pytorch,
    pytorch_gives=0.75,
    jax=without_params_jax,
    jax_gives=Raises("ValueError", "requires the current value of parameters"),
    fix="Pass the parameters as the third argument of update.",
    jax_fixed=without_params_jax_fixed,
    source="https://optax.readthedocs.io/en/latest/api/optimizers.html",
)


def lbfgs_pytorch() -> int:
    x = torch.nn.Parameter(torch.tensor([-1.0, 1.5]))
    optimizer = torch.optim.LBFGS([x], lr=0.01)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (1.0 - x[0]) ** 2 + 100.0 * (x[1] - x[0] ** 2) ** 2
        loss.backward()
        return loss

    optimizer.step(closure)
    return optimizer.state[x]["n_iter"]


def lbfgs_jax() -> int:
    def loss(x: Array) -> Array:
        return (1.0 - x[0]) ** 2 + 100.0 * (x[1] - x[0] ** 2) ** 2

    optimizer, x = optax.lbfgs(), jnp.array([-1.0, 1.5])
    value, gradient = jax.value_and_grad(loss)(x)
    state = optimizer.init(x)
    _, state = optimizer.update(gradient, state, x, value=value, grad=gradient, value_fn=loss)
    return int(state[0].count)


def lbfgs_pytorch_fixed() -> int:
    x = torch.nn.Parameter(torch.tensor([-1.0, 1.5]))
    optimizer = torch.optim.LBFGS([x], lr=0.01, max_iter=1)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (1.0 - x[0]) ** 2 + 100.0 * (x[1] - x[0] ** 2) ** 2
        loss.backward()
        return loss

    optimizer.step(closure)
    return optimizer.state[x]["n_iter"]


LBFGS_ITERATIONS = Trap(
    id="lbfgs-iterations",
    statement="One step of PyTorch's L-BFGS runs up to 20 iterations without a line search; one "
    "update of Optax's is a single iteration with one.",
    severity="silent wrong result",
    symptoms="LBFGS converges in fewer steps, loss after n steps differs, closure, max_iter",
    pytorch=lbfgs_pytorch,
    pytorch_gives=20,
    jax=lbfgs_jax,
    jax_gives=1,
    fix="max_iter=1 and line_search_fn='strong_wolfe' in PyTorch, or count iterations.",
    pytorch_fixed=lbfgs_pytorch_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.optim.LBFGS.html",
)
