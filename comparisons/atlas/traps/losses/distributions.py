"""Divergences between distributions, and losses of sequences."""

from __future__ import annotations

from math import inf, log, nan

import jax.numpy as jnp
import optax
import torch
import torch.nn.functional as F
from jax import Array
from torch import Tensor

from comparisons.atlas.traps.trap import Trap, Warns

OPTAX = "https://optax.readthedocs.io/en/latest/api/losses.html"


def kl_pytorch() -> Tensor:
    q, p = torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]])
    return F.kl_div(q.log(), p)


def kl_jax() -> Array:
    q, p = jnp.array([[0.5, 0.5]]), jnp.array([[1.0, 0.0]])
    return optax.kl_divergence(jnp.log(q), p).mean()


def kl_pytorch_fixed() -> Tensor:
    q, p = torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]])
    return F.kl_div(q.log(), p, reduction="batchmean")


KL_DIV_MEAN = Trap(
    id="kl-div-mean",
    statement="F.kl_div's default divides by the number of ELEMENTS, which is no divergence; "
    "optax.kl_divergence sums over the classes of each example.",
    severity="silent wrong result",
    symptoms="distillation or VAE loss too small by the number of classes, batchmean",
    pytorch=kl_pytorch,
    pytorch_gives=Warns("reduction: 'mean' divides the total loss", log(2.0) / 2),
    jax=kl_jax,
    jax_gives=log(2.0),
    fix="reduction='batchmean' in PyTorch.",
    pytorch_fixed=kl_pytorch_fixed,
    source="pytorch/pytorch#57459; pytorch/pytorch#2259",
)


def kl_log_pytorch() -> Tensor:
    q, p = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.25, 0.75]])
    return F.kl_div(q.log(), p.log(), reduction="batchmean")


def kl_log_jax() -> Array:
    q, p = jnp.array([[0.5, 0.5]]), jnp.array([[0.25, 0.75]])
    return optax.losses.kl_divergence_with_log_targets(jnp.log(q), jnp.log(p)).mean()


def kl_log_pytorch_fixed() -> Tensor:
    q, p = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.25, 0.75]])
    return F.kl_div(q.log(), p.log(), reduction="batchmean", log_target=True)


KL_DIV_LOG_TARGET = Trap(
    id="kl-div-log-target",
    statement="F.kl_div takes log-probabilities for the prediction but PROBABILITIES for the "
    "target; Optax has a function of its own for log targets.",
    severity="silent wrong result",
    symptoms="nan loss in distillation with log_softmax teacher, negative target, log_target",
    pytorch=kl_log_pytorch,
    pytorch_gives=nan,  # logarithm of a negative target
    jax=kl_log_jax,
    jax_gives=0.25 * log(0.5) + 0.75 * log(1.5),
    fix="log_target=True.",
    pytorch_fixed=kl_log_pytorch_fixed,
    fix_tolerance=1e-5,
    fix_tolerance_reason="a difference of logarithms: cancellation magnifies their rounding",
    source="https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.kl_div.html",
)


def ctc_mean_pytorch() -> Tensor:
    log_probs = torch.zeros(2, 1, 3).log_softmax(-1)  # (length, batch, classes)
    return F.ctc_loss(log_probs, torch.tensor([[1, 2]]), torch.tensor([2]), torch.tensor([2]))


def ctc_mean_jax() -> Array:
    logits, targets = jnp.zeros((1, 2, 3)), jnp.array([[1, 2]])
    return optax.ctc_loss(logits, jnp.zeros((1, 2)), targets, jnp.zeros((1, 2))).mean()


def ctc_mean_jax_fixed() -> Array:
    logits, targets, lengths = jnp.zeros((1, 2, 3)), jnp.array([[1, 2]]), jnp.array([2])
    losses = optax.ctc_loss(logits, jnp.zeros((1, 2)), targets, jnp.zeros((1, 2)))
    return (losses / lengths).mean()


CTC_MEAN = Trap(
    id="ctc-mean",
    statement="PyTorch's CTC loss divides each example by the length of its target before it "
    "averages; Optax's does not.",
    severity="silent wrong result",
    symptoms="speech recognition loss larger than reference, long transcripts dominate",
    pytorch=ctc_mean_pytorch,
    pytorch_gives=log(3.0),  # one path of two steps, probability 1/9, length 2
    jax=ctc_mean_jax,
    jax_gives=2 * log(3.0),
    fix="Divide by the target lengths, or use reduction='sum' in PyTorch.",
    jax_fixed=ctc_mean_jax_fixed,
    source=f"https://docs.pytorch.org/docs/stable/generated/torch.nn.CTCLoss.html; {OPTAX}",
)


def ctc_impossible_pytorch() -> Tensor:
    log_probs = torch.zeros(1, 1, 3).log_softmax(-1)  # one step for two symbols
    return F.ctc_loss(log_probs, torch.tensor([[1, 2]]), torch.tensor([1]), torch.tensor([2]))


def ctc_impossible_jax() -> bool:
    logits, targets = jnp.zeros((1, 1, 3)), jnp.array([[1, 2]])
    loss = optax.ctc_loss(logits, jnp.zeros((1, 1)), targets, jnp.zeros((1, 2))).mean()
    return bool(jnp.isfinite(loss))


def ctc_impossible_pytorch_fixed() -> bool:
    log_probs = torch.zeros(1, 1, 3).log_softmax(-1)
    sizes = torch.tensor([1]), torch.tensor([2])
    loss = F.ctc_loss(log_probs, torch.tensor([[1, 2]]), *sizes, zero_infinity=True)
    return bool(loss.isfinite())


CTC_IMPOSSIBLE = Trap(
    id="ctc-impossible",
    statement="A target longer than its input costs infinity in PyTorch, and about 100,000 in "
    "Optax, whose log(0) is -1e5.",
    severity="silent wrong result",
    symptoms="inf CTC loss, loss of 1e5, speech recognition, utterance too short",
    pytorch=ctc_impossible_pytorch,
    pytorch_gives=inf,
    jax=ctc_impossible_jax,
    jax_gives=True,  # finite
    fix="Drop such examples; zero_infinity=True in PyTorch keeps the loss finite.",
    pytorch_fixed=ctc_impossible_pytorch_fixed,
    source=f"https://docs.pytorch.org/docs/stable/generated/torch.nn.CTCLoss.html; {OPTAX}",
)
