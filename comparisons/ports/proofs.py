"""The shortest proof of each difference that is real: it runs by itself and knows no judge."""

from __future__ import annotations

from typing import Final


def _step(ours: str, theirs: str, first: str, second: str, gradients: str = "1.0") -> str:
    """One parameter that starts at 1, and its value after steps with given gradients."""
    return f"""\
import jax, jax.numpy as jnp, optax, torch
jax.config.update("jax_enable_x64", True)
p = torch.nn.Parameter(torch.ones((), dtype=torch.float64))
w, rule = jnp.ones(()), {theirs}
optimizer, state = torch.optim.{ours}, rule.init(w)
for g in ({gradients},):
    p.grad = torch.tensor(g, dtype=torch.float64)
    optimizer.step()
    update, state = rule.update(jnp.array(g), state, w)
    w = optax.apply_updates(w, update)
assert (f"{{p.item():.9f}}", f"{{w.item():.9f}}") == ("{first}", "{second}")
"""


def _defaults(flax: str, ours: str, theirs: str, both: str) -> str:
    """The value of one attribute of two layers that got no more than they must."""
    return f"""\
import torch
from flax import {flax}
assert (torch.nn.{ours}, {flax}.{theirs}) == {both}
"""


_ROTARY: Final = """\
import numpy as np
ours = float(np.float32(0.01)) * 7  # PyTorch rounds the frequency of a rotary table to float32
theirs = float(np.float32(0.01 * 7))  # Flax rounds the angle
assert 0 < abs(ours - theirs) < 6e-8  # one rounding of float32
"""

_LOSS: Final = """\
import jax.numpy as jnp, numpy as np, optax, torch
x, y = np.array([[1.0, 3.0]], "f4"), np.array([[0.0, 1.0]], "f4")
"""

PROOFS: Final[dict[str, str]] = {
    "models: Bloom: every input": """\
# PyTorch's model has its own backward of GELU, with the constant 0.1070322243
assert 0.79788456 * 3 * 0.044715 != 0.1070322243
assert abs(0.79788456 * 3 * 0.044715 / 0.1070322243 - 1) < 1e-9
""",
    "models: GPTJ: every input": _ROTARY,
    "models: Llama: every input": _ROTARY,
    "models: Gemma: every input": _ROTARY,
    "models: RegNet: every input": """\
import inspect
from transformers.models.regnet import modeling_flax_regnet as flax
x, y = flax.FlaxRegNetXLayerCollection.__call__, flax.FlaxRegNetYLayerCollection.__call__
assert "deterministic" in inspect.signature(x).parameters
assert "deterministic" not in inspect.signature(y).parameters  # its norms always evaluate
""",
    "models: RoFormer: every input": """\
import numpy as np
ours = float(np.float32(np.sin(1.0)))  # PyTorch keeps its table of positions as a float32 parameter
theirs = np.sin(1.0)  # Flax's is computed
assert 0 < abs(ours - theirs) < 6e-8  # one rounding of float32
""",
    "NNX: Conv2d, stride 2, padding 1 and SAME, 8 x 8: almost": """\
import jax.numpy as jnp, numpy as np, torch
from jax import lax
x, w = np.arange(4.0, dtype="f4").reshape(1, 1, 4), np.ones((1, 1, 3), "f4")
ours = torch.nn.functional.conv1d(torch.tensor(x), torch.tensor(w), stride=2, padding=1)
theirs = lax.conv_general_dilated(jnp.array(x), jnp.array(w), (2,), "SAME")
assert ours.tolist() == [[[1.0, 6.0]]]  # one zero before and one behind
assert theirs.tolist() == [[[3.0, 5.0]]]  # SAME needs one zero, and puts it behind
""",
    "NNX: LayerNorm: each library's defaults": _defaults(
        "nnx", "LayerNorm(1).eps", "LayerNorm(1, rngs=nnx.Rngs(0)).epsilon", "(1e-5, 1e-6)"
    ),
    "Linen: LayerNorm: each library's defaults": _defaults(
        "linen", "LayerNorm(1).eps", "LayerNorm().epsilon", "(1e-5, 1e-6)"
    ),
    "NNX: GroupNorm: each library's defaults": _defaults(
        "nnx", "GroupNorm(1, 1).eps", "GroupNorm(1, 1, rngs=nnx.Rngs(0)).epsilon", "(1e-5, 1e-6)"
    ),
    "Linen: GroupNorm: each library's defaults": _defaults(
        "linen", "GroupNorm(1, 1).eps", "GroupNorm(1).epsilon", "(1e-5, 1e-6)"
    ),
    # The share of a batch is 0.1 in PyTorch, and 1 - 0.99 = 0.01 in Flax.
    "NNX: BatchNorm1d: each library's defaults": _defaults(
        "nnx", "BatchNorm1d(1).momentum", "BatchNorm(1, rngs=nnx.Rngs(0)).momentum", "(0.1, 0.99)"
    ),
    "Linen: BatchNorm1d: each library's defaults": _defaults(
        "linen", "BatchNorm1d(1).momentum", "BatchNorm().momentum", "(0.1, 0.99)"
    ),
    "NNX: RMSNorm: each library's defaults": """\
import jax, jax.numpy as jnp, torch
from flax import nnx
jax.config.update("jax_enable_x64", True)
x = 1e-3
ours = torch.nn.RMSNorm(1).double()(torch.full((1,), x, dtype=torch.float64)).item()
norm = nnx.RMSNorm(1, dtype=jnp.float64, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
assert round(ours, 6) == 1.0  # eps is the smallest step of the input's type
assert round(norm(jnp.full((1,), x)).item(), 6) == 0.707107  # eps is 1e-6
""",
    "NNX: Embedding with a padding index: padding_idx=0 in PyTorch": """\
import jax, jax.numpy as jnp, torch
ours = torch.nn.Embedding(2, 1, padding_idx=0)
ours(torch.tensor([0, 1])).sum().backward()
theirs = jax.grad(lambda table: table[jnp.array([0, 1])].sum())(jnp.ones((2, 1)))
assert ours.weight.grad.tolist() == [[0.0], [1.0]]  # the padding is not trained
assert theirs.tolist() == [[1.0], [1.0]]
""",
    "NNX: GRU and RNN(GRUCell): the same": """\
import torch
from flax import nnx
assert torch.nn.GRU(6, 4).bias_hh_l0.shape == (12,)  # a third of it is inside the reset gate
assert nnx.GRUCell(6, 4, rngs=nnx.Rngs(0)).dense_h.bias is None  # no tensor to put it into
""",
    "functions: gelu: each library's defaults": """\
import jax, jax.numpy as jnp, torch
jax.config.update("jax_enable_x64", True)
ours = torch.nn.functional.gelu(torch.tensor(1.0, dtype=torch.float64)).item()
assert f"{ours:.6f}" == "0.841345"  # exact
assert f"{jax.nn.gelu(jnp.array(1.0)).item():.6f}" == "0.841192"  # by tanh
""",
    "functions: hardsigmoid: each library's defaults": """\
import numpy as np, torch
x = torch.zeros((), dtype=torch.float64, requires_grad=True)
torch.nn.functional.hardsigmoid(x).backward()
assert x.grad.item() == np.float32(1 / 6)  # PyTorch's own constant, rounded to float32
assert x.grad.item() != 1 / 6
""",
    "functions: std: each library's defaults": """\
import numpy as np, torch
x = np.array([0.0, 2.0])
assert np.isclose(torch.tensor(x).std().item(), 2**0.5)  # divides by n - 1
assert x.std() == 1.0  # divides by n, as jax.numpy does
""",
    "losses: cross_entropy: each library's defaults": _LOSS
    + """\
both = np.concatenate([x, x])
ours = torch.nn.functional.cross_entropy(torch.tensor(both), torch.tensor([1, 1]))
theirs = optax.softmax_cross_entropy_with_integer_labels(jnp.array(both), jnp.array([1, 1]))
assert np.isclose(theirs.sum(), 2 * ours.item())  # one value for each row: who adds them, doubles
""",
    "losses: mse_loss and l2_loss: each library's defaults": _LOSS
    + """\
ours = torch.nn.functional.mse_loss(torch.tensor(x), torch.tensor(y)).item()
assert ours == 2 * optax.l2_loss(x, y).mean()  # l2_loss has a half inside
""",
    "losses: kl_div: each library's defaults": """\
import numpy as np, optax, torch
p = np.full((3, 2), 0.5)
log_q = np.log(np.array([[0.25, 0.75]] * 3))
ours = torch.nn.functional.kl_div(torch.tensor(log_q), torch.tensor(p)).item()
theirs = optax.kl_divergence(log_q, p).mean().item()
assert np.isclose(theirs, 2 * ours)  # a mean over all numbers, not over rows
""",
    "losses: smooth_l1_loss and huber_loss, 0.5: beta and delta 0.5": _LOSS
    + """\
ours = torch.nn.functional.smooth_l1_loss(torch.tensor(x), torch.tensor(y), beta=0.5).item()
assert ours == 2 * optax.huber_loss(x, y, delta=0.5).mean()  # divided by beta
""",
    "losses: hinge_embedding and hinge_loss: no counterpart": """\
import numpy as np, optax, torch
x, y = np.array([0.25]), np.array([1.0])
assert torch.nn.functional.hinge_embedding_loss(torch.tensor(x), torch.tensor(y)).item() == 0.25
assert optax.hinge_loss(x, y).item() == 0.75
""",
    "optimizers: AdamW and adamw: each library's defaults": _step(
        "AdamW([p], 1e-2)", "optax.adamw(1e-2)", "0.989900000", "0.989999000"
    ),
    "optimizers: Adam with amsgrad and amsgrad: the same": _step(
        "Adam([p], 1e-2, amsgrad=True)",
        "optax.amsgrad(1e-2)",
        "0.980678204",
        "0.982631579",
        "1.0, 0.5",
    ),
    "optimizers: NAdam and nadam: each library's defaults": _step(
        "NAdam([p], 1e-2)", "optax.nadam(1e-2)", "0.989435482", "0.985263158"
    ),
    "optimizers: RMSprop and rmsprop, eps inside the root: almost": _step(
        "RMSprop([p], 1e-2)", "optax.rmsprop(1e-2, 0.99, 1e-8)", "0.900000010", "0.900000050"
    ),
    "optimizers: RMSprop and rmsprop: each library's defaults": _step(
        "RMSprop([p], 1e-2)", "optax.rmsprop(1e-2)", "0.900000010", "0.968377225"
    ),
    "optimizers: Adagrad and adagrad: the same, but where eps stands": _step(
        "Adagrad([p], 1.0, initial_accumulator_value=1e-9)",
        "optax.adagrad(1.0, 1e-9, 1e-10)",
        "0.698489565",
        "0.711324865",
        "1e-5",
    ),
    "optimizers: Adagrad and adagrad: each library's defaults": _step(
        "Adagrad([p], 1e-2)", "optax.adagrad(1e-2)", "0.990000000", "0.990465375"
    ),
    "optimizers: Rprop and rprop: each library's defaults": _step(
        "Rprop([p], 1e-2)", "optax.rprop(1e-2)", "0.990000000", "1.000000000"
    ),
    "optimizers: clip_grad_norm_ and clip_by_global_norm: PyTorch adds 1e-6 to the norm": """\
import jax, jax.numpy as jnp, optax, torch
jax.config.update("jax_enable_x64", True)
p = torch.nn.Parameter(torch.ones((), dtype=torch.float64))
p.grad = torch.ones((), dtype=torch.float64)
torch.nn.utils.clip_grad_norm_([p], 0.1)
theirs, _ = optax.clip_by_global_norm(0.1).update(jnp.ones(()), optax.EmptyState())
assert (f"{p.grad.item():.9f}", f"{theirs.item():.9f}") == ("0.099999900", "0.100000000")
""",
}
