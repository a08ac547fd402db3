"""What is recorded for the backward pass, and what cuts it off."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import torch
from jax import Array
from torch import Tensor

from comparisons.atlas.traps.trap import Raises, Trap


def twice_pytorch() -> Tensor:
    x = torch.tensor(3.0, requires_grad=True)
    y = torch.exp(x) * 0.0 + x**2
    torch.autograd.grad(y, x)
    return torch.autograd.grad(y, x)[0]


def twice_jax() -> Array:
    _, pullback = jax.vjp(lambda x: jnp.exp(x) * 0.0 + x**2, 3.0)
    pullback(1.0)
    return pullback(1.0)[0]


def twice_pytorch_fixed() -> Tensor:
    x = torch.tensor(3.0, requires_grad=True)
    y = torch.exp(x) * 0.0 + x**2
    torch.autograd.grad(y, x, retain_graph=True)
    return torch.autograd.grad(y, x)[0]


BACKWARD_TWICE = Trap(
    id="backward-twice",
    statement="PyTorch frees the graph in the backward pass and a second one raises; JAX's "
    "pullback can be called again.",
    severity="error",
    symptoms="Trying to backward through the graph a second time, retain_graph, two losses",
    pytorch=twice_pytorch,
    pytorch_gives=Raises("RuntimeError", "second time"),
    jax=twice_jax,
    jax_gives=6.0,
    fix="retain_graph=True, or one backward pass of the sum.",
    pytorch_fixed=twice_pytorch_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.autograd.grad.html",
)


def cast_pytorch() -> Tensor:
    x = torch.tensor(2.5, requires_grad=True)
    return torch.autograd.grad(x.long().float() * 3.0, x)[0]


def cast_jax() -> Array:
    return jax.grad(lambda x: x.astype(int).astype(float) * 3.0)(2.5)


def cast_pytorch_fixed() -> Tensor:
    x = torch.tensor(2.5, requires_grad=True)
    return torch.autograd.grad(torch.trunc(x) * 3.0, x)[0]


INTEGER_CAST_GRADIENT = Trap(
    id="integer-cast-gradient",
    statement="A cast to integer cuts the graph in PyTorch, and the backward pass raises; in JAX "
    "the gradient is silently 0.",
    severity="silent wrong result",
    symptoms="element 0 of tensors does not require grad, argmax, model does not train, rounding",
    pytorch=cast_pytorch,
    pytorch_gives=Raises("RuntimeError", "does not require grad"),
    jax=cast_jax,
    jax_gives=0.0,
    fix="trunc or round, whose gradient is 0 in both; better, a loss without the cast.",
    pytorch_fixed=cast_pytorch_fixed,
    source="https://docs.jax.dev/en/latest/_autosummary/jax.grad.html",
)


def item_pytorch() -> Tensor:
    x = torch.tensor(3.0, requires_grad=True)
    return torch.autograd.grad(x * x.item(), x)[0]


def item_jax() -> Array:
    return jax.grad(lambda x: x * float(x))(3.0)


def item_pytorch_fixed() -> Tensor:
    x = torch.tensor(3.0, requires_grad=True)
    return torch.autograd.grad(x * x, x)[0]


def item_jax_fixed() -> Array:
    return jax.grad(lambda x: x * x)(3.0)


ITEM_CUTS_THE_GRAPH = Trap(
    id="item-cuts-the-graph",
    statement=".item() takes a number out of PyTorch's graph without a word, and its gradient is "
    "lost; float() of a value under jax.grad raises.",
    severity="silent wrong result",
    symptoms="gradient half of expected, ConcretizationTypeError, Python number in the loss",
    pytorch=item_pytorch,
    pytorch_gives=3.0,  # half of d(x^2)/dx = 6
    jax=item_jax,
    jax_gives=Raises("ConcretizationTypeError"),
    fix="Stay with tensors; where a constant is meant, detach() or stop_gradient.",
    pytorch_fixed=item_pytorch_fixed,
    jax_fixed=item_jax_fixed,
    source="https://docs.jax.dev/en/latest/errors.html",
)


def numpy_pytorch() -> Tensor:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    return torch.autograd.grad(np.square(x).sum(), x)[0]


def numpy_jax() -> Array:
    return jax.grad(lambda x: np.square(x).sum())(jnp.array([1.0, 2.0]))


def numpy_pytorch_fixed() -> Tensor:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    return torch.autograd.grad(torch.square(x).sum(), x)[0]


def numpy_jax_fixed() -> Array:
    return jax.grad(lambda x: jnp.square(x).sum())(jnp.array([1.0, 2.0]))


NUMPY_INSIDE_GRADIENT = Trap(
    id="numpy-inside-gradient",
    statement="A NumPy function inside a differentiated one raises in both, with two different "
    "messages: np. where torch. or jnp. was meant.",
    severity="error",
    symptoms="TracerArrayConversionError, Can't call numpy() on Tensor that requires grad",
    pytorch=numpy_pytorch,
    pytorch_gives=Raises("RuntimeError", "numpy()"),
    jax=numpy_jax,
    jax_gives=Raises("TracerArrayConversionError"),
    fix="Use the framework's own function.",
    pytorch_fixed=numpy_pytorch_fixed,
    jax_fixed=numpy_jax_fixed,
    source="https://docs.jax.dev/en/latest/errors.html",
)


def loop_pytorch() -> Tensor:
    x = torch.tensor(1.5, requires_grad=True)
    y = x
    while y < 10:
        y = y * 2
    return torch.autograd.grad(y, x)[0]


def loop_jax() -> Array:
    def doubled(x: Array) -> Array:
        return jax.lax.while_loop(lambda y: y < 10, lambda y: y * 2, x)

    return jax.grad(doubled)(1.5)


def loop_jax_fixed() -> Array:
    def doubled(x: Array) -> Array:
        def step(y: Array, _: None) -> tuple[Array, None]:
            return jnp.where(y < 10, y * 2, y), None

        return jax.lax.scan(step, x, length=8)[0]  # a bound on the number of steps

    return jax.grad(doubled)(1.5)


WHILE_LOOP_GRADIENT = Trap(
    id="while-loop-gradient",
    statement="A while loop can be differentiated in PyTorch; lax.while_loop cannot backwards, "
    "since it keeps no record of a length that is not known.",
    severity="error",
    symptoms="Reverse-mode differentiation does not work for lax.while_loop, fixed point, solver",
    pytorch=loop_pytorch,
    pytorch_gives=8.0,
    jax=loop_jax,
    jax_gives=Raises("ValueError", "Reverse-mode"),
    fix="lax.scan with a bound, and where.",
    jax_fixed=loop_jax_fixed,
    source="https://docs.jax.dev/en/latest/_autosummary/jax.lax.while_loop.html",
)


def in_place_pytorch() -> Tensor:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = torch.exp(x)
    y += 1.0
    return torch.autograd.grad(y.sum(), x)[0]


def in_place_jax() -> Array:
    def f(x: Array) -> Array:
        y = jnp.exp(x)
        y += 1.0
        return y.sum()

    return jax.grad(f)(jnp.array([1.0, 2.0]))


def in_place_pytorch_fixed() -> Tensor:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = torch.exp(x)
    y = y + 1.0
    return torch.autograd.grad(y.sum(), x)[0]


IN_PLACE_NEEDED_FOR_BACKWARD = Trap(
    id="in-place-needed-for-backward",
    statement="y += 1 overwrites what PyTorch kept for the backward pass, which raises; in JAX it "
    "makes a new array.",
    severity="error",
    symptoms="one of the variables needed for gradient computation has been modified by an inplace",
    pytorch=in_place_pytorch,
    pytorch_gives=Raises("RuntimeError", "modified by an inplace operation"),
    jax=in_place_jax,
    jax_gives=[2.7182817, 7.389056],  # exp(1), exp(2)
    fix="y = y + 1.",
    pytorch_fixed=in_place_pytorch_fixed,
    fix_tolerance=1e-6,
    fix_tolerance_reason="exp is evaluated by another polynomial",
    source="https://docs.pytorch.org/docs/stable/notes/autograd.html",
)
