"""Gradient accumulation: the footgun, and the feature made of it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import torch
from twofold import Experiment, open_session, prepare

from comparisons.atlas.side_by_side.topic import (
    Different,
    Topic,
    Values,
    show,
)

INPUTS = np.linspace(-1, 1, 32, dtype=np.float32).reshape(8, 4)
TARGETS = np.linspace(0, 1, 8, dtype=np.float32)
WEIGHT = np.array([0.1, -0.2, 0.3, 0.4], np.float32)
LESSON = Experiment.load("lesson").with_values(device="cpu")


def accumulated(engine):
    """The lesson's network, with dropout: 22 + 21 + 21 rows."""
    whole, parts = (
        open_session(
            prepare(
                LESSON.with_values(training__micro_batches=count)
            ),
            engine,
        )
        for count in (1, 3)
    )
    batch = whole.batch(0)
    _, at_once = whole.loss_and_gradients(batch)
    _, added_up = parts.loss_and_gradients(batch)
    worst = max(
        np.abs(added_up[name] - gradient).max()
        for name, gradient in at_once.items()
    )
    return bool(worst < 1e-7)


def with_pytorch() -> Values:
    x = torch.tensor(3.0, requires_grad=True)
    (x**2 + 2 * x + 1).backward()
    once = x.grad.item()
    (x**2 + 2 * x + 1).backward()  # added to what is there

    inputs = torch.from_numpy(INPUTS)
    targets = torch.from_numpy(TARGETS)
    whole = torch.tensor(WEIGHT, requires_grad=True)
    ((inputs @ whole - targets) ** 2).mean().backward()
    parts = torch.tensor(WEIGHT, requires_grad=True)
    for rows in (slice(0, 4), slice(4, 8)):
        errors = inputs[rows] @ parts - targets[rows]
        ((errors**2).mean() / 2).backward()  # 2 micro-batches
    return {
        "first call": once,
        "second call": x.grad.item(),
        "one batch of 8": whole.grad,
        "two micro-batches of 4": parts.grad,
        "largest difference below 1e-6": bool(
            (whole.grad - parts.grad).abs().max() < 1e-6
        ),
        "the lesson's network, below 1e-7": accumulated(
            "torch:eager"
        ),
    }


def with_jax() -> Values:
    slope = jax.grad(lambda x: x**2 + 2 * x + 1)
    once = slope(3.0)

    def loss(weight, inputs, targets):
        return ((inputs @ weight - targets) ** 2).mean()

    gradient = jax.grad(loss)
    inputs, targets = jnp.array(INPUTS), jnp.array(TARGETS)
    weight = jnp.array(WEIGHT)
    whole = gradient(weight, inputs, targets)
    parts = jnp.zeros_like(weight)
    for rows in (slice(0, 4), slice(4, 8)):
        part = gradient(weight, inputs[rows], targets[rows])
        parts = parts + part / 2  # added by hand
    return {
        "first call": once,
        "second call": slope(3.0),
        "one batch of 8": whole,
        "two micro-batches of 4": parts,
        "largest difference below 1e-6": bool(
            jnp.abs(whole - parts).max() < 1e-6
        ),
        "the lesson's network, below 1e-7": accumulated(
            "flax:jit"
        ),
    }


TOPIC = Topic(
    title="Gradient accumulation",
    about="""In PyTorch `backward()` adds to `.grad`. Forget `optimizer.zero_grad()` and every
    step also takes the gradients of all steps before: the footgun. Divide the loss by the number
    of micro-batches and call `backward()` on each, and the sum is the gradient of the large batch
    that did not fit into memory: the feature. JAX's gradient is a return value: nothing adds up
    unless it is added, with a `+`, with `jax.tree.map` over a whole model, or by
    `optax.MultiSteps`. The micro-batches must be of equal size, or be weighted by it;
    `optax.MultiSteps` takes the mean of all. The lesson's own network is put to the same test in
    Twofold's sessions: `training.micro_batches = 3` cuts 64 rows into 22, 21 and 21, weighted, each
    with its rows of one draw of dropout masks.""",
    pytorch=with_pytorch,
    jax=with_jax,
    different={
        "second call": Different(
            "PyTorch added the second gradient to the first",
            pytorch=16.0,
            jax=8.0,
        )
    },
)

if __name__ == "__main__":
    show(TOPIC)
