"""nn.Module and nnx.Module: the lesson's network, 20-128-128-3 with dropout, logits out."""

from __future__ import annotations

import numpy as np
import torch
from flax import nnx
from torch import nn
from twofold import Experiment, open_session, prepare
from twofold.problem.problem import initial_parameters

from comparisons.atlas.side_by_side.topic import (
    Different,
    Topic,
    Values,
    show,
)

LESSON = prepare(
    Experiment.load("lesson").with_values(device="cpu")
)
START = initial_parameters(
    LESSON
)  # weights (out, in), the same for every column
INPUTS = LESSON.train.inputs[:4]


def with_pytorch() -> Values:
    class Mlp(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1 = nn.Linear(20, 128)
            self.fc2 = nn.Linear(128, 128)
            self.fc3 = nn.Linear(128, 3)
            self.drop = nn.Dropout(0.2)

        def forward(self, x):
            x = self.drop(torch.relu(self.fc1(x)))
            x = self.drop(torch.relu(self.fc2(x)))
            return self.fc3(x)  # logits

    model = Mlp()
    layers = (model.fc1, model.fc2, model.fc3)
    with torch.no_grad():
        for i, layer in enumerate(layers):
            weight = torch.tensor(START[f"layers.{i}.weight"])
            layer.weight.copy_(weight)
            bias = torch.tensor(START[f"layers.{i}.bias"])
            layer.bias.copy_(bias)
    model.eval()  # no dropout
    logits = model(torch.tensor(INPUTS))
    parameters = sum(p.numel() for p in model.parameters())
    twofold = open_session(LESSON, "torch:eager")
    return {
        "trainable parameters": parameters,
        "shape of the first weight": tuple(
            model.fc1.weight.shape
        ),
        "logits": logits.detach(),
        "Twofold's logits": twofold.logits(INPUTS),
    }


def with_jax() -> Values:
    class Mlp(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.fc1 = nnx.Linear(20, 128, rngs=rngs)
            self.fc2 = nnx.Linear(128, 128, rngs=rngs)
            self.fc3 = nnx.Linear(128, 3, rngs=rngs)
            self.drop = nnx.Dropout(0.2, rngs=rngs)

        def __call__(self, x):
            x = self.drop(nnx.relu(self.fc1(x)))
            x = self.drop(nnx.relu(self.fc2(x)))
            return self.fc3(x)  # logits

    model = Mlp(nnx.Rngs(0))
    layers = (model.fc1, model.fc2, model.fc3)
    for i, layer in enumerate(layers):
        kernel = START[f"layers.{i}.weight"].T
        layer.kernel[...] = kernel
        layer.bias[...] = START[f"layers.{i}.bias"]
    model.eval()  # no dropout
    logits = model(INPUTS)
    params = nnx.to_flat_state(nnx.state(model, nnx.Param))
    parameters = sum(p.size for _, p in params)
    twofold = open_session(LESSON, "flax:jit")
    return {
        "trainable parameters": parameters,
        "shape of the first weight": model.fc1.kernel.shape,
        "logits": logits,
        "Twofold's logits": twofold.logits(INPUTS),
    }


def with_numpy() -> Values:
    x = INPUTS
    for i in range(3):
        x = x @ START[f"layers.{i}.weight"].T
        x = x + START[f"layers.{i}.bias"]
        x = np.maximum(x, 0) if i < 2 else x
    return {
        "trainable parameters": sum(
            p.size for p in START.values()
        ),
        "logits": x,
    }


TOPIC = Topic(
    title="Modules",
    about="""Both are Python classes that create their layers in `__init__`. PyTorch's model is
    called through `forward`, Flax's through `__call__`. Flax takes its random numbers as an
    argument, `rngs`, where PyTorch draws from a global generator; so each Flax layer needs its
    number of inputs and its `rngs`. The weight of `nn.Linear` is (out, in) and is used as x W^T +
    b; the kernel of `nnx.Linear` is its transpose, (in, out). The default initial values differ
    as well, so the ones below come from outside. Twofold builds this very model from the spec
    `lesson` in both backends; its sessions give the same logits.""",
    pytorch=with_pytorch,
    jax=with_jax,
    numpy=with_numpy,
    different={
        "shape of the first weight": Different(
            "Flax keeps the transpose",
            pytorch=(128, 20),
            jax=(20, 128),
        )
    },
)

if __name__ == "__main__":
    show(TOPIC)
