"""nn.Sequential: the lesson's network as a stack, with the numbers of the module."""

from __future__ import annotations

import torch
from flax import nnx
from torch import nn
from twofold import Experiment, open_session, prepare
from twofold.problem.problem import initial_parameters

from comparisons.atlas.side_by_side.topic import (
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
    stack = nn.Sequential(
        nn.Linear(20, 128),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(128, 128),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(128, 3),
    )
    with torch.no_grad():
        for i, place in enumerate((0, 3, 6)):
            layer = stack[place]
            weight = torch.tensor(START[f"layers.{i}.weight"])
            layer.weight.copy_(weight)
            bias = torch.tensor(START[f"layers.{i}.bias"])
            layer.bias.copy_(bias)
    stack.eval()
    logits = stack(torch.tensor(INPUTS)).detach().numpy()
    module = open_session(LESSON, "torch:eager").logits(INPUTS)
    return {
        "trainable parameters": sum(
            p.numel() for p in stack.parameters()
        ),
        "logits": logits,
        "bit for bit the module's": bool(
            (logits == module).all()
        ),
    }


def with_jax() -> Values:
    rngs = nnx.Rngs(0)
    stack = nnx.Sequential(
        nnx.Linear(20, 128, rngs=rngs),
        nnx.relu,
        nnx.Dropout(0.2, rngs=rngs),
        nnx.Linear(128, 128, rngs=rngs),
        nnx.relu,
        nnx.Dropout(0.2, rngs=rngs),
        nnx.Linear(128, 3, rngs=rngs),
    )
    for i, place in enumerate((0, 3, 6)):
        layer = stack.layers[place]
        kernel = START[f"layers.{i}.weight"].T
        layer.kernel[...] = kernel
        layer.bias[...] = START[f"layers.{i}.bias"]
    stack.eval()
    logits = stack(INPUTS)
    module = open_session(LESSON, "flax:op-by-op").logits(INPUTS)
    params = nnx.to_flat_state(nnx.state(stack, nnx.Param))
    return {
        "trainable parameters": sum(p.size for _, p in params),
        "logits": logits,
        "bit for bit the module's": bool(
            (logits == module).all()
        ),
    }


TOPIC = Topic(
    title="Sequential",
    about="""A stack calls its layers one after the other: for a network that is no more than
    that, it is the module without the class. With the same parameters it gives the same bits as
    the module in both libraries, because the same operations run in the same order. PyTorch's
    stack holds modules only (`nn.ReLU()`); Flax's also takes plain functions (`nnx.relu`).""",
    pytorch=with_pytorch,
    jax=with_jax,
)

if __name__ == "__main__":
    show(TOPIC)
