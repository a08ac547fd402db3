"""Losses, once for each framework; both read the same settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import jax.numpy as jnp
import numpy as np
import optax
import torch
from torch.nn import functional

from comparisons.evidence.ports.plan import Plan

NO_LABEL: Final = -100


def torch_loss(plan: Plan) -> Callable[[Any, Any], Any]:
    """Cross entropy of labels, or a regression loss where the plan says `kind`."""
    plan = plan.at("loss")
    kind = plan.get("kind", "cross entropy")
    if kind != "cross entropy":
        return lambda outputs, batch: _regression(plan, kind, outputs, batch["y"], torch)
    reduction = plan.get("reduction", "mean")
    smoothing = plan.get("smoothing", 0.0)
    shift = plan.get("shift", 0)
    ignored = plan.get("ignore", NO_LABEL)
    ratios = plan.get("weights", None)
    temperature = plan.get("temperature", 1.0)
    z_loss = plan.get("z_loss", 0.0)
    aligned = _labels_of(plan)

    def loss(logits: Any, batch: Any) -> Any:
        labels = aligned(batch["labels"])
        if shift:
            logits, labels = logits[:, :-shift], labels[:, shift:]
        flat, wanted = logits.reshape(-1, logits.shape[-1]) / temperature, labels.reshape(-1)
        weight = None if ratios is None else flat.new_tensor(np.resize(ratios, flat.shape[-1]))
        each = functional.cross_entropy(
            flat, wanted, weight, ignore_index=ignored, reduction="none", label_smoothing=smoothing
        )
        kept = (wanted != ignored).to(flat.dtype)
        if weight is not None and plan.get("weighted_mean", True):
            kept = kept * weight[wanted.clamp(min=0)]
        total = each + z_loss * torch.logsumexp(flat, -1) ** 2
        return _reduced(total, kept, reduction, logits.shape[0])

    return loss


def jax_loss(plan: Plan) -> Callable[[Any, Any], Any]:
    """The same in JAX, written with Optax."""
    plan = plan.at("loss")
    kind = plan.get("kind", "cross entropy")
    if kind != "cross entropy":
        return lambda outputs, batch: _regression(plan, kind, outputs, batch["y"], jnp)
    reduction = plan.get("reduction", "mean")
    smoothing = plan.get("smoothing", 0.0)
    shift = plan.get("shift", 0)
    ignored = plan.get("ignore", NO_LABEL)
    ratios = plan.get("weights", None)
    temperature = plan.get("temperature", 1.0)
    z_loss = plan.get("z_loss", 0.0)
    aligned = _labels_of(plan)

    def loss(logits: Any, batch: Any) -> Any:
        labels = aligned(batch["labels"])
        if shift:
            logits, labels = logits[:, :-shift], labels[:, shift:]
        flat, wanted = logits.reshape(-1, logits.shape[-1]) / temperature, labels.reshape(-1)
        classes = flat.shape[-1]
        weight: np.ndarray | jnp.ndarray = (
            np.ones(classes) if ratios is None else np.resize(np.asarray(ratios, float), classes)
        )
        weight = jnp.asarray(weight, flat.dtype)
        known = wanted != ignored
        index = jnp.where(known, jnp.maximum(wanted, 0), 0)
        targets = (1 - smoothing) * jnp.eye(classes, dtype=flat.dtype)[index] + smoothing / classes
        each = optax.softmax_cross_entropy(flat, targets * weight) * known
        kept = known.astype(flat.dtype)
        if ratios is not None and plan.get("weighted_mean", True):
            kept = kept * weight[index]
        top = flat.max(-1)
        total = each + z_loss * (top + jnp.log(jnp.exp(flat - top[:, None]).sum(-1))) ** 2
        return _reduced(total, kept, reduction, logits.shape[0])

    return loss


def _labels_of(plan: Plan) -> Callable[[Any], Any]:
    """What happens to labels on their way to the loss."""
    offset = plan.get("label_offset", 0)
    rolled = plan.get("label_roll", 0)

    def aligned(labels: Any) -> Any:
        if rolled:
            parts = (labels[:, rolled:], labels[:, :rolled])
            labels = torch.cat(parts, 1) if torch.is_tensor(labels) else jnp.concatenate(parts, 1)
        return labels + offset * (labels >= 0)

    return aligned


def _reduced(each: Any, kept: Any, reduction: str, rows: int) -> Any:
    if reduction == "sum":
        return each.sum()
    if reduction == "mean of all":
        return each.mean()
    if reduction == "sum by rows":
        return each.sum() / rows
    return each.sum() / kept.sum()


def _regression(plan: Plan, kind: str, outputs: Any, y: Any, library: Any) -> Any:
    """Losses that read the same in both libraries."""
    y = y[:, None] if plan.get("broadcast", False) else y
    error = outputs[..., 0] - y
    delta = plan.get("delta", 1.0)
    if kind == "squared":
        each = plan.get("factor", 1.0) * error**2
    elif kind == "huber":
        size = abs(error)
        each = library.where(size < delta, 0.5 * error**2, delta * (size - 0.5 * delta))
        each = each / plan.get("divided_by", 1.0)
    elif kind == "absolute":
        each = abs(error)
    else:  # "binary": cross entropy of a logit
        target = library.where(y > 0, 1.0 + 0.0 * y, 0.0 * y)
        logit = outputs[..., 0]
        if plan.get("sigmoid_before", False):
            logit = 1 / (1 + library.exp(-logit))
        positive = plan.get("positive_weight", 1.0)
        soft = library.log(1 + library.exp(-abs(logit))) + library.where(logit < 0, -logit, 0.0 * y)
        each = (1 - target) * logit + (1 + (positive - 1) * target) * soft
    if plan.get("root", False):
        return each.mean() ** 0.5
    return each.sum() if plan.get("reduction", "mean") == "sum" else each.mean()
