"""A compiled model that meets one batch size after another."""

from __future__ import annotations

import itertools
import time
from typing import Any, Final

import jax
import jax.numpy as jnp
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend

from comparisons.claims.claim import Findings
from comparisons.claims.paired import in_turns

BATCHES: Final = (64, 63, 17, 5, 128, 200, 33)
FEATURES: Final = 20
LATER: Final = 64


def varying_batch_sizes(quick: bool) -> Findings:
    """Compilations and first-call times for each new batch size; then static against dynamic."""
    batches = BATCHES[:3] if quick else BATCHES
    return {
        "conditions": "forward and backward of 20-128-128-3, ReLU; batch sizes in turn: "
        + ", ".join(map(str, batches)),
        "batches": list(batches),
        "torch.compile": with_torch(batches),
        "jax.jit": with_jax(batches),
        "steady": static_against_dynamic(seconds=0.5 if quick else 3.0),
    }


def with_torch(batches: tuple[int, ...]) -> dict[str, Any]:
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("inductor")
    compiled = torch.compile(network(), backend=counter)
    seconds, counts = [], []
    for batch in batches:
        start = time.perf_counter()
        compiled(torch.ones(batch, FEATURES)).sum().backward()
        seconds.append(time.perf_counter() - start)
        counts.append(int(counter.frame_count))
    return {"first_call_s": seconds, "compilations": counts}


def with_jax(batches: tuple[int, ...]) -> dict[str, Any]:
    sizes = (FEATURES, 128, 128, 3)
    key = jax.random.key(0)
    weights = [jax.random.normal(key, pair) * 0.1 for pair in itertools.pairwise(sizes)]
    traced: list[int] = []

    @jax.jit
    @jax.grad
    def gradients(weights: list[jax.Array], inputs: jax.Array) -> jax.Array:
        traced.append(inputs.shape[0])  # runs while tracing only
        for weight in weights[:-1]:
            inputs = jax.nn.relu(inputs @ weight)
        return jnp.sum(inputs @ weights[-1])

    seconds, counts = [], []
    for batch in batches:
        start = time.perf_counter()
        jax.block_until_ready(gradients(weights, jnp.ones((batch, FEATURES))))
        seconds.append(time.perf_counter() - start)
        counts.append(len(traced))
    return {"first_call_s": seconds, "compilations": counts}


def static_against_dynamic(seconds: float) -> dict[str, Any]:
    """The same model at one batch size, compiled for that size and for any."""
    torch._dynamo.reset()
    static = torch.compile(network(), dynamic=False)
    dynamic = torch.compile(network(), dynamic=True)
    inputs = torch.ones(LATER, FEATURES)

    def step(model: Any) -> Tensor:
        loss: Tensor = model(inputs).sum()
        loss.backward()
        return loss

    return in_turns(
        {"static": lambda: step(static), "dynamic": lambda: step(dynamic)}, seconds=seconds
    )


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(FEATURES, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 3)
    )
