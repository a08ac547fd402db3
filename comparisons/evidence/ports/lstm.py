"""A recurrent classifier of sequences in PyTorch, and its port to Flax NNX.

The recurrence is `nn.LSTM` against `nnx.RNN`, or a cell that both write out (setting `cell`).
"""

from __future__ import annotations

from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx
from torch import nn

from comparisons.evidence.ports.losses import jax_loss, torch_loss
from comparisons.evidence.ports.optimizers import jax_optimizer, torch_optimizer
from comparisons.evidence.ports.plan import Plan
from twofold import port

IMAGES: Final = False
GATES: Final = "ifgo"


class _Cell:
    """Settings of a recurrence that is written out."""

    def __init__(self, plan: Plan) -> None:
        self.order = plan.get("order", GATES)
        self.forget = plan.get("forget_bias", 0.0)
        self.output = plan.get("output", "tanh")
        self.candidate = plan.get("candidate", "tanh")
        self.gate = plan.get("gate", "sigmoid")
        self.start = plan.get("start", 0.0)
        self.cut = plan.get("cut", None)
        self.backwards = plan.get("backwards", False)
        self.coupled = plan.get("coupled", False)
        self.swapped = plan.get("swapped_state", False)

    def step(self, gates: dict[str, Any], c: Any, library: Any) -> tuple[Any, Any]:
        sigmoid: Any = lambda x: 1 / (1 + library.exp(-x))  # noqa: E731
        if self.gate == "hard":
            gate: Any = lambda x: library.clip(x / 6 + 0.5, 0.0, 1.0)  # noqa: E731
        else:
            gate = sigmoid
        i, f, o = gate(gates["i"]), gate(gates["f"] + self.forget), gate(gates["o"])
        g = library.tanh(gates["g"]) if self.candidate == "tanh" else sigmoid(gates["g"])
        c = f * c + (1 - f if self.coupled else i) * g
        h = o * (library.tanh(c) if self.output == "tanh" else c)
        return h, c


class _Around:
    """Settings of what is around the recurrence."""

    def __init__(self, plan: Plan) -> None:
        self.last = plan.get("last", "last")
        self.time_axis = plan.get("time_axis", 1)
        self.embedding_scale = plan.get("embedding_scale", 1.0)
        self.zeroed = plan.get("zeroed_padding", False)


# PyTorch


class Recurrence(nn.Module):
    def __init__(self, plan: Plan, inputs: int, hidden: int) -> None:
        super().__init__()
        self.how, self.hidden = _Cell(plan), hidden
        self.ih = nn.Linear(inputs, 4 * hidden)
        self.hh = nn.Linear(hidden, 4 * hidden, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        how = self.how
        h = c = x.new_full((x.shape[0], self.hidden), how.start)
        kept = []
        steps = range(x.shape[1])
        for t in reversed(steps) if how.backwards else steps:
            if t == how.cut:
                h, c = h.detach(), c.detach()
            if how.swapped:
                h, c = c, h
            gates = (self.ih(x[:, t]) + self.hh(h)).chunk(4, -1)
            h, c = how.step(dict(zip(how.order, gates, strict=True)), c, torch)
            kept.append(h)
        return torch.stack(kept, 1)


class Classifier(nn.Module):
    def __init__(self, plan: Plan) -> None:
        super().__init__()
        words, inputs, hidden = plan.get("words", 9), plan.get("inputs", 4), plan.get("hidden", 5)
        self.embed = nn.Embedding(words, inputs, padding_idx=plan.get("padding", None))
        self.norm = nn.LayerNorm(inputs, eps=plan.get("norm.eps", 1e-5))
        self.written = plan.get("cell", "written") == "written"
        if self.written:
            self.rnn: Any = Recurrence(plan.at("rnn"), inputs, hidden)
        else:
            self.rnn = nn.LSTM(inputs, hidden, batch_first=True)
        self.dropout = nn.Dropout(plan.get("dropout", 0.0))
        self.fc = nn.Linear(hidden, plan.get("classes", 3))
        self.how = _Around(plan)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        how = self.how
        x = self.embed(tokens) * how.embedding_scale
        if how.zeroed:
            x = x * (tokens != 0)[..., None]
        x = self.norm(x)
        if how.time_axis == 0:
            x = x.transpose(0, 1)
        h = self.rnn(x) if self.written else self.rnn(x)[0]
        if how.time_axis == 0:
            h = h.transpose(0, 1)
        return self.fc(self.dropout(_summary(h, tokens, how.last)))


def _summary(h: Any, tokens: Any, last: str) -> Any:
    if last == "last":
        return h[:, -1]
    if last == "first":
        return h[:, 0]
    if last == "mean":
        return h.mean(1)
    if last == "max":
        return h.amax(1) if torch.is_tensor(h) else h.max(1)
    lengths = (tokens != 0).sum(1) - (1 if last == "last word" else 2)
    rows = torch.arange(len(h)) if torch.is_tensor(h) else jnp.arange(len(h))
    return h[rows, lengths]


def torch_side(plan: Plan, seed: int) -> port.Torch:
    """The side of PyTorch."""
    torch.manual_seed(seed)
    module = Classifier(plan)
    return port.Torch(module, call=_call(plan), loss=torch_loss(plan), **torch_optimizer(plan))


# Flax NNX


class NnxRecurrence(nnx.Module):
    def __init__(self, plan: Plan, inputs: int, hidden: int, rngs: nnx.Rngs) -> None:
        self.how, self.hidden = nnx.static(_Cell(plan)), hidden
        self.ih = nnx.Linear(inputs, 4 * hidden, rngs=rngs)
        self.hh = nnx.Linear(hidden, 4 * hidden, use_bias=False, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        how = self.how
        h = c = jnp.full((x.shape[0], self.hidden), how.start, x.dtype)
        kept = []
        steps = range(x.shape[1])
        for t in reversed(steps) if how.backwards else steps:
            if t == how.cut:
                h, c = jax.lax.stop_gradient((h, c))
            if how.swapped:
                h, c = c, h
            gates = jnp.split(self.ih(x[:, t]) + self.hh(h), 4, -1)
            h, c = how.step(dict(zip(how.order, gates, strict=True)), c, jnp)
            kept.append(h)
        return jnp.stack(kept, 1)


class NnxClassifier(nnx.Module):
    def __init__(self, plan: Plan, rngs: nnx.Rngs) -> None:
        words, inputs, hidden = plan.get("words", 9), plan.get("inputs", 4), plan.get("hidden", 5)
        plan.get("padding", None)
        self.embed = nnx.Embed(words, inputs, rngs=rngs)
        self.norm = nnx.LayerNorm(
            inputs, epsilon=plan.get("norm.eps", 1e-5), use_fast_variance=False, rngs=rngs
        )
        if plan.get("cell", "written") == "written":
            self.rnn: Any = NnxRecurrence(plan.at("rnn"), inputs, hidden, rngs)
        else:
            kind = plan.get("flax_cell", "optimized")
            cell = nnx.OptimizedLSTMCell if kind == "optimized" else nnx.LSTMCell
            self.rnn = nnx.RNN(cell(inputs, hidden, rngs=rngs))
        self.dropout = nnx.Dropout(plan.get("dropout", 0.0), rngs=rngs)
        self.fc = nnx.Linear(hidden, plan.get("classes", 3), rngs=rngs)
        self.how = nnx.static(_Around(plan))

    def __call__(self, tokens: jax.Array) -> jax.Array:
        how = self.how
        x = self.embed(tokens) * how.embedding_scale
        if how.zeroed:
            x = x * (tokens != 0)[..., None]
        x = self.norm(x)
        if how.time_axis == 0:
            x = x.swapaxes(0, 1)
        h = self.rnn(x)
        if how.time_axis == 0:
            h = h.swapaxes(0, 1)
        return self.fc(self.dropout(_summary(h, tokens, how.last)))


def jax_side(plan: Plan, seed: int) -> port.Nnx:
    """The side of NNX."""
    model = NnxClassifier(plan, nnx.Rngs(seed))
    return port.Nnx(model, call=_call(plan), loss=jax_loss(plan), **jax_optimizer(plan))


# Both


def _call(plan: Plan) -> Any:
    turned = plan.get("data.padded_left", False)
    shift = plan.get("data.token_offset", 0)
    words = plan.get("words", 9)

    def call(model: Any, batch: Any) -> Any:
        tokens = (batch["tokens"] + shift) % words
        if turned:
            roll = torch.roll if torch.is_tensor(tokens) else jnp.roll
            tokens = roll(tokens, 2, 1)
        return model(tokens)

    return call


def batches(plan: Plan, seed: int) -> list[dict[str, Any]]:
    """Two batches: `tokens` (batch, time), padded with 0 at the end, and `labels` (batch,)."""
    numbers = np.random.default_rng(seed)
    rows, time = plan.get("batch", 4), plan.get("time", 5)
    made = []
    for _ in range(2):
        tokens = numbers.integers(1, plan.get("words", 9), (rows, time))
        tokens[: rows // 2, -2:] = 0
        made.append({"tokens": tokens, "labels": numbers.integers(0, plan.get("classes", 3), rows)})
    return made
