"""What is differentiated, and in which convention."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import torch
from jax import Array
from torch import Tensor, nn

from comparisons.atlas.traps.trap import Raises, Trap


def accumulate_pytorch() -> Tensor | None:
    x = torch.tensor(3.0, requires_grad=True)
    (x**2).backward()
    (x**2).backward()
    return x.grad


def accumulate_jax() -> Array:
    slope = jax.grad(lambda x: x**2)
    slope(3.0)
    return slope(3.0)


def accumulate_pytorch_fixed() -> Tensor | None:
    x = torch.tensor(3.0, requires_grad=True)
    (x**2).backward()
    x.grad = None  # what optimizer.zero_grad() does
    (x**2).backward()
    return x.grad


GRADIENT_ACCUMULATES = Trap(
    id="gradient-accumulates",
    statement="backward() adds to .grad until zero_grad(); jax.grad returns the gradient and keeps "
    "nothing.",
    severity="silent wrong result",
    symptoms="loss diverges, gradients grow, forgot zero_grad, micro-batches",
    pytorch=accumulate_pytorch,
    pytorch_gives=12.0,
    jax=accumulate_jax,
    jax_gives=6.0,
    fix="optimizer.zero_grad() in every step.",
    pytorch_fixed=accumulate_pytorch_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.Tensor.backward.html",
)


def scalar_pytorch() -> Tensor | None:
    x = torch.tensor([3.0], requires_grad=True)
    (x**2).backward()  # shape (1,) will do
    return x.grad


def scalar_jax() -> Array:
    return jax.grad(lambda x: x**2)(jnp.array([3.0]))


def scalar_jax_fixed() -> Array:
    return jax.grad(lambda x: (x**2).sum())(jnp.array([3.0]))


LOSS_OF_SHAPE_ONE = Trap(
    id="loss-of-shape-one",
    statement="A loss of shape (1,) can be differentiated in PyTorch; jax.grad wants shape ().",
    severity="error",
    symptoms="Gradient only defined for scalar-output functions, output had shape (1,)",
    pytorch=scalar_pytorch,
    pytorch_gives=[6.0],
    jax=scalar_jax,
    jax_gives=Raises("TypeError", "scalar-output"),
    fix="loss.sum() or loss.squeeze().",
    jax_fixed=scalar_jax_fixed,
    source="https://docs.jax.dev/en/latest/_autosummary/jax.grad.html",
)


def int_pytorch() -> Tensor:
    x = torch.tensor(3, requires_grad=True)
    return torch.autograd.grad(x**2, x)[0]


def int_jax() -> Array:
    return jax.grad(lambda x: x**2)(3)


def int_pytorch_fixed() -> Tensor:
    x = torch.tensor(3.0, requires_grad=True)
    return torch.autograd.grad(x**2, x)[0]


def int_jax_fixed() -> Array:
    return jax.grad(lambda x: x**2)(3.0)


GRADIENT_OF_INTEGER = Trap(
    id="gradient-of-integer",
    statement="Neither differentiates by an integer: PyTorch refuses the tensor, JAX the call "
    "grad(f)(3), which looks like a number as good as any.",
    severity="error",
    symptoms="grad requires real- or complex-valued inputs, only Tensors of floating point dtype",
    pytorch=int_pytorch,
    pytorch_gives=Raises("RuntimeError", "floating point"),
    jax=int_jax,
    jax_gives=Raises("TypeError", "real- or complex-valued"),
    fix="Write 3.0.",
    pytorch_fixed=int_pytorch_fixed,
    jax_fixed=int_jax_fixed,
    source="https://docs.jax.dev/en/latest/_autosummary/jax.grad.html",
)


def first_pytorch() -> Any:
    w, b = torch.tensor(2.0, requires_grad=True), torch.tensor(1.0, requires_grad=True)
    ((3.0 * w + b) ** 2).backward()
    return w.grad, b.grad


def first_jax() -> Any:
    def loss(w: Array, b: Array) -> Array:
        return (3.0 * w + b) ** 2

    return jax.grad(loss)(2.0, 1.0)


def first_jax_fixed() -> Any:
    def loss(w: Array, b: Array) -> Array:
        return (3.0 * w + b) ** 2

    return jax.grad(loss, argnums=(0, 1))(2.0, 1.0)


GRADIENT_OF_FIRST_ARGUMENT = Trap(
    id="gradient-of-first-argument",
    statement="backward() reaches every leaf that asks for a gradient; jax.grad differentiates by "
    "the FIRST argument only.",
    severity="silent wrong result",
    symptoms="bias does not train, second argument not updated, argnums",
    pytorch=first_pytorch,
    pytorch_gives=(42.0, 14.0),
    jax=first_jax,
    jax_gives=42.0,
    fix="argnums=(0, 1), or all parameters in one tree as the first argument.",
    jax_fixed=first_jax_fixed,
    source="https://docs.jax.dev/en/latest/_autosummary/jax.grad.html",
)


def complex_pytorch() -> Tensor:
    z = torch.tensor(1 + 2j, requires_grad=True)
    return torch.autograd.grad((z * z.conj()).real, z)[0]


def complex_jax() -> Array:
    return jax.grad(lambda z: (z * z.conj()).real)(1 + 2j)


def complex_jax_fixed() -> Array:
    return jnp.conj(jax.grad(lambda z: (z * z.conj()).real)(1 + 2j))


COMPLEX_GRADIENT_CONJUGATE = Trap(
    id="complex-gradient-conjugate",
    statement="For a complex parameter PyTorch gives the conjugate of JAX's gradient; descent "
    "along JAX's goes uphill in the imaginary part.",
    severity="silent wrong result",
    symptoms="complex parameters diverge, Fourier layer, imaginary part grows, quantum",
    pytorch=complex_pytorch,
    pytorch_gives=2 + 4j,
    jax=complex_jax,
    jax_gives=2 - 4j,
    fix="jnp.conj(gradient) before the update.",
    jax_fixed=complex_jax_fixed,
    source="jax-ml/jax#9110; jax-ml/jax#4891",
)


TIED = [[1.0, 1.0], [1.0, 1.0]]


def tied_pytorch() -> Tensor:
    weight = nn.Parameter(torch.tensor(TIED))
    encoder, decoder = weight, weight
    x = torch.tensor([1.0, 2.0])
    loss = (decoder @ (encoder @ x)).sum()
    return torch.autograd.grad(loss, weight)[0]


def tied_jax() -> Array:
    weight = jnp.array(TIED)
    params = {"encoder": weight, "decoder": weight}
    x = jnp.array([1.0, 2.0])

    def loss(params: dict[str, Array]) -> Array:
        return (params["decoder"] @ (params["encoder"] @ x)).sum()

    return jax.grad(loss)(params)["encoder"]


def tied_jax_fixed() -> Array:
    x = jnp.array([1.0, 2.0])

    def loss(weight: Array) -> Array:  # kept once, used twice
        return (weight @ (weight @ x)).sum()

    return jax.grad(loss)(jnp.array(TIED))


TIED_WEIGHTS_UNTIE = Trap(
    id="tied-weights-untie",
    statement="One parameter used twice is tied in PyTorch; the same array put twice into a JAX "
    "tree is two leaves with two gradients, which the first step pulls apart.",
    severity="silent wrong result",
    symptoms="tied embeddings diverge, shared weights, language model head, parameter count",
    pytorch=tied_pytorch,
    pytorch_gives=[[5.0, 7.0], [5.0, 7.0]],  # decoder [3, 3] + encoder [2, 4] in each row
    jax=tied_jax,
    jax_gives=[[2.0, 4.0], [2.0, 4.0]],
    fix="Keep it once and use it twice (in nnx: share the Param).",
    jax_fixed=tied_jax_fixed,
    source="google/flax#1263; jax-ml/jax#678",
)


def unused_pytorch() -> Any:
    used, unused = torch.ones(1, requires_grad=True), torch.ones(1, requires_grad=True)
    optimizer = torch.optim.SGD([used, unused], lr=0.1, weight_decay=0.5)
    (2 * used).sum().backward()
    optimizer.step()
    return unused.tolist()


def unused_jax() -> Any:
    params = {"used": jnp.ones(1), "unused": jnp.ones(1)}
    gradient = jax.grad(lambda params: (2 * params["used"]).sum())(params)
    decayed = jax.tree.map(lambda g, p: g + 0.5 * p, gradient, params)
    return jax.tree.map(lambda p, d: p - 0.1 * d, params, decayed)["unused"]


def unused_pytorch_fixed() -> Any:
    used, unused = torch.ones(1, requires_grad=True), torch.ones(1, requires_grad=True)
    optimizer = torch.optim.SGD([used, unused], lr=0.1, weight_decay=0.5)
    ((2 * used).sum() + 0 * unused.sum()).backward()
    optimizer.step()
    return unused.tolist()


UNUSED_PARAMETER = Trap(
    id="unused-parameter",
    statement="A parameter that the loss does not use has gradient None in PyTorch and is left "
    "alone; in JAX it has gradient 0, and weight decay and momentum go on moving it.",
    severity="silent wrong result",
    symptoms="frozen branch shrinks, mixture of experts, grad is None, unused head decays",
    pytorch=unused_pytorch,
    pytorch_gives=[1.0],
    jax=unused_jax,
    jax_gives=[0.95],  # 1 - 0.1 * 0.5
    fix="Add 0 times it to the loss, or mask it out on the JAX side (optax.masked).",
    pytorch_fixed=unused_pytorch_fixed,
    source="https://docs.pytorch.org/docs/stable/generated/torch.optim.Optimizer.zero_grad.html",
)
