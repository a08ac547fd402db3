"""State and checkpoints: parameters by name, written to a file and read back by the other."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from flax import nnx
from safetensors.numpy import load_file, save_file
from safetensors.torch import save_file as save_tensors
from torch import nn

from comparisons.atlas.side_by_side.topic import (
    Different,
    Topic,
    Values,
    show,
)

INPUTS = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)
WEIGHT = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)


def with_pytorch() -> Values:
    model = nn.Linear(4, 3)
    model.load_state_dict(
        {"weight": torch.tensor(WEIGHT), "bias": torch.ones(3)}
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "model.safetensors")
        save_tensors(model.state_dict(), file)
        stored = load_file(file)

    other = nn.Linear(4, 3)
    other.load_state_dict(
        {name: torch.tensor(a) for name, a in stored.items()}
    )
    before = model(torch.tensor(INPUTS)).detach()
    after = other(torch.tensor(INPUTS)).detach()
    return {
        "names": ", ".join(model.state_dict()),
        "outputs": before,
        "same outputs after loading": bool(
            (before == after).all()
        ),
        "file, as the other reads it": after,
    }


def with_jax() -> Values:
    model = nnx.Linear(4, 3, rngs=nnx.Rngs(0))
    nnx.update(model, {"kernel": WEIGHT.T, "bias": np.ones(3)})
    graph, state = nnx.split(model)  # structure, numbers
    arrays = nnx.to_pure_dict(state)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "model.safetensors")
        kernel = np.array(arrays["kernel"].T)  # (out, in)
        bias = np.array(arrays["bias"])
        save_file({"weight": kernel.copy(), "bias": bias}, file)
        stored = load_file(file)

    nnx.replace_by_pure_dict(
        state,
        {"kernel": stored["weight"].T, "bias": stored["bias"]},
    )
    other = nnx.merge(graph, state)
    before, after = model(INPUTS), other(INPUTS)
    return {
        "names": ", ".join(arrays),
        "outputs": before,
        "same outputs after loading": bool(
            (before == after).all()
        ),
        "file, as the other reads it": (
            INPUTS @ stored["weight"].T + stored["bias"]
        ),
    }


TOPIC = Topic(
    title="State and checkpoints",
    about="""A PyTorch module owns its state and hands it out as `state_dict()`: names to tensors,
    in the order in which layers were made. In JAX state is a value: `nnx.split` takes a module
    apart into its structure and a tree of arrays, which is what `jax.jit` works on and what is
    stored (Orbax is the usual library for large ones). Names differ (`weight` and `kernel`, the
    latter transposed) and so does the order, so files are exchanged by name, never by position;
    with the canonical names and layout, both read the same safetensors file.""",
    pytorch=with_pytorch,
    jax=with_jax,
    different={
        "names": Different(
            "Flax says kernel, and sorts",
            pytorch="weight, bias",
            jax="bias, kernel",
        )
    },
)

if __name__ == "__main__":
    show(TOPIC)
