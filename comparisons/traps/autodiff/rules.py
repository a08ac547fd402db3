"""What gradients are taken of, where they are kept, and what cuts them off."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from jax import Array
from torch import Tensor, nn

from comparisons.traps.trap import Raises, Trap


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
