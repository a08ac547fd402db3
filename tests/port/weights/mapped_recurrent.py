"""Recurrent layers: gates in one kernel or apart, two biases against one."""

from __future__ import annotations

import flax.linen as nn
import jax
import numpy as np
import torch
from flax import nnx
from mapping_checks import Case
from torch import nn as tnn
from twofold_flax.port.linen import Linen
from twofold_flax.port.nnx import Nnx
from twofold_torch.port.model import Torch

SERIES = np.random.default_rng(0).normal(size=(2, 5, 6)).astype(np.float32)
INPUTS, HIDDEN = 6, 4


class TorchRecurrent(tnn.Module):
    """Two layers and a dense one on the last output."""

    def __init__(self, layer, bidirectional=False):
        super().__init__()
        self.cells = layer(
            INPUTS, HIDDEN, 1 if bidirectional else 2, batch_first=True, bidirectional=bidirectional
        )
        self.out = tnn.Linear(HIDDEN * (2 if bidirectional else 1), 3)

    def forward(self, x):
        return self.out(self.cells(x)[0])


class NnxRecurrent(nnx.Module):
    def __init__(self, cell):
        rngs = nnx.Rngs(0)
        self.second = nnx.RNN(cell(HIDDEN, HIDDEN, rngs=rngs))
        self.first = nnx.RNN(cell(INPUTS, HIDDEN, rngs=rngs))
        self.out = nnx.Linear(HIDDEN, 3, rngs=rngs)

    def __call__(self, x):
        return self.out(self.second(self.first(x)))


class NnxBidirectional(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        there, back = (nnx.RNN(nnx.OptimizedLSTMCell(INPUTS, HIDDEN, rngs=rngs)) for _ in range(2))
        self.both = nnx.Bidirectional(there, back)
        self.out = nnx.Linear(2 * HIDDEN, 3, rngs=rngs)

    def __call__(self, x):
        return self.out(self.both(x))


class LinenRecurrent(nn.Module):
    cell: type

    @nn.compact
    def __call__(self, x):
        x = nn.RNN(self.cell(HIDDEN), name="first")(x)
        return nn.Dense(3, name="out")(nn.RNN(self.cell(HIDDEN), name="second")(x))


def gate(name, index):
    return f"{name}[{index * HIDDEN}:{(index + 1) * HIDDEN}]"


OUT = [("out.weight", "out.kernel"), ("out.bias", "out.bias")]
LAYERS = (("0", "first"), ("1", "second"))


def lstm_to_packed_cells():
    pairs = list(OUT)
    for layer, name in LAYERS:
        for source, dense in (("ih", "dense_i"), ("hh", "dense_h")):
            pairs += [(f"cells.weight_{source}_l{layer}", f"{name}.cell.{dense}.kernel")]
            pairs += [(f"cells.bias_{source}_l{layer}", f"{name}.cell.dense_h.bias")]
    port = Nnx(NnxRecurrent(nnx.OptimizedLSTMCell))
    return Case(Torch(TorchRecurrent(tnn.LSTM)), port, (SERIES,), pairs=pairs)


def lstm_to_gates_apart(linen=False):
    pairs = list(OUT)
    for layer, name in LAYERS:
        for index, letter in enumerate("ifgo"):
            forget = "if" if linen else "if_"
            inner = forget if letter == "f" else f"i{letter}"
            cell = f"OptimizedLSTMCell_{layer}" if linen else f"{name}.cell"
            pairs += [
                (gate(f"cells.weight_ih_l{layer}", index), f"{cell}.{inner}.kernel"),
                (gate(f"cells.weight_hh_l{layer}", index), f"{cell}.h{letter}.kernel"),
                (gate(f"cells.bias_ih_l{layer}", index), f"{cell}.h{letter}.bias"),
                (gate(f"cells.bias_hh_l{layer}", index), f"{cell}.h{letter}.bias"),
            ]
    original = Torch(TorchRecurrent(tnn.LSTM))
    if not linen:
        return Case(original, Nnx(NnxRecurrent(nnx.LSTMCell)), (SERIES,), pairs=pairs)
    module = LinenRecurrent(nn.OptimizedLSTMCell)
    port = Linen(module, module.init(jax.random.key(0), SERIES))
    return Case(original, port, (SERIES,), pairs=pairs)


def bidirectional():
    pairs = list(OUT)
    for suffix, name in (("", "forward_rnn"), ("_reverse", "backward_rnn")):
        for source, dense in (("ih", "dense_i"), ("hh", "dense_h")):
            cell = f"both.{name}.cell"
            pairs += [(f"cells.weight_{source}_l0{suffix}", f"{cell}.{dense}.kernel")]
            pairs += [(f"cells.bias_{source}_l0{suffix}", f"{cell}.dense_h.bias")]
    original = Torch(TorchRecurrent(tnn.LSTM, bidirectional=True))
    return Case(original, Nnx(NnxBidirectional()), (SERIES,), pairs=pairs)


def gru_to_linen():
    pairs = list(OUT)
    for layer, _ in LAYERS:
        for index, letter in enumerate("rzn"):
            cell = f"GRUCell_{layer}"  # a cell made in a module belongs to that module
            pairs += [
                (gate(f"cells.weight_ih_l{layer}", index), f"{cell}.i{letter}.kernel"),
                (gate(f"cells.weight_hh_l{layer}", index), f"{cell}.h{letter}.kernel"),
                (gate(f"cells.bias_ih_l{layer}", index), f"{cell}.i{letter}.bias"),
                (
                    gate(f"cells.bias_hh_l{layer}", index),
                    f"{cell}.hn.bias" if letter == "n" else f"{cell}.i{letter}.bias",
                ),
            ]
    module = LinenRecurrent(nn.GRUCell)
    port = Linen(module, module.init(jax.random.key(0), SERIES))
    return Case(Torch(TorchRecurrent(tnn.GRU)), port, (SERIES,), pairs=pairs)


def gru_to_nnx():
    """`nnx.GRUCell` has no bias for the hidden state: a third of PyTorch's has no partner."""
    pairs = list(OUT)
    left = []
    for layer, name in LAYERS:
        cell = f"{name}.cell"
        pairs += [
            (f"cells.weight_ih_l{layer}", f"{cell}.dense_i.kernel"),
            (f"cells.weight_hh_l{layer}", f"{cell}.dense_h.kernel"),
            (f"cells.bias_ih_l{layer}[0:8]", f"{cell}.dense_i.bias[0:8]"),
            (f"cells.bias_hh_l{layer}[0:8]", f"{cell}.dense_i.bias[0:8]"),
            (f"cells.bias_ih_l{layer}[8:12]", f"{cell}.dense_i.bias[8:12]"),
        ]
        left.append(f"cells.bias_hh_l{layer}[8:12]")
    port = Nnx(NnxRecurrent(nnx.GRUCell))
    original = Torch(TorchRecurrent(tnn.GRU))
    return Case(original, port, (SERIES,), pairs=pairs, left=(tuple(left), ()))


def simple_cells():
    pairs = list(OUT)
    for layer, name in LAYERS:
        for source, dense in (("ih", "dense_i"), ("hh", "dense_h")):
            pairs += [(f"cells.weight_{source}_l{layer}", f"{name}.cell.{dense}.kernel")]
            pairs += [(f"cells.bias_{source}_l{layer}", f"{name}.cell.dense_i.bias")]
    port = Nnx(NnxRecurrent(nnx.SimpleCell))
    return Case(Torch(TorchRecurrent(tnn.RNN)), port, (SERIES,), pairs=pairs)


class TorchCellByHand(tnn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.out = tnn.LSTMCell(INPUTS, HIDDEN), tnn.Linear(HIDDEN, 3)

    def forward(self, x):
        state = None
        rows = []
        for step in x.unbind(1):
            state = self.cell(step, state)
            rows.append(state[0])
        return self.out(torch.stack(rows, 1))


class NnxCellByHand(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.out = nnx.Linear(HIDDEN, 3, rngs=rngs)
        self.rnn = nnx.RNN(nnx.OptimizedLSTMCell(INPUTS, HIDDEN, rngs=rngs))

    def __call__(self, x):
        return self.out(self.rnn(x))


def lstm_cell():
    pairs = list(OUT)
    for source, dense in (("ih", "dense_i"), ("hh", "dense_h")):
        pairs += [(f"cell.weight_{source}", f"rnn.cell.{dense}.kernel")]
        pairs += [(f"cell.bias_{source}", "rnn.cell.dense_h.bias")]
    return Case(Torch(TorchCellByHand()), Nnx(NnxCellByHand()), (SERIES,), pairs=pairs)
