"""Habits that are said to be fast: threads, fused optimizers, no_grad, in-place, frameworks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import Tensor, nn

from comparisons.claims.claim import Findings
from comparisons.claims.paired import in_turns
from comparisons.claims.studies.engines import SIZES
from twofold.report.wording import counted
from twofold.results.environment import usable_cpus

LENGTHS: Final = (100, 10_000, 1_000_000)
BATCHES: Final = (16, 64, 512, 4096)
ROWS: Final = (1, 64, 4096)


def network(width: int) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(20, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 3)
    )


def trainer(batch: int, width: int, fused: bool = False) -> Callable[[], None]:
    """A training step of eager PyTorch with AdamW."""
    model = network(width)
    inputs, labels = torch.randn(batch, 20), torch.randint(0, 3, (batch,))
    optimizer = torch.optim.AdamW(model.parameters(), fused=fused)

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()

    return step


def threads(quick: bool) -> Findings:
    """A training step of eager PyTorch with one thread and with one for each processor."""
    cores = len(usable_cpus())

    def with_threads(number: int, step: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            torch.set_num_threads(number)
            step()

        return run

    cases = []
    for size in SIZES[:2] if quick else SIZES:
        step = trainer(size.batch, size.width)
        sides = {"one": with_threads(1, step), "all": with_threads(cores, step)}
        timed = in_turns(sides, seconds=0.5 if quick else 2.5)
        cases.append({"size": size.text, "timed": timed})
    return {
        "conditions": f"eager PyTorch, AdamW, 1 and {cores} threads in turns",
        "cores": cores,
        "cases": cases,
    }


def batch_sizes(quick: bool) -> Findings:
    """A training step of eager PyTorch at growing batch sizes, the network the same."""
    batches = BATCHES[:2] if quick else BATCHES
    sides = {f"batch {batch}": trainer(batch, 128) for batch in batches}
    return {
        "conditions": "a step of 20-128-128-3 with AdamW, eager PyTorch",
        "batches": list(batches),
        "timed": in_turns(sides, seconds=0.5 if quick else 4.0),
    }


def fused_optimizer(quick: bool) -> Findings:
    """A training step with AdamW as it is by default, and fused."""
    cases = []
    for size in SIZES[:2] if quick else SIZES:
        sides = {
            name: trainer(size.batch, size.width, fused)
            for name, fused in (("default", False), ("fused", True))
        }
        cases.append({"size": size.text, "timed": in_turns(sides, seconds=0.5 if quick else 2.5)})
    return {"conditions": "eager PyTorch, AdamW by default and with fused=True", "cases": cases}


def without_gradients(quick: bool) -> Findings:
    """A forward pass with gradients recorded, and under inference_mode."""
    model = network(128).eval()
    cases = []
    for rows in ROWS[:2] if quick else ROWS:
        inputs = torch.randn(rows, 20)

        def without(inputs: Tensor = inputs) -> object:
            with torch.inference_mode():
                return model(inputs)

        def recorded(inputs: Tensor = inputs) -> object:
            return model(inputs)

        sides: dict[str, Callable[[], object]] = {
            "gradients recorded": recorded,
            "inference_mode": without,
        }
        timed = in_turns(sides, seconds=0.5 if quick else 2.0)
        cases.append({"size": counted(rows, "row"), "timed": timed})
    return {"conditions": "forward pass of 20-128-128-3, eager PyTorch", "cases": cases}


def in_place(quick: bool) -> Findings:
    """x + y into a new tensor, and x.add_(y)."""
    cases = []
    for length in LENGTHS[:2] if quick else LENGTHS:
        x, y = torch.ones(length), torch.zeros(length)
        sides = {
            "new tensor": lambda x=x, y=y: x + y,
            "in place": lambda x=x, y=y: x.add_(y),
        }
        timed = in_turns(sides, seconds=0.3 if quick else 1.5)
        cases.append({"size": f"{length:,} elements", "timed": timed})
    return {"conditions": "the sum of two float32 vectors, eager PyTorch", "cases": cases}


def numpy_forward(quick: bool) -> Findings:
    """The same forward pass in NumPy, in eager PyTorch and under jax.jit."""
    cases = [forward_case(rows, 0.5 if quick else 2.0) for rows in (ROWS[:2] if quick else ROWS)]
    return {
        "conditions": "forward pass of 20-128-128-3 with ReLU, float32, the data in place",
        "cases": cases,
    }


def forward_case(rows: int, seconds: float) -> dict[str, Any]:
    model = network(128).eval()
    layers = [layer for layer in model if isinstance(layer, nn.Linear)]
    arrays = [(m.weight.detach().numpy().T.copy(), m.bias.detach().numpy()) for m in layers]
    inputs = np.random.default_rng(0).standard_normal((rows, 20)).astype(np.float32)

    def forward(xp: Any, parameters: Any, hidden: Any) -> Any:
        for weight, bias in parameters[:-1]:
            hidden = xp.maximum(hidden @ weight + bias, 0)
        weight, bias = parameters[-1]
        return hidden @ weight + bias

    compiled = jax.jit(lambda parameters, hidden: forward(jnp, parameters, hidden))
    on_device, jax_inputs = jax.tree.map(jnp.array, arrays), jnp.array(inputs)
    torch_inputs = torch.from_numpy(inputs)

    def with_torch() -> object:
        with torch.inference_mode():
            return model(torch_inputs)

    sides: dict[str, Callable[[], object]] = {
        "NumPy": lambda: forward(np, arrays, inputs),
        "PyTorch": with_torch,
        "JAX": lambda: jax.block_until_ready(compiled(on_device, jax_inputs)),
    }
    return {"size": counted(rows, "row"), "timed": in_turns(sides, seconds=seconds)}
