"""Loading and keeping a state."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx
from torch import nn

from comparisons.atlas.traps.trap import Raises, Trap


def missing_pytorch() -> Any:
    layer = nn.Linear(2, 2)
    layer.load_state_dict({"weight": torch.ones(2, 2)})
    return "loaded"


def missing_jax() -> Any:
    layer = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    nnx.update(layer, {"kernel": jnp.ones((2, 2))})
    return "loaded"


def missing_jax_fixed() -> Any:
    layer = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    stored = {"kernel": jnp.ones((2, 2))}
    missing = set(nnx.to_pure_dict(nnx.state(layer))) - set(stored)
    return sorted(missing)


def missing_pytorch_fixed() -> Any:
    layer = nn.Linear(2, 2)
    return layer.load_state_dict({"weight": torch.ones(2, 2)}, strict=False).missing_keys


MISSING_KEY_IGNORED = Trap(
    id="missing-key-ignored",
    statement="Loading without the bias raises in PyTorch; nnx.update keeps the old one, without a "
    "word.",
    severity="silent wrong result",
    symptoms="partially loaded checkpoint, layer randomly initialised after loading, Missing "
    "key(s)",
    pytorch=missing_pytorch,
    pytorch_gives=Raises("RuntimeError", "Missing key(s)"),
    jax=missing_jax,
    jax_gives="loaded",
    fix="Compare names before the update (here: which are missing).",
    pytorch_fixed=missing_pytorch_fixed,
    jax_fixed=missing_jax_fixed,
    source="https://flax.readthedocs.io/en/latest/api_reference/flax.nnx/graph.html",
)


def extra_pytorch() -> Any:
    layer = nn.Linear(1, 1)
    state = layer.state_dict() | {"bais": torch.tensor([5.0])}
    layer.load_state_dict(state)
    return "loaded"


def extra_jax() -> Any:
    layer = nnx.Linear(1, 1, rngs=nnx.Rngs(0))
    nnx.update(layer, {"bais": jnp.array([5.0])})
    return "loaded"


def extra_pytorch_fixed() -> Any:
    layer = nn.Linear(1, 1)
    state = layer.state_dict() | {"bais": torch.tensor([5.0])}
    return layer.load_state_dict(state, strict=False).unexpected_keys


def extra_jax_fixed() -> Any:
    layer = nnx.Linear(1, 1, rngs=nnx.Rngs(0))
    stored = nnx.to_pure_dict(nnx.state(layer)) | {"bais": jnp.array([5.0])}
    return sorted(set(stored) - set(nnx.to_pure_dict(nnx.state(layer))))


UNKNOWN_KEY_ACCEPTED = Trap(
    id="unknown-key-accepted",
    statement="A misspelt name raises when PyTorch loads it; nnx.update accepts it, and the "
    "parameter that was meant stays as it was.",
    severity="silent wrong result",
    symptoms="Unexpected key(s) in state_dict, checkpoint typo, renamed layer not loaded",
    pytorch=extra_pytorch,
    pytorch_gives=Raises("RuntimeError", "Unexpected key(s)"),
    jax=extra_jax,
    jax_gives="loaded",
    fix="Compare names before the update (here: which are not known).",
    pytorch_fixed=extra_pytorch_fixed,
    jax_fixed=extra_jax_fixed,
    source="https://flax.readthedocs.io/en/latest/api_reference/flax.nnx/graph.html",
)


def shape_pytorch() -> Any:
    layer = nn.Linear(2, 3)
    layer.load_state_dict({"weight": torch.ones(3, 2), "bias": torch.ones(1)})
    return layer.bias.shape


def shape_jax() -> Any:
    layer = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    nnx.update(layer, {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(1)})
    return layer.bias.shape


def shape_pytorch_fixed() -> Any:
    layer = nn.Linear(2, 3)
    layer.load_state_dict({"weight": torch.ones(3, 2), "bias": torch.ones(1).expand(3)})
    return layer.bias.shape


def shape_jax_fixed() -> Any:
    layer = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    layer.bias[...] = jnp.ones(1)  # assigned in place: broadcast, or refused
    return layer.bias.shape


WRONG_SHAPE_ACCEPTED = Trap(
    id="wrong-shape-accepted",
    statement="A parameter of the wrong shape raises when PyTorch loads it; nnx.update accepts it, "
    "and broadcasting may hide it for ever.",
    severity="silent wrong result",
    symptoms="size mismatch for bias, all outputs share one bias, parameter count wrong after load",
    pytorch=shape_pytorch,
    pytorch_gives=Raises("RuntimeError", "size mismatch"),
    jax=shape_jax,
    jax_gives=(1,),
    fix="Compare shapes before the update, or assign in place.",
    pytorch_fixed=shape_pytorch_fixed,
    jax_fixed=shape_jax_fixed,
    source="https://flax.readthedocs.io/en/latest/api_reference/flax.nnx/graph.html",
)


def snapshot_pytorch() -> Any:
    layer = nn.Linear(1, 1)
    nn.init.zeros_(layer.bias)
    best = layer.state_dict()
    with torch.no_grad():
        layer.bias += 1  # training goes on
    return best["bias"]


def snapshot_jax() -> Any:
    layer = nnx.Linear(1, 1, rngs=nnx.Rngs(0))
    best = nnx.state(layer)
    layer.bias[...] += 1  # training goes on
    return best["bias"][...]


def snapshot_pytorch_fixed() -> Any:
    layer = nn.Linear(1, 1)
    nn.init.zeros_(layer.bias)
    best = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    with torch.no_grad():
        layer.bias += 1
    return best["bias"]


def snapshot_jax_fixed() -> Any:
    layer = nnx.Linear(1, 1, rngs=nnx.Rngs(0))
    best = nnx.to_pure_dict(nnx.state(layer))
    layer.bias[...] += 1
    return best["bias"]


SNAPSHOT_IS_A_REFERENCE = Trap(
    id="snapshot-is-a-reference",
    statement="state_dict() and nnx.state() hand out the live parameters: a 'best' state kept "
    "during training is the last one.",
    severity="silent wrong result",
    symptoms="early stopping restores last weights, best model not best, deepcopy, snapshot",
    pytorch=snapshot_pytorch,
    pytorch_gives=[1.0],
    jax=snapshot_jax,
    jax_gives=[1.0],
    shared=True,
    fix="clone() each tensor; in Flax keep the arrays (to_pure_dict), which never change.",
    pytorch_fixed=snapshot_pytorch_fixed,
    jax_fixed=snapshot_jax_fixed,
    source="https://docs.pytorch.org/docs/stable/notes/serialization.html",
)


def dtype_pytorch() -> Any:
    layer = nn.Linear(1, 1)
    layer.load_state_dict({"weight": torch.ones(1, 1).double(), "bias": torch.ones(1).double()})
    return layer.weight.dtype


def dtype_jax() -> Any:
    layer = nnx.Linear(1, 1, rngs=nnx.Rngs(0))
    nnx.update(layer, {"kernel": np.ones((1, 1)), "bias": np.ones(1)})
    return layer.kernel.dtype


def dtype_jax_fixed() -> Any:
    layer = nnx.Linear(1, 1, rngs=nnx.Rngs(0))
    layer.kernel[...] = np.ones((1, 1))
    return layer.kernel.dtype


LOADED_DTYPE = Trap(
    id="loaded-dtype",
    statement="Loading float64 arrays casts them to the parameter's own type in PyTorch; "
    "nnx.update "
    "puts the NumPy array itself into the model, float64 and all.",
    severity="silent wrong result",
    symptoms="parameter is numpy array, float64 kernel, dtype changed after loading checkpoint",
    pytorch=dtype_pytorch,
    pytorch_gives="float32",
    jax=dtype_jax,
    jax_gives="float64",
    fix="Assign in place, which keeps the type.",
    jax_fixed=dtype_jax_fixed,
    source="https://flax.readthedocs.io/en/latest/api_reference/flax.nnx/graph.html",
)
