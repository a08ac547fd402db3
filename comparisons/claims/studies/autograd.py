"""Gradients that add up, and those that do not."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import torch
from torch import Tensor, nn

from comparisons.claims.claim import Findings


def accumulation(quick: bool) -> Findings:
    """A second backward pass without zeroing; micro-batches against one large batch."""
    del quick  # this takes a second either way
    return {
        "conditions": "x^2 + 2x + 1 at 3; a 20-16-3 network in float64, 64 rows in one batch and "
        "in 4 micro-batches of 16",
        "torch_first": (first := gradients_of_two_passes())[0],
        "torch_second": first[1],
        "jax_second": jax_second_gradient(),
        "micro_batches_relative_error": micro_batch_error(),
    }


def gradients_of_two_passes() -> tuple[float, float]:
    x = torch.tensor(3.0, requires_grad=True)
    seen = []
    for _ in range(2):
        (x**2 + 2 * x + 1).backward()
        assert x.grad is not None  # backward has just filled it
        seen.append(float(x.grad))
    return seen[0], seen[1]


def jax_second_gradient() -> float:
    gradient = jax.grad(lambda x: x**2 + 2 * x + 1)
    gradient(jnp.float32(3.0))
    return float(gradient(jnp.float32(3.0)))


def micro_batch_error() -> float:
    """Largest difference of the accumulated gradients, relative to the largest gradient."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 3)).double()
    inputs, labels = torch.randn(64, 20, dtype=torch.float64), torch.randint(0, 3, (64,))

    def gradients(parts: int) -> Tensor:
        model.zero_grad()
        for rows in torch.arange(64).chunk(parts):
            loss = nn.functional.cross_entropy(model(inputs[rows]), labels[rows])
            (loss / parts).backward()
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    whole = gradients(1)
    return float((gradients(4) - whole).abs().max() / whole.abs().max())
