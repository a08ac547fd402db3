"""Optimizers and schedules, once for each framework; both read the same settings."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
import torch
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from comparisons.evidence.ports.plan import Plan


def torch_optimizer(plan: Plan) -> dict[str, Any]:
    """The keywords `optimizer` and `clip` of `port.Torch`; none without `optimizer.kind`."""
    schedule, plan = plan.at("schedule"), plan.at("optimizer")
    kind = plan.get("kind", None)
    if kind is None:
        return {}
    rate, decay = plan.get("rate", 1e-2), plan.get("decay", 0.0)
    options = _torch_options(plan, kind)
    factor = _factor(schedule, math.cos, min, max, lambda c, a, b: a if c else b)
    masked = plan.get("mask", "all")

    def make(parameters: Any) -> Any:
        every = list(parameters)
        groups = [
            {"params": [p for p in every if _decayed(p, masked)], "weight_decay": decay},
            {"params": [p for p in every if not _decayed(p, masked)], "weight_decay": 0.0},
        ]
        groups = [group for group in groups if group["params"]]
        rule = {
            "sgd": torch.optim.SGD,
            "adam": torch.optim.Adam,
            "adamw": torch.optim.AdamW,
            "rmsprop": torch.optim.RMSprop,
            "adagrad": torch.optim.Adagrad,
        }[kind](groups, lr=rate, **options)
        return rule if factor is None else (rule, torch.optim.lr_scheduler.LambdaLR(rule, factor))

    norm, value = plan.get("clip", None), plan.get("clip_value", None)
    clip: Callable[[Any], Any] | None = None
    if norm is not None:
        clip = lambda parameters: clip_grad_norm_(parameters, norm)  # noqa: E731
    elif value is not None:
        clip = lambda parameters: clip_grad_value_(parameters, value)  # noqa: E731
    return {"optimizer": make, "clip": clip}


def _torch_options(plan: Plan, kind: str) -> dict[str, Any]:
    if kind == "sgd":
        momentum = plan.get("momentum", 0.9)
        return {
            "momentum": momentum,
            "nesterov": plan.get("nesterov", False),
            "dampening": plan.get("dampening", 0.0),
        }
    if kind == "rmsprop":
        return {
            "alpha": plan.get("alpha", 0.99),
            "eps": plan.get("eps", 1e-8),
            "centered": plan.get("centered", False),
            "momentum": plan.get("momentum", 0.0),
        }
    if kind == "adagrad":
        return {
            "eps": plan.get("eps", 1e-10),
            "initial_accumulator_value": plan.get("start", 0.1),
        }
    return {
        "betas": (plan.get("beta1", 0.9), plan.get("beta2", 0.999)),
        "eps": plan.get("eps", 1e-8),
    }


def jax_optimizer(plan: Plan) -> dict[str, Any]:
    """The keyword `optimizer` of the sides of JAX; none without `optimizer.kind`."""
    schedule, plan = plan.at("schedule"), plan.at("optimizer")
    kind = plan.get("kind", None)
    if kind is None:
        return {}
    rate, decay = plan.get("rate", 1e-2), plan.get("decay", 0.0)
    masked = plan.get("mask", "all")
    factor = _factor(schedule, jnp.cos, jnp.minimum, jnp.maximum, jnp.where)
    at_count = rate if factor is None else lambda count: rate * factor(count)
    norm, value = plan.get("clip", None), plan.get("clip_value", None)
    clip = []
    if norm is not None:
        by_optax = plan.get("clip_by", "PyTorch's rule") == "Optax"
        clip = [optax.clip_by_global_norm(norm) if by_optax else _clip_by_norm(norm)]
    elif value is not None:
        clip = [optax.clip(value)]

    def mask(tree: Any) -> Any:
        return jax.tree.map(lambda p: _decayed(p, masked), tree)

    added = [optax.add_decayed_weights(decay, mask)] if decay else []
    scale = optax.scale_by_learning_rate(at_count)
    rule = _jax_rule(plan, kind)
    coupled = plan.get("coupled", kind != "adamw")
    inner = [*added, rule, scale] if coupled else [rule, *added, scale]
    if plan.get("clip_last", False):
        return {"optimizer": optax.chain(*inner, *clip)}
    if plan.get("clip_after_decay", False):
        return {"optimizer": optax.chain(*added, *clip, rule, scale)}
    return {"optimizer": optax.chain(*clip, *inner)}


def _jax_rule(plan: Plan, kind: str) -> Any:
    if kind == "sgd":
        momentum = plan.get("momentum", 0.9)
        if plan.get("ema", False):
            return optax.ema(momentum, debias=False)
        return optax.trace(momentum, nesterov=plan.get("nesterov", False))
    if kind == "rmsprop":
        alpha, eps = plan.get("alpha", 0.99), plan.get("eps", 1e-8)
        inside, momentum = plan.get("eps_in_sqrt", False), plan.get("momentum", 0.0)
        make = optax.scale_by_stddev if plan.get("centered", False) else optax.scale_by_rms
        scale = make(alpha, eps, eps_in_sqrt=inside, bias_correction=plan.get("correct", False))
        return optax.chain(scale, optax.trace(momentum)) if momentum else scale
    if kind == "adagrad":
        start, eps = plan.get("start", 0.1), plan.get("eps", 1e-10)
        inside = plan.get("eps_in_sqrt", False)
        return _adagrad(start, eps, inside)
    return optax.scale_by_adam(
        plan.get("beta1", 0.9),
        plan.get("beta2", 0.999),
        plan.get("eps", 1e-8),
        plan.get("eps_root", 0.0),
        nesterov=plan.get("nesterov", False),
    )


def _clip_by_norm(limit: float) -> Any:
    """`clip_grad_norm_`, which adds 1e-6 to the norm; `optax.clip_by_global_norm` does not."""

    def update(gradients: Any, state: Any, parameters: Any = None) -> Any:
        del parameters
        factor = jnp.minimum(limit / (optax.tree.norm(gradients) + 1e-6), 1.0)
        return jax.tree.map(lambda g: factor * g, gradients), state

    return optax.GradientTransformation(lambda _: optax.EmptyState(), update)


def _adagrad(start: float, eps: float, inside: bool) -> Any:
    """Adagrad with eps outside the root, as PyTorch places it; Optax has it inside."""

    def init(parameters: Any) -> Any:
        return jax.tree.map(lambda p: jnp.full_like(p, start), parameters)

    def update(gradients: Any, state: Any, parameters: Any = None) -> Any:
        del parameters
        state = jax.tree.map(lambda s, g: s + g**2, state, gradients)
        if inside:
            return jax.tree.map(lambda s, g: g / jnp.sqrt(s + eps), state, gradients), state
        return jax.tree.map(lambda s, g: g / (jnp.sqrt(s) + eps), state, gradients), state

    return optax.GradientTransformation(init, update)


def _decayed(parameter: Any, masked: str) -> bool:
    """Whether weight decay acts: on all, on matrices, or (by mistake) on vectors alone."""
    return masked == "all" or (parameter.ndim >= 2) == (masked == "matrices")


def _factor(plan: Plan, cos: Any, least: Any, most: Any, choose: Any) -> Any:
    """The learning rate's factor at a step, the first being 0; None for a constant rate."""
    kind = plan.get("kind", None)
    if kind is None:
        return None
    warm, total = plan.get("warm", 2), plan.get("total", 5)
    begin, floor = plan.get("begin", 0), plan.get("floor", 0.0)
    every, drop = plan.get("every", 1), plan.get("drop", 0.5)
    start, per = plan.get("start", 0.1), plan.get("per", 1)
    falls = plan.get("then", "cosine") == "cosine"

    def factor(step: Any) -> Any:
        step = step // per + begin
        if kind == "cosine":
            share = least(step / total, 1.0)
            return floor + (1 - floor) * 0.5 * (1 + cos(math.pi * share))
        if kind == "linear":
            return floor + (1 - floor) * most(1 - step / total, 0.0)
        if kind == "exponential":
            return drop ** (step / every)
        if kind == "staircase":
            return drop ** (step // every)
        if kind == "inverse root":
            return (warm / most(step + 1.0, warm * 1.0)) ** 0.5
        # "warm-up": a straight line up to 1, then cosine or constant
        up = start + (1 - start) * step / warm
        share = least(most((step - warm) / (total - warm), 0.0), 1.0)
        down = 0.5 * (1 + cos(math.pi * share)) if falls else 1.0
        return choose(step < warm, up, down)

    return factor
