"""Operands on two devices: PyTorch's cpu and meta, and two CPU devices of JAX."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import nn

from comparisons.claims.claim import Findings


def two_devices(quick: bool) -> Findings:
    """What each mix gives: the class of the error, or `runs`."""
    del quick  # this takes a second either way
    # JAX that runs already keeps the devices it has; `jax_mixes` looks whether they are enough.
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", 2)
    return {
        "conditions": "PyTorch's devices cpu and meta; JAX with two CPU devices in one process",
        "torch": {name: outcome(mix) for name, mix in torch_mixes().items()},
        "jax": {name: outcome(mix) for name, mix in jax_mixes().items()},
    }


def torch_mixes() -> dict[str, Callable[[], object]]:
    here, there = nn.Linear(4, 2), nn.Linear(4, 2, device="meta")
    rows, moved = torch.ones(3, 4), torch.ones(3, 4, device="meta")
    labels = torch.zeros(3, dtype=torch.int64)
    return {
        "the model moved, the data not": lambda: there(rows),
        "the data moved, the model not": lambda: here(moved),
        "the logits moved, the labels not": lambda: nn.functional.cross_entropy(moved, labels),
        "a sum of both": lambda: rows + moved,
        "a number of shape () that was not moved": lambda: torch.tensor(2.0) * moved,
        "an index that was not moved": lambda: moved[torch.tensor([0, 2])],
    }


def jax_mixes() -> dict[str, Callable[[], object]]:
    if jax.device_count() < 2:
        raise RuntimeError("JAX shows one device; jax_num_cpu_devices must be set before it starts")
    first, second = jax.devices()[:2]
    rows = jax.device_put(jnp.ones((3, 4)), first)
    weights = jax.device_put(jnp.ones((4, 2)), second)
    return {
        "the model moved, the data placed elsewhere": lambda: rows @ weights,
        "the model moved, the data never placed": lambda: jnp.ones((3, 4)) @ weights,
        "the model moved, the data in NumPy": lambda: np.ones((3, 4), np.float32) @ weights,
    }


def outcome(mix: Callable[[], object]) -> str:
    try:
        mix()
    except (RuntimeError, ValueError) as error:
        return type(error).__name__
    return "runs"
