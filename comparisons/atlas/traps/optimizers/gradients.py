"""What happens to gradients before a step, and to weights after many."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
import torch
from jax import Array
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from comparisons.atlas.traps.trap import Trap

AVERAGING = "https://docs.pytorch.org/docs/stable/optim.html#weight-averaging-swa-and-ema"


def clip_pytorch() -> Tensor:
    parameter = torch.nn.Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([3e-6, 4e-6])
    torch.nn.utils.clip_grad_norm_([parameter], max_norm=1e-6)
    return parameter.grad


def clip_jax() -> Array:
    clip = optax.clip_by_global_norm(1e-6)
    return clip.update(jnp.array([3e-6, 4e-6]), optax.EmptyState())[0]


def clip_jax_fixed() -> Array:
    gradients, max_norm = jnp.array([3e-6, 4e-6]), 1e-6
    return gradients * jnp.minimum(1.0, max_norm / (optax.tree.norm(gradients) + 1e-6))


CLIP_NORM_EPSILON = Trap(
    id="clip-norm-epsilon",
    statement="clip_grad_norm_ divides by the norm plus 1e-6, clip_by_global_norm by the norm "
    "alone: clipped gradients differ, the more the smaller they are.",
    severity="silent wrong result",
    symptoms="clipped gradients differ in the fourth digit, gradient norm below max_norm",
    pytorch=clip_pytorch,
    pytorch_gives=[3e-6 / 6, 4e-6 / 6],
    jax=clip_jax,
    jax_gives=[3e-6 / 5, 4e-6 / 5],
    fix="Write PyTorch's factor out: min(1, max_norm / (norm + 1e-6)).",
    jax_fixed=clip_jax_fixed,
    fix_tolerance=1e-6,
    fix_tolerance_reason="norm and quotient are rounded in another order",
    source="goodfire-ai/spd#643",
)


def accumulate_pytorch() -> Tensor:
    parameter = torch.nn.Parameter(torch.tensor(1.0))
    optimizer = torch.optim.SGD([parameter], lr=0.25)
    for _microbatch in range(2):
        (parameter * 1.0).backward()
    optimizer.step()
    return parameter


def accumulate_jax() -> Array:
    optimizer, parameter = optax.MultiSteps(optax.sgd(0.25), every_k_schedule=2), jnp.array(1.0)
    state = optimizer.init(parameter)
    for _microbatch in range(2):
        gradient = jax.grad(lambda x: x * 1.0)(parameter)
        update, state = optimizer.update(gradient, state, parameter)
        parameter = optax.apply_updates(parameter, update)
    return parameter


def accumulate_pytorch_fixed() -> Tensor:
    parameter = torch.nn.Parameter(torch.tensor(1.0))
    optimizer = torch.optim.SGD([parameter], lr=0.25)
    for _microbatch in range(2):
        (parameter * 1.0 / 2).backward()
    optimizer.step()
    return parameter


ACCUMULATION_SUM_OR_MEAN = Trap(
    id="accumulation-sum-or-mean",
    statement="Gradients of micro-batches are SUMMED by repeated backward() in PyTorch, and "
    "averaged by optax.MultiSteps.",
    severity="silent wrong result",
    symptoms="gradient accumulation needs another learning rate, large batch diverges",
    pytorch=accumulate_pytorch,
    pytorch_gives=0.5,
    jax=accumulate_jax,
    jax_gives=0.75,
    fix="Divide the loss by the number of micro-batches (or use_grad_mean=False in Optax).",
    pytorch_fixed=accumulate_pytorch_fixed,
    source="AI-Hypercomputer/maxtext#812",
)


def average_pytorch(**options: object) -> list[Tensor]:
    """The averaged weight as the weight goes 1, 2, 3."""
    model, averages = torch.nn.Linear(1, 1, bias=False), []
    averaged = AveragedModel(model, **options)
    for value in [1.0, 2.0, 3.0]:
        torch.nn.init.constant_(model.weight, value)
        averaged.update_parameters(model)
        averages.append(averaged.module.weight.detach().clone().sum())
    return averages


def ema_start_pytorch() -> list[Tensor]:
    return average_pytorch(multi_avg_fn=get_ema_multi_avg_fn(0.9))


def ema_start_jax() -> list[Array]:
    ema, averages = optax.ema(0.9), []
    state = ema.init(jnp.zeros(()))
    for value in [1.0, 2.0, 3.0]:
        average, state = ema.update(jnp.array(value), state)
        averages.append(average)
    return averages


def ema_start_jax_fixed() -> list[Array]:
    average = jnp.array(1.0)  # a copy of the first weights
    averages = [average]
    for value in [2.0, 3.0]:
        average = optax.incremental_update(jnp.array(value), average, step_size=0.1)
        averages.append(average)
    return averages


EMA_START = Trap(
    id="ema-start",
    statement="PyTorch's moving average of weights starts from a COPY of them; optax.ema starts "
    "from 0 and corrects the bias.",
    severity="silent wrong result",
    symptoms="EMA weights differ early in training, teacher network, debias",
    pytorch=ema_start_pytorch,
    pytorch_gives=[1.0, 1.1, 1.29],
    jax=ema_start_jax,
    jax_gives=[1.0, 0.29 / 0.19, 0.561 / 0.271],
    fix="optax.incremental_update(new, average, 1 - decay), from a copy of the weights.",
    jax_fixed=ema_start_jax_fixed,
    fix_tolerance=1e-6,
    fix_tolerance_reason="1 - 0.9 is not 0.1 in float32",
    source=AVERAGING,
)


def mean_pytorch() -> list[Tensor]:
    return average_pytorch()


def mean_jax() -> list[Array]:
    average = jnp.array(1.0)
    averages = [average]
    for value in [2.0, 3.0]:
        average = optax.incremental_update(jnp.array(value), average, step_size=0.1)
        averages.append(average)
    return averages


def mean_pytorch_fixed() -> list[Tensor]:
    return average_pytorch(multi_avg_fn=get_ema_multi_avg_fn(0.9))


AVERAGED_MODEL_IS_A_MEAN = Trap(
    id="averaged-model-is-a-mean",
    statement="AveragedModel takes the plain MEAN of all weights so far unless it is given an "
    "averaging function; ports of moving averages use incremental_update.",
    severity="silent wrong result",
    symptoms="EMA model lags behind more and more, stochastic weight averaging, SWA",
    pytorch=mean_pytorch,
    pytorch_gives=[1.0, 1.5, 2.0],
    jax=mean_jax,
    jax_gives=[1.0, 1.1, 1.29],
    fix="multi_avg_fn=get_ema_multi_avg_fn(decay).",
    pytorch_fixed=mean_pytorch_fixed,
    fix_tolerance=1e-6,
    fix_tolerance_reason="1 - 0.9 is not 0.1 in float32",
    source=AVERAGING,
)


def ema_rate_pytorch() -> list[Tensor]:
    return average_pytorch(multi_avg_fn=get_ema_multi_avg_fn(0.75))


def ema_rate_jax() -> list[Array]:
    average = jnp.array(1.0)
    averages = [average]
    for value in [2.0, 3.0]:
        average = optax.incremental_update(jnp.array(value), average, step_size=0.75)
        averages.append(average)
    return averages


def ema_rate_jax_fixed() -> list[Array]:
    average = jnp.array(1.0)
    averages = [average]
    for value in [2.0, 3.0]:
        average = optax.incremental_update(jnp.array(value), average, step_size=1.0 - 0.75)
        averages.append(average)
    return averages


EMA_DECAY_OR_STEP_SIZE = Trap(
    id="ema-decay-or-step-size",
    statement="get_ema_multi_avg_fn takes the weight of the OLD average, optax.incremental_update "
    "that of the new weights.",
    severity="silent wrong result",
    symptoms="target network follows at once, EMA has no effect, tau, polyak averaging",
    pytorch=ema_rate_pytorch,
    pytorch_gives=[1.0, 1.25, 1.6875],
    jax=ema_rate_jax,
    jax_gives=[1.0, 1.75, 2.6875],
    fix="step_size = 1 - decay.",
    jax_fixed=ema_rate_jax_fixed,
    source=f"{AVERAGING}; https://optax.readthedocs.io/en/latest/api/apply_updates.html",
)


def underflow_pytorch() -> Tensor:
    weight = torch.nn.Parameter(torch.tensor(1.0))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)
    loss = weight.half() * 2.0**-13 * 2.0**-13
    scaler.scale(loss.float()).backward()
    scaler.unscale_(optimizer)
    return weight.grad


def underflow_jax() -> Array:
    def loss(weight: Array) -> Array:
        return (weight.astype(jnp.float16) * 2.0**-13 * 2.0**-13).astype(jnp.float32)

    return jax.grad(loss)(jnp.array(1.0))


def underflow_jax_fixed() -> Array:
    def scaled_loss(weight: Array) -> Array:
        loss = (weight.astype(jnp.float16) * 2.0**-13 * 2.0**-13).astype(jnp.float32)
        return loss * 2.0**12

    return jax.grad(scaled_loss)(jnp.array(1.0)) / 2.0**12


FLOAT16_WITHOUT_SCALER = Trap(
    id="float16-without-scaler",
    statement="PyTorch's GradScaler keeps float16 gradients from underflowing; Optax has nothing "
    "like it, and a gradient below 3e-8 becomes 0.",
    severity="silent wrong result",
    symptoms="half precision training stalls, gradients are zero, mixed precision, loss scaling",
    pytorch=underflow_pytorch,
    pytorch_gives=2.0**-26,
    jax=underflow_jax,
    jax_gives=0.0,
    fix="Scale the loss by a power of two and the gradients back, or use bfloat16.",
    jax_fixed=underflow_jax_fixed,
    source="https://docs.pytorch.org/docs/stable/amp.html#gradient-scaling",
)


def nan_steps_pytorch() -> list[Tensor]:
    weight = torch.nn.Parameter(torch.tensor(1.0))
    optimizer, scaler = torch.optim.SGD([weight], lr=1.0), torch.amp.GradScaler("cpu")
    weights = []
    for _ in range(3):
        optimizer.zero_grad()
        scaler.scale(weight * float("nan")).backward()
        scaler.step(optimizer)
        scaler.update()
        weights.append(weight.detach().clone())
    return weights


def nan_steps_jax(errors: int = 2) -> list[Array]:
    optimizer = optax.apply_if_finite(optax.sgd(1.0), max_consecutive_errors=errors)
    weight, weights = jnp.array(1.0), []
    state = optimizer.init(weight)
    for _ in range(3):
        update, state = optimizer.update(jnp.array(float("nan")), state, weight)
        weight = optax.apply_updates(weight, update)
        weights.append(weight)
    return weights


def nan_steps_jax_fixed() -> list[Array]:
    return nan_steps_jax(errors=2**31 - 2)


APPLY_IF_FINITE_GIVES_UP = Trap(
    id="apply-if-finite-gives-up",
    statement="optax.apply_if_finite lets NaN THROUGH once too many came in a row; PyTorch's "
    "GradScaler skips every such step.",
    severity="silent wrong result",
    symptoms="weights become nan after several skipped steps, max_consecutive_errors",
    pytorch=nan_steps_pytorch,
    pytorch_gives=[1.0, 1.0, 1.0],
    jax=nan_steps_jax,
    jax_gives=[1.0, 1.0, float("nan")],
    fix="Give it a limit that is never reached, and watch total_notfinite.",
    jax_fixed=nan_steps_jax_fixed,
    source="https://optax.readthedocs.io/en/latest/api/transformations.html"
    "#optax.transforms.apply_if_finite; "
    "https://docs.pytorch.org/docs/stable/amp.html#gradient-scaling",
)
