"""Optimizers: SGD with momentum, Adam and AdamW, three steps each."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch

from comparisons.atlas.side_by_side.topic import (
    Different,
    Topic,
    Values,
    show,
)

START = np.array([1.0, -2.0, 3.0], np.float32)
SCALE = np.array(
    [1.0, 10.0, 0.1], np.float32
)  # loss: sum of scale * w^2


def with_pytorch() -> Values:
    def three_steps(kind, **options):
        weight = torch.tensor(START, requires_grad=True)
        optimizer = kind([weight], **options)
        for _ in range(3):
            optimizer.zero_grad()
            loss = (torch.tensor(SCALE) * weight**2).sum()
            loss.backward()
            optimizer.step()  # changes weight in place
        return weight.detach()

    SGD, Adam = torch.optim.SGD, torch.optim.Adam  # noqa: N806
    AdamW = torch.optim.AdamW  # noqa: N806
    return {
        "SGD": three_steps(SGD, lr=0.01, momentum=0.9),
        "Adam": three_steps(Adam, lr=1e-3),
        "AdamW": three_steps(AdamW, lr=1e-3, weight_decay=0.01),
        "AdamW, default weight decay": three_steps(
            AdamW, lr=1e-3
        ),
    }


def with_jax() -> Values:
    def loss(weight):
        return (jnp.array(SCALE) * weight**2).sum()

    def three_steps(optimizer):
        weight = jnp.array(START)
        state = optimizer.init(weight)
        for _ in range(3):
            gradient = jax.grad(loss)(weight)
            updates, state = optimizer.update(
                gradient, state, weight
            )
            weight = optax.apply_updates(weight, updates)
        return weight

    return {
        "SGD": three_steps(optax.sgd(0.01, momentum=0.9)),
        "Adam": three_steps(optax.adam(1e-3)),
        "AdamW": three_steps(
            optax.adamw(1e-3, weight_decay=0.01)
        ),
        "AdamW, default weight decay": three_steps(
            optax.adamw(1e-3)
        ),
    }


def with_numpy() -> Values:
    momentum, weight = 0.0, START.astype(np.float64)
    for _ in range(3):
        momentum = 0.9 * momentum + 2 * SCALE * weight
        weight = weight - 0.01 * momentum
    sgd = weight

    def adam(decay):
        weight, m, v = START.astype(np.float64), 0.0, 0.0
        for step in (1, 2, 3):
            gradient = 2 * SCALE * weight
            m = 0.9 * m + 0.1 * gradient
            v = 0.999 * v + 0.001 * gradient**2
            unbiased = m / (1 - 0.9**step)
            size = np.sqrt(v / (1 - 0.999**step)) + 1e-8
            weight = weight * (1 - 1e-3 * decay)
            weight = weight - 1e-3 * unbiased / size
        return weight

    return {"SGD": sgd, "Adam": adam(0), "AdamW": adam(0.01)}


TOPIC = Topic(
    title="Optimizers",
    about="""A PyTorch optimizer holds the parameters and their slots (momentum, moments) and
    changes both in place: `zero_grad`, `backward`, `step`. An Optax optimizer is two pure
    functions: `init` makes the slots, `update` turns gradients into updates and new slots, and
    the caller keeps both. The rules are the same and so are the numbers, up to rounding; the
    defaults are not: AdamW decays weights by 1e-2 in PyTorch and by 1e-4 in Optax unless told.""",
    pytorch=with_pytorch,
    jax=with_jax,
    numpy=with_numpy,
    different={
        "AdamW, default weight decay": Different(
            "1e-2 in PyTorch, 1e-4 in Optax",
            pytorch=[0.99697, -1.99694, 2.99691],
            jax=[0.9969999, -1.9969999, 2.9969999],
        )
    },
)

if __name__ == "__main__":
    show(TOPIC)
