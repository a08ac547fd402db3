"""Recurrent cells: which biases exist, and how the state is ordered."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import torch
from flax import linen, nnx
from jax import Array
from torch import Tensor, nn

from comparisons.atlas.traps.trap import Trap


def zero_cell_pytorch(kind: type[nn.RNNCellBase]) -> nn.RNNCellBase:
    cell = kind(1, 1)
    for parameter in cell.parameters():
        nn.init.zeros_(parameter)
    return cell


def zero_cell_jax(kind: type[nnx.RNNCellBase]) -> nnx.RNNCellBase:
    zeros = nnx.initializers.zeros
    return kind(1, 1, kernel_init=zeros, recurrent_kernel_init=zeros, rngs=nnx.Rngs(0))


def gru_pytorch() -> Tensor:
    cell = zero_cell_pytorch(nn.GRUCell)
    with torch.no_grad():
        cell.bias_hh[2] = 2.0  # of the candidate: gates 0.5, candidate tanh(0.5 * 2)
    return cell(torch.zeros(1), torch.zeros(1))


def gru_jax() -> Array:
    cell = zero_cell_jax(nnx.GRUCell)
    cell.dense_i.bias[...] = jnp.array([0.0, 0.0, 2.0])  # bias_ih + bias_hh
    return cell(jnp.zeros(1), jnp.zeros(1))[1]


def gru_jax_fixed() -> Array:
    cell = linen.GRUCell(features=1)
    parameters = jax.tree.map(
        jnp.zeros_like, cell.init(jax.random.key(0), jnp.zeros(1), jnp.zeros(1))
    )
    parameters["params"]["hn"]["bias"] = jnp.array([2.0])
    return cell.apply(parameters, jnp.zeros(1), jnp.zeros(1))[1]


GRU_HIDDEN_BIAS = Trap(
    id="gru-hidden-bias",
    statement="A GRU's candidate has a hidden bias inside its reset gate in PyTorch; nnx.GRUCell "
    "has none, and adding it to the input bias is another function.",
    severity="silent wrong result",
    symptoms="GRU weights cannot be converted, recurrent network drifts after porting, bias_hh",
    pytorch=gru_pytorch,
    pytorch_gives=[0.3807970780],  # 0.5 tanh(1)
    jax=gru_jax,
    jax_gives=[0.4820137900],  # 0.5 tanh(2)
    fix="Use linen.GRUCell, which has that bias, or write the cell.",
    jax_fixed=gru_jax_fixed,
    fix_tolerance=1e-6,
    fix_tolerance_reason="tanh and sigmoid are other approximations",
    source="google/flax#5594",
)


def lstm_pytorch() -> tuple[Tensor, Tensor]:
    cell = zero_cell_pytorch(nn.LSTMCell)  # all gates 0.5, candidate 0
    h, c = cell(torch.zeros(1), (torch.zeros(1), torch.ones(1)))
    return h, c


def lstm_jax() -> tuple[Array, Array]:
    cell = zero_cell_jax(nnx.LSTMCell)
    (h, c), _ = cell((jnp.zeros(1), jnp.ones(1)), jnp.zeros(1))
    return h, c


def lstm_jax_fixed() -> tuple[Array, Array]:
    cell = zero_cell_jax(nnx.LSTMCell)
    (c, h), _ = cell((jnp.ones(1), jnp.zeros(1)), jnp.zeros(1))
    return h, c


LSTM_STATE_ORDER = Trap(
    id="lstm-state-order",
    statement="An LSTM's state is (h, c) in PyTorch and (c, h) in Flax, with equal shapes.",
    severity="silent wrong result",
    symptoms="LSTM forgets, hidden and cell state swapped, carry",
    pytorch=lstm_pytorch,
    pytorch_gives=([0.2310585786], [0.5]),  # 0.5 tanh(0.5), 0.5
    jax=lstm_jax,
    jax_gives=([0.0], [0.0]),
    fix="Carry (c, h) in Flax.",
    jax_fixed=lstm_jax_fixed,
    fix_tolerance=1e-6,
    fix_tolerance_reason="tanh is another approximation",
    source="google/flax#3746",
)


def two_biases_pytorch() -> tuple[Tensor, Tensor]:
    cell = zero_cell_pytorch(nn.LSTMCell)
    with torch.no_grad():
        cell.bias_ih[1] = cell.bias_hh[1] = 1.0  # of the forget gate
    h, c = cell(torch.zeros(1), (torch.zeros(1), torch.ones(1)))
    return h, c


def two_biases_jax() -> tuple[Array, Array]:
    cell = zero_cell_jax(nnx.LSTMCell)
    cell.hf.bias[...] = jnp.array([1.0])
    (c, h), _ = cell((jnp.ones(1), jnp.zeros(1)), jnp.zeros(1))
    return h, c


def two_biases_jax_fixed() -> tuple[Array, Array]:
    cell = zero_cell_jax(nnx.LSTMCell)
    cell.hf.bias[...] = jnp.array([1.0 + 1.0])
    (c, h), _ = cell((jnp.ones(1), jnp.zeros(1)), jnp.zeros(1))
    return h, c


LSTM_TWO_BIASES = Trap(
    id="lstm-two-biases",
    statement="Each gate of an LSTM has TWO biases in PyTorch and one in Flax: setting 'the' "
    "forget bias to 1, or loading one of the two, gives another gate.",
    severity="silent wrong result",
    symptoms="bias_ih bias_hh checkpoint conversion, forget gate bias",
    pytorch=two_biases_pytorch,
    pytorch_gives=([0.3534092046], [0.8807970780]),  # c = sigmoid(2), h = 0.5 tanh(c)
    jax=two_biases_jax,
    jax_gives=([0.3118562749], [0.7310585786]),  # c = sigmoid(1)
    fix="bias = bias_ih + bias_hh.",
    jax_fixed=two_biases_jax_fixed,
    fix_tolerance=1e-6,
    fix_tolerance_reason="tanh and sigmoid are other approximations",
    source="https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTMCell.html; "
    "google/flax#3746",
)
