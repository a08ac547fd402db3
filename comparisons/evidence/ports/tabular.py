"""A network for tables in PyTorch; its port to Flax NNX, or to a plain function of JAX.

Numbers are normalized, categories embedded, and both joined. The setting `form` chooses the port.
"""

from __future__ import annotations

from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx
from torch import nn
from torch.nn import functional

from comparisons.evidence.ports.losses import jax_loss, torch_loss
from comparisons.evidence.ports.optimizers import jax_optimizer, torch_optimizer
from comparisons.evidence.ports.plan import Plan
from twofold import port

IMAGES: Final = False


class _How:
    """Settings of both."""

    def __init__(self, plan: Plan) -> None:
        self.numbers, self.levels = plan.get("numbers", 4), plan.get("levels", 5)
        self.width, self.outputs = plan.get("width", 6), plan.get("outputs", 3)
        self.embedded = plan.get("embedded", 3)
        self.joined = plan.get("joined", "numbers first")
        self.slope = plan.get("slope", 0.01)
        self.act = plan.get("act", "leaky")
        self.eps = plan.get("norm.eps", 1e-5)
        self.kind = plan.get("norm.kind", "layer")
        self.momentum = plan.get("norm.momentum", 0.1)
        self.axis = plan.get("norm.axis", -1)
        self.mode = plan.get("norm.mode", "as told")
        self.dropout = plan.get("dropout", 0.0)
        self.always = plan.get("always_dropping", False)
        self.skip = plan.get("skip", True)
        self.square = plan.get("hidden.transposed", False)
        self.alpha = plan.get("elu_alpha", 1.0)
        self.beta = plan.get("softplus_beta", 1.0)
        self.clamp = plan.get("clamp", None)

    @property
    def joined_width(self) -> int:
        """Numbers and the embedded category."""
        return self.numbers + self.embedded


# PyTorch


class Tabular(nn.Module):
    def __init__(self, plan: Plan) -> None:
        super().__init__()
        how = self.how = _How(plan)
        self.embed = nn.Embedding(how.levels, how.embedded)
        self.first = nn.Linear(how.joined_width, how.width)
        if how.kind == "layer":
            self.norm: Any = nn.LayerNorm(how.width, eps=how.eps)
        else:
            self.norm = nn.BatchNorm1d(how.width, how.eps, how.momentum)
        self.hidden = nn.Linear(how.width, how.width)
        self.dropout = nn.Dropout(how.dropout)
        self.last = nn.Linear(how.width, how.outputs)

    def forward(self, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        how = self.how
        parts = [x, self.embed(c)]
        h = self.first(torch.cat(parts if how.joined == "numbers first" else parts[::-1], -1))
        if how.mode != "as told":
            self.norm.training = how.mode == "batch"
        h = self._act(self.norm(h))
        if how.square:
            y = h @ self.hidden.weight + self.hidden.bias
        else:
            y = self.hidden(h)
        if how.always:
            self.dropout.train()
        y = self.dropout(self._act(y))
        out = self.last(h + y if how.skip else y)
        return out if how.clamp is None else out.clamp(-how.clamp, how.clamp)

    def _act(self, x: torch.Tensor) -> torch.Tensor:
        how = self.how
        if how.act == "leaky":
            return functional.leaky_relu(x, how.slope)
        if how.act == "elu":
            return functional.elu(x, how.alpha)
        if how.act == "softplus":
            return functional.softplus(x, how.beta)
        return getattr(functional, how.act)(x)


def torch_side(plan: Plan, seed: int) -> port.Torch:
    """The side of PyTorch."""
    torch.manual_seed(seed)
    module = Tabular(plan)
    return port.Torch(module, call=_call(plan), loss=torch_loss(plan), **torch_optimizer(plan))


# Flax NNX


class NnxTabular(nnx.Module):
    def __init__(self, plan: Plan, rngs: nnx.Rngs) -> None:
        how = _How(plan)
        self.how = nnx.static(how)
        self.embed = nnx.Embed(how.levels, how.embedded, rngs=rngs)
        self.first = nnx.Linear(how.joined_width, how.width, rngs=rngs)
        if how.kind == "layer":
            self.norm: Any = nnx.LayerNorm(
                how.width, epsilon=how.eps, use_fast_variance=False, rngs=rngs
            )
        else:
            self.norm = nnx.BatchNorm(
                how.width,
                momentum=1 - how.momentum,
                epsilon=how.eps,
                use_fast_variance=False,
                rngs=rngs,
            )
        self.hidden = nnx.Linear(how.width, how.width, rngs=rngs)
        self.dropout = nnx.Dropout(how.dropout, rngs=rngs)
        self.last = nnx.Linear(how.width, how.outputs, rngs=rngs)

    def __call__(self, x: jax.Array, c: jax.Array) -> jax.Array:
        how = self.how
        parts = [x, self.embed(c)]
        h = self.first(jnp.concatenate(parts if how.joined == "numbers first" else parts[::-1], -1))
        if how.mode == "as told":
            h = self.norm(h)
        else:
            h = self.norm(h, use_running_average=how.mode == "running")
        h = _act(h, how)
        if how.square:
            y = h @ self.hidden.kernel[...].T + self.hidden.bias[...]  # type: ignore[index]  # it has one
        else:
            y = self.hidden(h)
        keep: dict[str, Any] = {"deterministic": False} if how.always else {}
        y = self.dropout(_act(y, how), **keep)
        out = self.last(h + y if how.skip else y)
        return out if how.clamp is None else jnp.clip(out, -how.clamp, how.clamp)


def _act(x: jax.Array, how: _How) -> jax.Array:
    if how.act == "leaky":
        return jax.nn.leaky_relu(x, how.slope)
    if how.act == "elu":
        return jax.nn.elu(x, how.alpha)
    if how.act == "softplus":
        return jax.nn.softplus(how.beta * x) / how.beta
    return getattr(jax.nn, how.act)(x)


# A plain function of JAX


def _parameters(how: _How, seed: int) -> dict[str, Any]:
    keys = iter(jax.random.split(jax.random.key(seed), 8))

    def dense(inputs: int, outputs: int) -> dict[str, Any]:
        spread = inputs**-0.5
        return {
            "w": spread * jax.random.normal(next(keys), (inputs, outputs)),
            "b": spread * jax.random.normal(next(keys), (outputs,)),
        }

    return {
        "embed": {"table": jax.random.normal(next(keys), (how.levels, how.embedded))},
        "first": dense(how.joined_width, how.width),
        "norm": {"scale": jnp.ones(how.width), "bias": jnp.zeros(how.width)},
        "hidden": dense(how.width, how.width),
        "last": dense(how.width, how.outputs),
    }


def tabular_function(how: _How) -> Any:
    """The network as a function of its parameters."""

    def tabular(parameters: Any, x: jax.Array, c: jax.Array) -> jax.Array:
        p = parameters
        parts = [x, p["embed"]["table"][c]]
        joined = jnp.concatenate(parts if how.joined == "numbers first" else parts[::-1], -1)
        h = joined @ p["first"]["w"] + p["first"]["b"]
        mean = h.mean(how.axis, keepdims=True)
        variance = ((h - mean) ** 2).mean(how.axis, keepdims=True)
        h = (h - mean) / jnp.sqrt(variance + how.eps) * p["norm"]["scale"] + p["norm"]["bias"]
        h = _act(h, how)
        w = p["hidden"]["w"].T if how.square else p["hidden"]["w"]
        y = _act(h @ w + p["hidden"]["b"], how)
        out = (h + y if how.skip else y) @ p["last"]["w"] + p["last"]["b"]
        return out if how.clamp is None else jnp.clip(out, -how.clamp, how.clamp)

    return tabular


def jax_side(plan: Plan, seed: int) -> Any:
    """The side of NNX, or of a function."""
    named = {"call": _call(plan), "loss": jax_loss(plan), **jax_optimizer(plan)}
    if plan.get("form", "module") == "module":
        return port.Nnx(NnxTabular(plan, nnx.Rngs(seed)), **named)
    how, call = _How(plan), named["call"]

    def with_parameters(function: Any, parameters: Any, batch: Any) -> Any:
        return call(lambda x, c: function(parameters, x, c), batch)

    return port.Function(
        tabular_function(how), _parameters(how, seed), **{**named, "call": with_parameters}
    )


# Both


def _call(plan: Plan) -> Any:
    """The model on a table as a data pipeline gives it: numbers are normalized first."""
    plan.get("form", "module")
    plan = plan.at("data")
    mean, deviation = plan.get("mean", 2.0), plan.get("deviation", 3.0)
    offset, logs = plan.get("category_offset", 0), plan.get("logarithm", "of 1 + x")
    order, narrow = plan.get("columns", "as they are"), plan.get("bounded", None)
    levels, ddof = plan.get("levels", 5), plan.get("per_row", False)

    def call(model: Any, batch: Any) -> Any:
        x, c = batch["x"], batch["c"]
        library: Any = torch if torch.is_tensor(x) else jnp
        x = library.log(1 + x) if logs == "of 1 + x" else library.log(0.5 + x)
        if ddof:
            x = x - x.mean(-1)[:, None]
        if order == "reversed":
            x = x.flip(-1) if torch.is_tensor(x) else x[:, ::-1]
        x = (x - mean) / deviation
        if narrow is not None:
            x = library.clip(x, -narrow, narrow)
        return model(x, (c + offset) % levels)

    return call


def batches(plan: Plan, seed: int) -> list[dict[str, Any]]:
    """Two batches: numbers `x` from 0 to 20, a category `c`, `labels` (batch,) and `y` (batch,)."""
    numbers = np.random.default_rng(seed)
    rows = plan.get("batch", 6)
    return [
        {
            "x": numbers.uniform(0, 20, (rows, plan.get("numbers", 4))),
            "c": numbers.integers(0, plan.get("levels", 5), rows),
            "labels": numbers.integers(0, plan.get("outputs", 3), rows),
            "y": numbers.normal(size=rows),
        }
        for _ in range(2)
    ]
