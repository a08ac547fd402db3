"""Autograd: derivatives of x^2 + 2x + 1, and of a loss with respect to its weights."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import torch

from comparisons.atlas.side_by_side.topic import (
    Topic,
    Values,
    show,
)

INPUTS = np.array([[1.0, -2.0], [0.5, 3.0]], np.float32)
WEIGHT = np.array([0.5, -1.0], np.float32)


def with_pytorch() -> Values:
    x = torch.tensor(3.0, requires_grad=True)
    y = x**2 + 2 * x + 1
    (slope,) = torch.autograd.grad(y, x, create_graph=True)
    (curvature,) = torch.autograd.grad(slope, x)

    inputs = torch.from_numpy(INPUTS)
    weight = torch.tensor(WEIGHT, requires_grad=True)
    loss = torch.sigmoid(inputs @ weight).sum()
    loss.backward()
    return {
        "value at 3": y.item(),
        "gradient at 3": slope.item(),
        "second derivative": curvature.item(),
        "gradient of the weight": weight.grad,
    }


def with_jax() -> Values:
    def f(x):
        return x**2 + 2 * x + 1

    slope = jax.grad(f)
    curvature = jax.grad(slope)

    def loss(weight, inputs):
        return jax.nn.sigmoid(inputs @ weight).sum()

    return {
        "value at 3": f(3.0),
        "gradient at 3": slope(3.0),
        "second derivative": curvature(3.0),
        "gradient of the weight": jax.grad(loss)(
            jnp.array(WEIGHT), jnp.array(INPUTS)
        ),
    }


def with_numpy() -> Values:
    def f(x):
        return x**2 + 2 * x + 1

    h = 1e-3  # no autograd: differences, or calculus by hand
    s = 1 / (1 + np.exp(-(INPUTS @ WEIGHT)))
    return {
        "value at 3": f(3.0),
        "gradient at 3": (f(3 + h) - f(3 - h)) / (2 * h),
        "second derivative": (f(3 + h) - 2 * f(3.0) + f(3 - h))
        / h**2,
        "gradient of the weight": (s * (1 - s)) @ INPUTS,
    }


TOPIC = Topic(
    title="Autograd",
    about="""PyTorch records what was done to tensors while it is done, and `backward()` walks the
    record back and leaves the gradients in `.grad`. `jax.grad` takes a function and returns the
    function that computes its gradient; nothing is stored anywhere. So higher derivatives are
    just `grad` of `grad` in JAX, and need `create_graph=True` in PyTorch, which otherwise frees
    the record.""",
    pytorch=with_pytorch,
    jax=with_jax,
    numpy=with_numpy,
)

if __name__ == "__main__":
    show(TOPIC)
